// Claude Code: environment variables, which its settings files can hold under `env`. It has no list of
// providers: whoever is set there takes all of its requests, paid account or not. So the project's own file
// (.claude/settings.local.json) is written, and the user's for every project with --global alone.
// Its settings: code.claude.com/docs/en/settings; seen with 2.1.330.
#include <fmt/format.h>

#include "agents/client.h"
#include "agents/jsonc.h"

namespace moraine::agents {
namespace {

using jsonc::quote;

std::vector<std::pair<std::string, std::string>> variables(const Server& s) {
  return {
      {"ANTHROPIC_BASE_URL", s.url},
      {"ANTHROPIC_AUTH_TOKEN", s.key.empty() ? "moraine" : s.key},  // without one it asks for a login
      {"ANTHROPIC_MODEL", s.model},
      {"ANTHROPIC_DEFAULT_OPUS_MODEL", s.model},
      {"ANTHROPIC_DEFAULT_SONNET_MODEL", s.model},
      {"ANTHROPIC_DEFAULT_HAIKU_MODEL", s.model},
      // It takes a model it does not know for one of a far larger window.
      {"CLAUDE_CODE_MAX_CONTEXT_TOKENS", std::to_string(s.n_ctx)},
      {"CLAUDE_CODE_MAX_OUTPUT_TOKENS", std::to_string(output_limit(s))},
      {"API_TIMEOUT_MS", std::to_string(kPatienceMs)},
      {"CLAUDE_STREAM_IDLE_TIMEOUT_MS", std::to_string(kPatienceMs)},
      // A line whose hash changes with each request would otherwise stand before everything that can be
      // reused.
      {"CLAUDE_CODE_ATTRIBUTION_HEADER", "0"},
      {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"},
  };
}

std::string shell_quote(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

class Claude final : public Client {
 public:
  const char* name() const override { return "claude"; }
  const char* title() const override { return "Claude Code"; }
  const char* package() const override { return "@anthropic-ai/claude-code"; }

  std::vector<std::string> files(const Places& p, const Wishes& wishes) const override {
    if (!wishes.global) return {p.working_folder + "/.claude/settings.local.json"};
    return {(p.claude_config_dir.empty() ? p.home + "/.claude" : p.claude_config_dir) + "/settings.json"};
  }

  bool knows(std::string_view text, const Server& s) const override {
    return same_server(jsonc::parse(text).string_at({"env", "ANTHROPIC_BASE_URL"}), s.url);
  }

  std::string merge(std::string_view before, const Server& s, const Wishes&) const override {
    std::string text(before);
    for (const auto& [variable, value] : variables(s))
      text = jsonc::set(text, {"env", variable}, quote(value));
    return text;
  }

  std::string undo(std::string_view now, std::string_view before_text) const override {
    const jsonc::Value root = jsonc::parse(now), before = jsonc::parse(before_text);
    std::string text(now);
    for (const auto& [variable, value] : variables({})) {
      const jsonc::Path path = {"env", variable};
      if (const jsonc::Value* old = before.find(path))
        text = jsonc::set(text, path, before_text.substr(old->begin, old->end - old->begin));
      else
        text = jsonc::without(text, path);
    }
    const jsonc::Value rest = jsonc::parse(text);
    const jsonc::Value* env = rest.find("env");
    if (env && env->members.empty() && !before.find("env")) text = jsonc::without(text, {"env"});
    if (before_text.empty() && jsonc::parse(text).members.empty()) return "";
    return jsonc::same_but_for_layout(text, before_text) ? std::string(before_text) : text;
  }

  std::vector<std::string> hints(const Server& s, const Wishes& wishes) const override {
    return {output_limit_reason(s),
            wishes.global
                ? "All that claude does, in every project, goes to this server until moraine connect claude "
                  "--global --undo."
                : "Your account's settings stay as they are: claude uses this server in this folder. For a "
                  "single session nothing need be written: moraine launch claude."};
  }

  std::string page(const Server& s) const override {
    std::string text = fmt::format(
        "# Claude Code and this server, for one terminal: eval \"$(curl -fs{} {}/connect/claude)\" && "
        "claude\n",
        s.key.empty() ? "" : " -H 'Authorization: Bearer KEY'", s.url);
    for (const auto& [variable, value] : variables(s))
      text += fmt::format("export {}={}\n", variable, shell_quote(value));
    return text + "unset ANTHROPIC_API_KEY\n";
  }

  Launch launch(const Server& s) const override {
    return {.environment = variables(s),
            .unset = {"ANTHROPIC_API_KEY", "CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX"}};
  }
};

}  // namespace

const Client& claude() {
  static const Claude client;
  return client;
}

}  // namespace moraine::agents
