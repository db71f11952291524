#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "bench_speculation.h"
#include "console.h"
#include "demo.h"

namespace moraine::app {
namespace {

using OrderedJson = nlohmann::ordered_json;

using Cell = std::string (*)(const DemoServer&);

std::string speed(const std::optional<DemoAnswer>& a) {
  return a ? fmt::format("{:.0f} tok/s", a->tokens_per_second()) : "-";
}
std::string prompt(const std::optional<DemoAnswer>& a) {
  return a ? fmt::format("{:.2f} s, {} computed", a->prompt_ms / 1e3, count_text(a->n_evaluated)) : "-";
}

constexpr struct {
  const char* what;
  Cell cell;
} kRows[] = {
    {"a file copied, one rename: no speculation", [](const DemoServer& s) { return speed(s.copy_plain); }},
    {"the same, as it comes", [](const DemoServer& s) { return speed(s.copy); }},
    {"the text of both",
     [](const DemoServer& s) -> std::string {
       return !s.copy || !s.copy_plain ? "-" : s.same_copy ? "the same" : "DIFFERENT";
     }},
    {"a long prompt", [](const DemoServer& s) { return prompt(s.long_first); }},
    {"the same again", [](const DemoServer& s) { return prompt(s.long_second); }},
    {"and after a restart", [](const DemoServer& s) { return prompt(s.long_restarted); }},
    {"killed in an answer (kill -9), asked again", [](const DemoServer& s) { return prompt(s.resumed); }},
    {"a tool call that follows its schema",
     [](const DemoServer& s) -> std::string { return s.tool_call.empty() ? "-" : "yes"; }},
};

OrderedJson json_of(const std::optional<DemoAnswer>& a) {
  if (!a) return nullptr;
  const auto bytes = std::vector<int32_t>(a->text.begin(), a->text.end());
  return {{"n_prompt", a->n_prompt},
          {"n_evaluated", a->n_evaluated},
          {"n_generated", a->n_generated},
          {"prompt_ms", a->prompt_ms},
          {"generated_ms", a->generated_ms},
          {"tokens_per_second", a->tokens_per_second()},
          {"text_hash", fmt::format("{:016x}", hash_tokens(bytes))}};
}

}  // namespace

std::string demo_table(const DemoReport& report) {
  std::string out = fmt::format("{:<44}", "");
  for (const DemoServer& s : report.servers) out += fmt::format("{:<26}", s.name);
  out += "\n";
  for (const auto& row : kRows) {
    out += fmt::format("{:<44}", row.what);
    for (const DemoServer& s : report.servers) out += fmt::format("{:<26}", row.cell(s));
    out += "\n";
  }
  return out;
}

std::string demo_json(const DemoReport& report) {
  OrderedJson servers = OrderedJson::array();
  for (const DemoServer& s : report.servers)
    servers.push_back({{"name", s.name},
                       {"copy_without_speculation", json_of(s.copy_plain)},
                       {"copy", json_of(s.copy)},
                       {"copy_same", s.same_copy},
                       {"long_prompt", json_of(s.long_first)},
                       {"long_prompt_again", json_of(s.long_second)},
                       {"long_prompt_after_restart", json_of(s.long_restarted)},
                       {"long_prompt_same", s.same_long},
                       {"killed", json_of(s.cut)},
                       {"resumed", json_of(s.resumed)},
                       {"resumed_same", s.same_resumed},
                       {"tool_call", s.tool_call}});
  const OrderedJson json = {
      {"model", report.model}, {"all_well", all_well(report)}, {"servers", std::move(servers)}};
  return json.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

bool all_well(const DemoReport& report) {
  const DemoServer& s = report.servers.front();
  return s.same_copy && s.same_long && s.same_resumed && !s.tool_call.empty();
}

}  // namespace moraine::app
