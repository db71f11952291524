#include "epic_planner.h"

#include <fmt/format.h>
#include <moraine/error.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "child_environment.h"
#include "epic/files.h"
#include "hub/transfer.h"
#include "version.h"

namespace moraine::app {
namespace {

using Json = nlohmann::ordered_json;
using Kind = Planner::Kind;

constexpr std::chrono::hours kPatience{1};
constexpr size_t kMaxAnswer = 4 << 20, kMaxList = 60 << 10, kMaxFile = 60 << 10, kMaxMaterial = 400 << 10;
constexpr int kMaxTokens = 32000;

struct Known {
  const char* name;
  Kind kind;
  const char* title;
  const char* remedy;
};
constexpr Known kKnown[] = {
    {"opencode", Kind::kOpenCode, "OpenCode", "npm install -g opencode-ai"},
    {"claude", Kind::kClaude, "Claude Code", "npm install -g @anthropic-ai/claude-code"},
    {"codex", Kind::kCodex, "Codex", "npm install -g @openai/codex"},
    {"openai", Kind::kOpenAi, "an OpenAI-compatible API", ""},
    {"anthropic", Kind::kAnthropic, "an Anthropic-compatible API", ""},
    {"cmd", Kind::kCommand, "the command", ""},
};
const Known& known(Kind kind) {
  return *std::find_if(std::begin(kKnown), std::end(kKnown), [&](const Known& k) { return k.kind == kind; });
}

// What terminals are told of colours is no part of a plan.
std::string without_escapes(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\x1b') {
      out += text[i];
      continue;
    }
    if (i + 1 < text.size() && text[i + 1] == '[')
      for (i += 2; i < text.size() && (text[i] < '@' || text[i] > '~');) ++i;
  }
  return out;
}

// The command and what it is told by its arguments; the rest goes to its standard input.
epic::ProcessOptions client_job(const Planner& p, const std::string& prompt, bool may_edit) {
  epic::ProcessOptions o;
  o.environment = child_environment();
  o.timeout = kPatience;
  o.kept_bytes = kMaxAnswer;
  const auto model = [&](const char* flag) {
    if (!p.model.empty()) o.command.insert(o.command.end(), {flag, p.model});
  };
  switch (p.kind) {
    case Kind::kOpenCode:
      o.command = {"opencode", "run", "--agent", may_edit ? "build" : "plan"};
      model("--model");
      o.command.push_back(prompt);
      break;
    case Kind::kClaude:
      o.command = {"claude", "-p", "--allowedTools",
                   may_edit ? "Read,Grep,Glob,Edit,Write,Bash" : "Read,Grep,Glob"};
      model("--model");
      o.input = prompt;
      break;
    case Kind::kCodex:
      o.command = {"codex", "exec", "--sandbox", may_edit ? "workspace-write" : "read-only"};
      model("--model");
      o.command.emplace_back("-");
      o.input = prompt;
      break;
    default:
      o.command = {"/bin/sh", "-c", p.model};
      o.input = prompt;
  }
  return o;
}

std::string ask_client(const Planner& p, const std::string& root, int stop_fd, const std::string& prompt) {
  epic::ProcessOptions o = client_job(p, prompt, false);
  o.folder = root;
  o.stop_fd = stop_fd;
  epic::ProcessResult r;
  try {
    r = epic::run_process(o);
  } catch (const Error& e) {
    if (e.code() != ErrorCode::kNotFound) throw;
    throw Error(ErrorCode::kNotFound,
                fmt::format("{} is not installed: {}.", known(p.kind).title, known(p.kind).remedy));
  }
  if (r.stopped) throw Error(ErrorCode::kCancelled, "Stopped.");
  const std::string text = without_escapes(r.output);
  if (!r.good())
    throw Error(ErrorCode::kIo, fmt::format("The planner {}. Its last words: {}", r.ending(),
                                            text.substr(text.size() - std::min<size_t>(text.size(), 1000))));
  return text;
}

Json api_body(const Planner& p, const std::string& prompt) {
  Json body = {{"model", p.model}, {"messages", {{{"role", "user"}, {"content", prompt}}}}};
  if (p.kind == Kind::kAnthropic) body["max_tokens"] = kMaxTokens;
  return body;
}

// The text of an answer in either form; "" where there is none.
std::string api_text(const Json& answer) {
  try {
    if (answer.contains("choices"))
      return answer["choices"].at(0).at("message").at("content").get<std::string>();
    std::string text;
    for (const Json& part : answer.at("content"))
      if (part.value("type", "") == "text") text += part.at("text").get<std::string>();
    return text;
  } catch (const Json::exception&) {
    return "";
  }
}

std::string ask_api(const Planner& p, const std::string& url, const std::string& key,
                    const std::string& prompt) {
  hub::TransferOptions options;
  options.user_agent = "moraine/" + version();
  options.stall_timeout = std::chrono::duration_cast<std::chrono::seconds>(kPatience);
  hub::Request request;
  request.url = url + (p.kind == Kind::kOpenAi ? "/chat/completions" : "/messages");
  request.body = api_body(p, prompt).dump(-1, ' ', false, Json::error_handler_t::replace);
  request.headers = {"Content-Type: application/json", "Expect:"};
  request.max_body_bytes = kMaxAnswer;
  if (p.kind == Kind::kOpenAi) {
    request.token = key;
  } else {
    request.headers.emplace_back("anthropic-version: 2023-06-01");
    if (!key.empty()) request.headers.push_back("x-api-key: " + key);
  }
  hub::Connection connection(options);
  const hub::Response r = connection.send(request);
  if (!r.ok())
    throw Error(ErrorCode::kIo,
                fmt::format("{} did not answer: {}", request.url,
                            r.problem.empty() ? fmt::format("status {}: {}", r.status, r.body.substr(0, 500))
                                              : r.problem + "."));
  const Json answer = Json::parse(r.body, nullptr, false);
  const std::string text = answer.is_discarded() ? "" : api_text(answer);
  if (text.empty())
    throw Error(ErrorCode::kIo, fmt::format("What {} answered has no text in it.", request.url));
  return text;
}

}  // namespace

Planner parse_planner(const std::string& text) {
  const size_t colon = std::min(text.find(':'), text.size());
  const std::string name = text.substr(0, colon), rest = text.substr(std::min(colon + 1, text.size()));
  for (const Known& k : kKnown) {
    if (name != k.name) continue;
    const Planner planner{k.kind, rest};
    if (rest.empty() && (planner.is_api() || k.kind == Kind::kCommand))
      throw options::UsageError(
          fmt::format("--planner {}: wants {} behind it", name, planner.is_api() ? "a model" : "a command"));
    return planner;
  }
  throw options::UsageError(
      text.empty()
          ? "say who plans: --planner opencode, claude, codex, openai:MODEL, anthropic:MODEL or cmd:COMMAND"
          : fmt::format("--planner {}: there are opencode, claude, codex, openai:MODEL, anthropic:MODEL and "
                        "cmd:COMMAND",
                        text));
}

std::string planner_url(const Planner& p, const Invocation& invocation) {
  std::string url = invocation.settings.epic.planner_url;
  if (url.empty())
    url = p.kind == Kind::kOpenAi ? "https://api.openai.com/v1" : "https://api.anthropic.com/v1";
  while (url.ends_with('/')) url.pop_back();
  return url;
}

std::string sending_notice(const Planner& p, const std::string& url, const std::string& list) {
  const std::string model = p.model.empty() ? "its own model" : p.model;
  if (p.is_api())
    return fmt::format(
        "This leaves the machine, to {} at {}: what you asked for, the names of the repository's files, "
        "and these files whole:\n{}",
        model, url, list.empty() ? "  none\n" : list);
  if (p.kind == Kind::kCommand)
    return fmt::format(
        "What you asked for goes to the command `{}`, run in the repository; what it sends on is its "
        "own.",
        p.model);
  return fmt::format(
      "{} is run in the repository with {}. What leaves the machine: what you asked for, and whatever of "
      "the repository it chooses to read, to the provider it is set up for.",
      known(p.kind).title, model);
}

std::function<std::string(const std::string&)> planner_call(const Planner& p, const Invocation& invocation,
                                                            const std::string& root, int stop_fd) {
  if (!p.is_api()) return [=](const std::string& prompt) { return ask_client(p, root, stop_fd, prompt); };
  std::string key = invocation.settings.epic.planner_key;
  const char* given = invocation.env(p.kind == Kind::kOpenAi ? "OPENAI_API_KEY" : "ANTHROPIC_API_KEY");
  if (key.empty() && given) key = given;
  return [p, key, url = planner_url(p, invocation)](const std::string& prompt) {
    return ask_api(p, url, key, prompt);
  };
}

epic::ProcessOptions frontier_job(const Planner& p, const std::string& prompt) {
  if (p.is_api())
    throw Error(ErrorCode::kUnsupported,
                "An API alone cannot edit files: escalate to opencode, claude, codex or cmd:COMMAND.");
  return client_job(p, prompt, true);
}

std::string repository_material(const std::string& root, const std::vector<std::string>& files,
                                const std::string& tracked, std::string& list) {
  std::string text =
      "Its files:\n\n" + tracked.substr(0, kMaxList) + (tracked.size() > kMaxList ? "\n[...]\n" : "\n");
  std::vector<std::string> shown = files;
  for (const char* name : {"README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "AGENTS.md", "CLAUDE.md"})
    if (std::find(files.begin(), files.end(), name) == files.end() &&
        std::filesystem::is_regular_file(root + "/" + name))
      shown.emplace_back(name);
  for (const std::string& name : shown) {
    std::string body = epic::read_file(root + "/" + name);
    if (body.size() > kMaxFile) body.resize(kMaxFile), body += "\n[...]\n";
    if (text.size() + body.size() > kMaxMaterial)
      throw Error(ErrorCode::kInvalidArgument,
                  fmt::format("The files of --file come to more than {} bytes: name fewer.", kMaxMaterial));
    list += fmt::format("  {} ({} bytes)\n", name, body.size());
    text += fmt::format("\n## {}\n\n~~~\n{}\n~~~\n", name, body);
  }
  return text;
}

}  // namespace moraine::app
