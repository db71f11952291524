// `moraine bench agents`: replays sessions of coding agents against any OpenAI-compatible server and tells,
// turn by turn, what was computed again. The file and the report: bench_agents.h.
#include "bench_agents.h"

#include <fmt/format.h>
#include <moraine/error.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>
#include <sstream>
#include <thread>

#include "app.h"
#include "http_client.h"

namespace moraine::app {
namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

constexpr auto kPatience = std::chrono::minutes(30);  // with a server that loads

double ms_since(Clock::time_point t) {
  return std::chrono::duration<double, std::milli>(Clock::now() - t).count();
}

int64_t integer_at(const Json& json, const char* pointer) {
  const Json::json_pointer p(pointer);
  return json.contains(p) && json.at(p).is_number_integer() ? json.at(p).get<int64_t>() : -1;
}

// The events of a stream, as they are put together from its pieces.
class Events {
 public:
  template <class F>
  void push(std::string_view piece, F&& on_event) {
    pending_ += piece;
    size_t begin = 0;
    for (size_t end; (end = pending_.find('\n', begin)) != std::string::npos; begin = end + 1) {
      const std::string_view line = std::string_view(pending_).substr(begin, end - begin);
      if (!line.starts_with("data:")) continue;
      const Json event = Json::parse(line.substr(5), nullptr, false);  // not for "[DONE]"
      if (event.is_object()) on_event(event);
    }
    pending_.erase(0, begin);
  }

 private:
  std::string pending_;
};

class Replay {
 public:
  Replay(const Settings& s, Console& console)
      : settings_(s), console_(console), client_(s.agents.url, s.agents.api_key) {}

  int run() {
    std::ifstream file(settings_.agents.file, std::ios::binary);
    if (!file) throw Error(ErrorCode::kNotFound, fmt::format("{} cannot be read.", settings_.agents.file));
    std::stringstream text;
    text << file.rdbuf();
    std::vector<AgentLine> lines = parse_agent_lines(text.view(), settings_.agents.file);
    find_model();
    for (size_t at = 0; at < lines.size();) {
      size_t end = at;
      while (end < lines.size() && lines[end].step == lines[at].step) ++end;
      step({lines.data() + at, end - at}, lines.back().step);
      at = end;
    }
    console_.end_live();
    const std::string server = fmt::format("{} ({})", client_.url(), model_);
    const std::string report =
        settings_.json ? agents_json(turns_, server, n_skipped_) : agents_report(turns_, server, n_skipped_);
    std::fwrite(report.data(), 1, report.size(), stdout);
    return std::any_of(turns_.begin(), turns_.end(), [](const AgentTurn& t) { return !t.error.empty(); })
               ? kFailure
               : kOk;
  }

 private:
  void find_model() {
    HttpAnswer answer = client_.send({.path = "/v1/models"});
    for (const auto until = Clock::now() + kPatience; answer.status == 503 && Clock::now() < until;) {
      console_.live("waiting for the server to load its model");
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
      answer = client_.send({.path = "/v1/models"});
    }
    const Json json = Json::parse(answer.body, nullptr, false);
    const Json::json_pointer id("/data/0/id");
    if (answer.status != 200 || !json.is_object() || !json.contains(id) || !json.at(id).is_string())
      throw Error(
          ErrorCode::kInvalidArgument,
          fmt::format("{} answers GET /v1/models with {} and names no model; is it an OpenAI-compatible "
                      "server, and --api-key right?",
                      client_.url(), answer.status));
    model_ = json.at(id).get<std::string>();
  }

  void step(std::span<AgentLine> lines, int64_t last_step) {
    std::vector<AgentTurn> turns;
    for (AgentLine& line : lines) {
      if (line.kind == "restart") {
        restart();
        continue;
      }
      AgentTurn t;
      t.line = std::move(line);
      t.after_restart = waits_for_restart_.erase(t.line.session) > 0;
      turns.push_back(std::move(t));
    }
    if (turns.empty()) return;
    console_.live(fmt::format("step {} of {}: {} {}", turns[0].line.step, last_step, turns[0].line.session,
                              turns[0].line.kind));
    std::vector<std::vector<int64_t>> prompts;
    for (const AgentTurn& t : turns) prompts.push_back(tokens_of(t.line.body));
    std::vector<std::thread> threads;
    for (AgentTurn& t : turns)
      threads.emplace_back([this, &t] {
        try {
          send(t);
        } catch (const std::exception& e) {
          t.error = e.what();
        }
      });
    for (std::thread& t : threads) t.join();
    // Of those that were sent together, the one that found least computed what they share: it counts first.
    std::vector<size_t> order(turns.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      return turns[a].n_prompt - turns[a].n_evaluated < turns[b].n_prompt - turns[b].n_evaluated;
    });
    for (const size_t i : order) {
      AgentTurn& t = turns[i];
      sessions_.insert(t.line.session);
      const auto n = static_cast<int64_t>(prompts[i].size());
      if (n > 0 && n == t.n_prompt && t.n_evaluated >= 0)
        t.n_again = std::max<int64_t>(0, t.n_evaluated - std::max<int64_t>(1, n - longest_known(prompts[i])));
      if (!t.cancelled && t.error.empty()) known_.push_back(std::move(prompts[i]));
      t.line.body.clear();
    }
    std::move(turns.begin(), turns.end(), std::back_inserter(turns_));
  }

  void send(AgentTurn& t) {
    Json body = Json::parse(t.line.body);
    body["model"] = model_;
    body["stream"] = true;
    body["stream_options"] = {{"include_usage", true}};
    body["ignore_eos"] = true;
    Events events;
    std::string plain;  // an error is no stream
    const Clock::time_point began = Clock::now();
    HttpClient::Request request{.method = "POST", .path = "/v1/chat/completions", .body = body.dump()};
    if (t.line.cancel_after_s >= 0)
      request.hang_up_after = std::chrono::milliseconds(static_cast<int64_t>(t.line.cancel_after_s * 1e3));
    request.on_body = [&](std::string_view piece) {
      if (plain.size() < 4096) plain += piece;
      events.push(piece, [&](const Json& event) { take(event, t, began); });
    };
    const HttpAnswer answer = client_.send(request);
    t.total_ms = ms_since(began);
    t.cancelled = !answer.complete && t.line.cancel_after_s >= 0;
    if (t.cancelled) return;
    if (answer.status != 200)
      t.error = fmt::format("status {}: {}", answer.status, plain.substr(0, 200));
    else if (!answer.complete && t.error.empty())
      t.error = "the answer broke off";
  }

  static void take(const Json& event, AgentTurn& t, Clock::time_point began) {
    if (event.contains("error")) t.error = event["error"].dump().substr(0, 200);
    if (t.first_token_ms < 0 && event.contains("choices") && event["choices"].is_array())
      for (const Json& choice : event["choices"]) {
        if (!choice.is_object() || !choice.contains("delta") || !choice["delta"].is_object()) continue;
        for (const char* key : {"content", "reasoning_content", "reasoning", "tool_calls"}) {
          const auto value = choice["delta"].find(key);
          if (value != choice["delta"].end() && !value->is_null() && *value != "")
            t.first_token_ms = ms_since(began);
        }
      }
    if (const int64_t n = integer_at(event, "/usage/prompt_tokens"); n >= 0) {
      t.n_prompt = n;
      t.n_generated = integer_at(event, "/usage/completion_tokens");
      const int64_t cached = integer_at(event, "/usage/prompt_tokens_details/cached_tokens");
      if (cached >= 0) t.n_evaluated = n - cached;
    }
    if (const int64_t n = integer_at(event, "/timings/prompt_n"); n >= 0)
      t.n_evaluated = n;  // llama-server's word
  }

  // The prompt as the server sees it; nothing where it does not tell (both endpoints are llama-server's).
  std::vector<int64_t> tokens_of(const std::string& body) {
    if (!tells_tokens_) return {};
    const auto post = [&](const char* path, const Json& json) {
      const HttpAnswer answer = client_.send({.method = "POST", .path = path, .body = json.dump()});
      return answer.status == 200 ? Json::parse(answer.body, nullptr, false) : Json();
    };
    try {
      const Json prompt = post("/apply-template", Json::parse(body));
      if (prompt.is_object() && prompt.contains("prompt")) {
        const Json tokens = post(
            "/tokenize", {{"content", prompt["prompt"]}, {"add_special", true}, {"parse_special", true}});
        if (tokens.is_object() && tokens.contains("tokens"))
          return tokens["tokens"].get<std::vector<int64_t>>();
      }
    } catch (const std::exception&) {  // then not
    }
    tells_tokens_ = false;
    return {};
  }

  int64_t longest_known(const std::vector<int64_t>& prompt) const {
    int64_t longest = 0;
    for (const auto& k : known_)
      longest = std::max<int64_t>(
          longest, std::mismatch(prompt.begin(), prompt.end(), k.begin(), k.end()).first - prompt.begin());
    return longest;
  }

  void restart() {
    if (settings_.agents.restart_command.empty()) {
      ++n_skipped_;
      return;
    }
    console_.live("restarting the server");
    const char* arguments[] = {"/bin/sh", "-c", settings_.agents.restart_command.c_str(), nullptr};
    pid_t pid = 0;
    int status = -1;
    if (posix_spawn(&pid, "/bin/sh", nullptr, nullptr, const_cast<char**>(arguments), environ) != 0 ||
        waitpid(pid, &status, 0) != pid || status != 0)
      throw Error(ErrorCode::kIo,
                  fmt::format("The command of --restart-cmd failed: {}.", settings_.agents.restart_command));
    const Clock::time_point until = Clock::now() + kPatience;
    for (;; std::this_thread::sleep_for(std::chrono::milliseconds(200))) {
      try {
        if (client_.send({.path = "/v1/models"}).status == 200) break;
      } catch (const Error&) {  // not there yet
      }
      if (Clock::now() > until)
        throw Error(ErrorCode::kUnavailable, "The server did not come back after --restart-cmd.");
    }
    waits_for_restart_ = sessions_;
  }

  const Settings& settings_;
  Console& console_;
  const HttpClient client_;
  std::string model_;
  std::vector<AgentTurn> turns_;
  std::vector<std::vector<int64_t>> known_;  // prompts that were computed to their end
  std::set<std::string> sessions_, waits_for_restart_;
  bool tells_tokens_ = true;
  int n_skipped_ = 0;
};

}  // namespace

int bench_agents(Invocation& invocation) {
  Settings& s = invocation.settings;
  if (s.agents.file.empty())
    throw options::UsageError(
        "which sessions? tools/agent_sessions.py writes some: moraine bench agents FILE --url URL");
  return Replay(s, invocation.console).run();
}

}  // namespace moraine::app
