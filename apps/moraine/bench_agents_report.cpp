#include <fmt/format.h>
#include <moraine/error.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "bench_agents.h"
#include "console.h"

namespace moraine::app {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxLines = 100'000;

std::string number(int64_t n) { return n < 0 ? "-" : count_text(n); }
std::string seconds(double ms) { return ms < 0 ? "-" : fmt::format("{:.2f}", ms / 1e3); }

std::string kind_of(const AgentTurn& t) {
  return t.after_restart ? t.line.kind + " after restart" : t.line.kind;
}

struct Sum {
  int n = 0, n_failed = 0;
  int64_t n_prompt = 0, n_evaluated = 0, n_again = 0;
  double first_token_ms = 0, total_ms = 0;
  bool again_known = true;

  void add(const AgentTurn& t) {
    ++n;
    n_failed += !t.error.empty();
    n_prompt += std::max<int64_t>(0, t.n_prompt);
    n_evaluated += std::max<int64_t>(0, t.n_evaluated);
    n_again += std::max<int64_t>(0, t.n_again);
    again_known &= t.n_again >= 0 || t.cancelled;
    first_token_ms += std::max(0.0, t.first_token_ms);
    total_ms += std::max(0.0, t.total_ms);
  }
};

// By kind in order of appearance, then all together.
std::vector<std::pair<std::string, Sum>> sums(const std::vector<AgentTurn>& turns) {
  std::vector<std::pair<std::string, Sum>> by_kind;
  Sum all;
  for (const AgentTurn& t : turns) {
    const std::string kind = kind_of(t);
    auto at = std::find_if(by_kind.begin(), by_kind.end(), [&](const auto& k) { return k.first == kind; });
    if (at == by_kind.end()) at = by_kind.insert(at, {kind, {}});
    at->second.add(t);
    all.add(t);
  }
  by_kind.emplace_back("all", all);
  return by_kind;
}

}  // namespace

std::vector<AgentLine> parse_agent_lines(std::string_view text, const std::string& name) {
  std::vector<AgentLine> lines;
  int64_t number = 0;
  const auto refuse = [&](const std::string& why) {
    throw Error(ErrorCode::kInvalidArgument, fmt::format("{}, line {}: {}.", name, number, why));
  };
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view row = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    if (row.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    if (lines.size() == kMaxLines) refuse(fmt::format("more than {} requests", kMaxLines));
    const Json json = Json::parse(row, nullptr, false);
    if (!json.is_object()) refuse("it is no JSON object");
    AgentLine line;
    const auto string_at = [&](const char* key) {
      if (!json.contains(key) || !json[key].is_string()) refuse(fmt::format("'{}' must be a string", key));
      return json[key].get<std::string>();
    };
    if (!json.contains("at") || !json["at"].is_number_integer())
      refuse("'at' must be the number of its step");
    line.step = json["at"].get<int64_t>();
    line.session = string_at("session");
    line.kind = string_at("kind");
    if (!lines.empty() && line.step < lines.back().step) refuse("its step is before that of the line above");
    if (json.contains("cancel_after_s") && json["cancel_after_s"].is_number())
      line.cancel_after_s = std::clamp(json["cancel_after_s"].get<double>(), 0.0, 1e6);
    if (line.kind != "restart") {
      if (!json.contains("body") || !json["body"].is_object()) refuse("'body' must be a request");
      line.body = json["body"].dump(-1, ' ', false, Json::error_handler_t::replace);
    }
    lines.push_back(std::move(line));
  }
  if (lines.empty()) throw Error(ErrorCode::kInvalidArgument, fmt::format("{} holds no requests.", name));
  return lines;
}

std::string agents_report(const std::vector<AgentTurn>& turns, const std::string& server, int n_skipped) {
  std::string out = fmt::format("{}\n\n", server);
  out += fmt::format("{:>4}  {:<10} {:<20} {:>8} {:>10} {:>8} {:>12} {:>9}\n", "step", "session", "kind",
                     "prompt", "evaluated", "again", "first token", "total");
  for (const AgentTurn& t : turns) {
    out +=
        fmt::format("{:>4}  {:<10} {:<20} {:>8} {:>10} {:>8} {:>10} s {:>7} s", t.line.step,
                    terminal_safe(t.line.session), terminal_safe(kind_of(t)), number(t.n_prompt),
                    number(t.n_evaluated), number(t.n_again), seconds(t.first_token_ms), seconds(t.total_ms));
    if (t.cancelled) out += "  cancelled";
    if (!t.error.empty()) out += "  " + terminal_safe(t.error);
    out += '\n';
  }
  out += '\n';
  for (const auto& [kind, sum] : sums(turns)) {
    out += fmt::format("{:<32} {:>3} {:>8} {:>10} {:>8} {:>10} s {:>7} s", terminal_safe(kind), sum.n,
                       number(sum.n_prompt), number(sum.n_evaluated),
                       sum.again_known ? number(sum.n_again) : "-", seconds(sum.first_token_ms),
                       seconds(sum.total_ms));
    if (sum.n_failed > 0) out += fmt::format("  {} failed", sum.n_failed);
    out += '\n';
  }
  out +=
      "\nevaluated: tokens of the prompt that were computed; again: those of them that begin an earlier "
      "prompt "
      "too.\n";
  if (n_skipped > 0)
    out += fmt::format("{} restart{} skipped: give --restart-cmd.\n", n_skipped,
                       n_skipped == 1 ? " was" : "s were");
  return out;
}

std::string agents_json(const std::vector<AgentTurn>& turns, const std::string& server, int n_skipped) {
  const auto known = [](auto v) { return v < 0 ? Json(nullptr) : Json(v); };
  Json out = {{"server", server},
              {"restarts_skipped", n_skipped},
              {"turns", Json::array()},
              {"sums", Json::object()}};
  for (const AgentTurn& t : turns)
    out["turns"].push_back({{"step", t.line.step},
                            {"session", t.line.session},
                            {"kind", t.line.kind},
                            {"after_restart", t.after_restart},
                            {"prompt", known(t.n_prompt)},
                            {"evaluated", known(t.n_evaluated)},
                            {"again", known(t.n_again)},
                            {"generated", known(t.n_generated)},
                            {"first_token_ms", known(t.first_token_ms)},
                            {"total_ms", known(t.total_ms)},
                            {"cancelled", t.cancelled},
                            {"error", t.error.empty() ? Json(nullptr) : Json(t.error)}});
  for (const auto& [kind, s] : sums(turns))
    out["sums"][kind] = {{"requests", s.n},
                         {"failed", s.n_failed},
                         {"prompt", s.n_prompt},
                         {"evaluated", s.n_evaluated},
                         {"again", s.again_known ? Json(s.n_again) : Json(nullptr)},
                         {"first_token_ms", s.first_token_ms},
                         {"total_ms", s.total_ms}};
  return out.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace moraine::app
