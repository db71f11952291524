// `moraine demo`: in a minute, what a server here does that others do not, each act timed: guessing ahead and
// the same text, a long prompt that is known again, also after a restart and after kill -9, a tool call held
// to its schema. Servers of its own, with a cache folder of its own, over HTTP as any client would.
#include "demo.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "app.h"
#include "child_server.h"
#include "http_client.h"
#include "hub/local_models.h"
#include "hub/model_name.h"
#include "model_path.h"
#include "model_places.h"
#include "option_table.h"
#include "perplexity_text.h"
#include "signals.h"
#include "speculation_tasks.h"

namespace moraine::app {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr char kStandardModel[] = "smollm2-135m-instruct";
constexpr char kStandardRepo[] = "bartowski/SmolLM2-135M-Instruct-GGUF:Q8_0";
constexpr int32_t kContext = 2048;    // SmolLM2 was trained on no more
constexpr size_t kLongTokens = 1200;  // of the long prompt, of a text
constexpr int32_t kCopyTokens = 256, kShortTokens = 16, kCutTokens = 160;
constexpr int32_t kCutAfter = 24;  // pieces of the answer that is killed

// A folder that is gone with this object.
struct TemporaryFolder {
  TemporaryFolder() {
    std::string name = (fs::temp_directory_path() / "moraine-demo-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr)
      throw Error(ErrorCode::kIo, fmt::format("{} cannot be made: {}.", name, std::strerror(errno)));
    path = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  fs::path path;
};

Json parse(const std::string& text) { return Json::parse(text, nullptr, false); }

// What a client of either server reads of an answer.
DemoAnswer answer_of(const Json& json) {
  const Json t = json.value("timings", Json::object());
  DemoAnswer a;
  a.text = json.value("content", "");
  a.n_evaluated = t.value("prompt_n", int64_t{0});
  a.n_prompt = a.n_evaluated + t.value("cache_n", int64_t{0});
  a.n_generated = t.value("predicted_n", int64_t{0});
  a.prompt_ms = t.value("prompt_ms", 0.0);
  a.generated_ms = t.value("predicted_ms", 0.0);
  return a;
}

class Client {
 public:
  Client(const std::string& url, int stop_fd) : http_(url), stop_fd_(stop_fd) {}

  Json post(const std::string& path, const Json& body) const {
    const HttpAnswer answer =
        http_.send({.method = "POST", .path = path, .body = body.dump(), .stop_fd = stop_fd_});
    if (!answer.complete) throw Error(ErrorCode::kCancelled, "Interrupted.");
    Json json = parse(answer.body);
    if (answer.status != 200 || !json.is_object())
      throw Error(ErrorCode::kUnavailable, fmt::format("{}{} answered {}: {}", http_.url(), path,
                                                       answer.status, answer.body.substr(0, 200)));
    return json;
  }

  DemoAnswer complete(const Json& prompt, int32_t n_tokens) const {
    return answer_of(post("/completion", body_of(prompt, n_tokens)));
  }

  // The beginning of an answer: leaves after some pieces.
  DemoAnswer begin(const Json& prompt, int32_t n_tokens, int32_t n_pieces) const {
    Json body = body_of(prompt, n_tokens);
    body["stream"] = true;
    DemoAnswer a;
    std::string pending;
    Event enough;
    HttpClient::Request request{.method = "POST", .path = "/completion", .body = body.dump()};
    request.stop_fd = enough.fd();
    request.on_body = [&](std::string_view piece) {
      pending += piece;
      for (size_t end; (end = pending.find('\n')) != std::string::npos; pending.erase(0, end + 1)) {
        if (!pending.starts_with("data:")) continue;
        const Json event = parse(pending.substr(5, end - 5));
        if (!event.is_object() || a.n_generated >= n_pieces) continue;
        a.text += event.value("content", "");
        if (++a.n_generated >= n_pieces) enough.raise();
      }
    };
    http_.send(request);
    return a;
  }

  // The prompt of a question, as the server's template has it.
  std::string prompt_of(std::string_view question) const {
    const Json messages = Json::array({{{"role", "user"}, {"content", question}}});
    return post("/apply-template", {{"messages", messages}}).value("prompt", "");
  }

  // The beginning of a text, and a few words behind it, as tokens: as long for every vocabulary.
  Json long_prompt(const std::string& words) const {
    const auto tokens_of = [&](const std::string& text) {
      return post("/tokenize", {{"content", text}}).value("tokens", std::vector<int64_t>());
    };
    std::vector<int64_t> tokens = tokens_of(std::string(perplexity_text().substr(0, 16 * kLongTokens)));
    tokens.resize(std::min(tokens.size(), kLongTokens));
    for (const int64_t t : tokens_of("\n\n" + words)) tokens.push_back(t);
    return tokens;
  }

 private:
  static Json body_of(const Json& prompt, int32_t n_tokens) {
    return {{"prompt", prompt}, {"n_predict", n_tokens}, {"temperature", 0}, {"cache_prompt", true}};
  }

  HttpClient http_;
  int stop_fd_;
};

class Demo {
 public:
  Demo(Invocation& invocation, Signals& signals)
      : invocation_(invocation), console_(invocation.console), signals_(signals) {}

  int run() {
    report_.model = fs::path(invocation_.settings.engine.model_path).filename().string();
    say(fmt::format("{}, on servers of this demonstration's own\n", terminal_safe(report_.model)));
    DemoServer ours;
    ours.name = "moraine";
    show_copy(ours);
    show_prompts_and_kill(ours);
    report_.servers.push_back(std::move(ours));
    show_peer();
    console_.end_live();
    const std::string text = invocation_.settings.json ? demo_json(report_) : "\n" + demo_table(report_);
    std::fwrite(text.data(), 1, text.size(), stdout);
    return all_well(report_) ? kOk : kFailure;
  }

 private:
  void say(const std::string& line) {
    if (invocation_.settings.json) return;
    console_.end_live();
    std::fwrite(line.data(), 1, line.size(), stdout);
    std::fputc('\n', stdout);
    std::fflush(stdout);
  }

  // What was given to the demonstration that a server takes too, such as -t.
  std::vector<std::string> serve_arguments() const {
    std::error_code error;
    const fs::path program = fs::read_symlink("/proc/self/exe", error);
    if (error)
      throw Error(ErrorCode::kIo, fmt::format("/proc/self/exe cannot be read: {}.", error.message()));
    std::vector<std::string> a = {program.string(),
                                  "serve",
                                  invocation_.settings.engine.model_path,
                                  "-c",
                                  std::to_string(kContext),
                                  "-np",
                                  "1"};
    for (const options::Given& g : invocation_.parsed.given) {
      const std::string& name = g.option->name();
      if (g.from_env || !(g.option->commands & kServe) || name == "--model" || name.starts_with("--hf-"))
        continue;
      a.push_back(g.option->is_switch() ? (g.value == "off" ? g.option->off_names.front() : name)
                                        : fmt::format("{}={}", name, g.value));
    }
    return a;
  }

  std::unique_ptr<ChildServer> start(std::vector<std::string> further) {
    console_.live("starting a server");
    std::vector<std::string> arguments = serve_arguments();
    arguments.insert(arguments.end(), further.begin(), further.end());
    return std::make_unique<ChildServer>(std::move(arguments), (folder_.path / "log").string(),
                                         signals_.fd());
  }

  void show_copy(DemoServer& s) {
    const SpeculationTask& task = speculation_tasks().front();
    for (const bool on : {false, true}) {
      const auto server = start(on ? std::vector<std::string>{"--cache-disk", "off"}
                                   : std::vector<std::string>{"--cache-disk", "off", "--draft-max", "0"});
      console_.live(on ? "copying a file, speculation on" : "copying a file, speculation off");
      (on ? s.copy : s.copy_plain) = copy(Client(server->url(), signals_.fd()), task);
    }
    s.same_copy = s.copy->text == s.copy_plain->text && !s.copy->text.empty();
    say(fmt::format(
        "Copy a file, rename one function: {:.0f} tok/s without speculation, {:.0f} with it: {:.2f} times as "
        "fast, {}.",
        s.copy_plain->tokens_per_second(), s.copy->tokens_per_second(),
        s.copy->tokens_per_second() / std::max(1e-9, s.copy_plain->tokens_per_second()),
        s.same_copy ? "and the same text" : "BUT NOT THE SAME TEXT"));
  }

  DemoAnswer copy(const Client& client, const SpeculationTask& task) {
    client.complete("Hello", 4);  // the first request warms caches and clocks
    return client.complete(client.prompt_of(task.question) + std::string(task.opening), kCopyTokens);
  }

  void show_prompts_and_kill(DemoServer& s) {
    const std::vector<std::string> disk = {"--cache-disk", (folder_.path / "cache").string()};
    auto server = start(disk);
    const auto ask = [&](const Json& prompt, int32_t n, const char* what) {
      console_.live(what);
      return Client(server->url(), signals_.fd()).complete(prompt, n);
    };
    const Client first(server->url(), signals_.fd());
    const Json prompt = first.long_prompt("In short:"), other = first.long_prompt("And then");
    first.complete("Hello", 4);
    s.long_first = ask(prompt, kShortTokens, "a long prompt");
    s.long_second = ask(prompt, kShortTokens, "the same again");
    server->stop();
    server = start(disk);
    s.long_restarted = ask(prompt, kShortTokens, "the same after a restart");
    s.same_long = s.long_first->text == s.long_second->text && s.long_first->text == s.long_restarted->text;
    say(
        fmt::format("A prompt of {} tokens: {:.2f} s; the same again {:.2f} s; after a restart {:.2f} s, {} "
                    "of its tokens "
                    "computed.",
                    s.long_first->n_prompt, s.long_first->prompt_ms / 1e3, s.long_second->prompt_ms / 1e3,
                    s.long_restarted->prompt_ms / 1e3, s.long_restarted->n_evaluated));

    console_.live("kill -9 in the middle of an answer");
    s.cut = Client(server->url(), signals_.fd()).begin(other, kCutTokens, kCutAfter);
    server->kill();
    server = start(disk);
    s.resumed = ask(other, kCutTokens, "the same question after kill -9");
    s.same_resumed = !s.cut->text.empty() && s.resumed->text.starts_with(s.cut->text);
    say(
        fmt::format("Killed (kill -9) in the middle of an answer, started again, asked again: {:.2f} s for "
                    "the prompt, {} of "
                    "{} tokens computed; the answer {}.",
                    s.resumed->prompt_ms / 1e3, s.resumed->n_evaluated, s.resumed->n_prompt,
                    s.same_resumed ? "is the one that was cut off" : "IS ANOTHER ONE"));

    console_.live("a tool call");
    s.tool_call = tool_call(Client(server->url(), signals_.fd()));
    say(s.tool_call.empty()
            ? "No tool call that follows its schema came."
            : fmt::format("A tool call that follows its schema: {}", terminal_safe(s.tool_call)));
  }

  // The call as name(arguments), if it is what its schema says; else nothing.
  static std::string tool_call(const Client& client) {
    const Json parameters = {{"type", "object"},
                             {"properties",
                              {{"city", {{"type", "string"}, {"maxLength", 40}}},
                               {"unit", {{"type", "string"}, {"enum", {"celsius", "fahrenheit"}}}}}},
                             {"required", {"city", "unit"}},
                             {"additionalProperties", false}};
    const Json body = {
        {"messages",
         {{{"role", "user"}, {"content", "What is the weather in Oslo, in celsius? Use the tool."}}}},
        {"tools",
         {{{"type", "function"},
           {"function",
            {{"name", "get_weather"},
             {"description", "The weather of a city"},
             {"parameters", parameters}}}}}},
        {"tool_choice", "required"},
        {"temperature", 0},
        {"max_tokens", 200}};
    const Json answer = client.post("/v1/chat/completions", body);
    const Json::json_pointer at("/choices/0/message/tool_calls/0/function");
    if (!answer.contains(at)) return "";
    const Json& function = answer.at(at);
    const std::string name = function.value("name", ""), text = function.value("arguments", "");
    const Json arguments = parse(text);
    const bool right = name == "get_weather" && arguments.is_object() && arguments.size() == 2 &&
                       arguments.contains("city") && arguments["city"].is_string() &&
                       arguments.contains("unit") &&
                       (arguments["unit"] == "celsius" || arguments["unit"] == "fahrenheit");
    return right ? fmt::format("{}({})", name, text) : "";
  }

  // --peer, or llama-server on PATH; empty: none.
  std::string find_peer() const {
    if (!invocation_.settings.demo.peer.empty()) return invocation_.settings.demo.peer;
    const char* path = invocation_.env("PATH");
    std::error_code error;
    const fs::path self = fs::canonical("/proc/self/exe", error);
    for (std::string_view rest = path ? path : ""; !rest.empty();) {
      const size_t end = std::min(rest.find(':'), rest.size());
      const fs::path candidate = fs::path(rest.substr(0, end)) / "llama-server";
      rest.remove_prefix(std::min(end + 1, rest.size()));
      // This program may be installed under that name.
      if (access(candidate.c_str(), X_OK) == 0 && fs::canonical(candidate, error) != self)
        return candidate.string();
    }
    return "";
  }

  void show_peer() {
    const std::string peer = find_peer();
    if (peer.empty()) return;
    DemoServer s;
    s.name = "llama-server";
    const bool runs_already = peer.starts_with("http://");
    std::unique_ptr<ChildServer> server;
    const auto begin = [&] {
      if (runs_already) return;
      console_.live(fmt::format("starting {}", terminal_safe(peer)));
      server.reset();
      std::vector<std::string> arguments = {
          peer, "-m", invocation_.settings.engine.model_path, "-c", std::to_string(kContext), "-np", "1"};
      if (const int32_t n = invocation_.settings.engine.n_threads; n > 0)
        arguments.insert(arguments.end(), {"-t", std::to_string(n)});
      server = std::make_unique<ChildServer>(std::move(arguments), (folder_.path / "peer-log").string(),
                                             signals_.fd());
    };
    try {
      begin();
      const auto client = [&] { return Client(runs_already ? peer : server->url(), signals_.fd()); };
      console_.live("the same of it");
      s.copy_plain = copy(client(), speculation_tasks().front());
      const Json prompt = client().long_prompt("In short:");
      s.long_first = client().complete(prompt, kShortTokens);
      s.long_second = client().complete(prompt, kShortTokens);
      if (!runs_already) {
        begin();
        s.long_restarted = client().complete(prompt, kShortTokens);
      }
      s.tool_call = tool_call(client());
    } catch (const Error& e) {
      if (e.code() == ErrorCode::kCancelled) throw;
      console_.warn(fmt::format("{}: {}", terminal_safe(peer), terminal_safe(e.what())));
    }
    report_.servers.push_back(std::move(s));
  }

  Invocation& invocation_;
  Console& console_;
  Signals& signals_;
  TemporaryFolder folder_;
  DemoReport report_;
};

// SmolLM2, where no model is named: the one on this disk, or from the hub.
void choose_model(Invocation& invocation) {
  Settings& s = invocation.settings;
  if (!s.engine.model_path.empty() || !s.hub.repo.empty()) return;
  const auto found = hub::find_models(kStandardModel, hub::find_local_models(model_roots(invocation.env)));
  for (const hub::LocalModel& m : found)
    if (m.n_missing == 0) {
      s.engine.model_path = m.path.string();
      return;
    }
  s.hub.repo = kStandardRepo;
}

}  // namespace

int demo(Invocation& invocation) {
  choose_model(invocation);
  require_model(invocation, "demo");
  Signals signals{SIGINT, SIGTERM};
  return Demo(invocation, signals).run();
}

}  // namespace moraine::app
