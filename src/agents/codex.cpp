// Codex: a table of config.toml. It speaks the Responses API alone (wire_api = "chat" is refused).
// Its settings: developers.openai.com/codex/config-reference; seen with 0.169.0.
#include <fmt/format.h>
#include <moraine/error.h>

#include "agents/client.h"
#include "agents/toml.h"

namespace moraine::agents {
namespace {

using toml::quote;

constexpr const char* kProviders = "model_providers";

std::string provider_name(const std::vector<toml::Table>& tables, const Server& server,
                          bool* is_there = nullptr) {
  if (is_there) *is_there = false;
  for (const toml::Table& t : tables) {
    if (t.name.size() != 2 || t.name[0] != kProviders) continue;
    const toml::Entry* url = t.find("base_url");
    if (url == nullptr || !same_server(toml::unquote(url->value), server.url)) continue;
    if (is_there) *is_there = true;
    return t.name[1];
  }
  std::string name = "moraine";
  for (int i = 2; toml::find(tables, {kProviders, name}); ++i) name = fmt::format("moraine-{}", i);
  return name;
}

bool has_our_patience(const toml::Table& t) {
  const toml::Entry* e = t.find("stream_idle_timeout_ms");
  return e && e->value == std::to_string(kPatienceMs);
}

int64_t compact_at(const Server& s) { return s.n_ctx - output_limit(s); }

// Keys before the first table, and what they are to be.
std::vector<std::pair<const char*, std::string>> default_keys(const std::string& provider, const Server& s) {
  return {{"model", quote(s.model)},
          {"model_provider", quote(provider)},
          {"model_context_window", std::to_string(s.n_ctx)},
          {"model_auto_compact_token_limit", std::to_string(compact_at(s))}};
}

std::vector<std::pair<const char*, std::string>> provider_keys(const Server& s) {
  std::vector<std::pair<const char*, std::string>> keys = {
      {"name", quote("moraine")},
      {"base_url", quote(s.url + "/v1")},
      {"wire_api", quote("responses")},
      {"stream_idle_timeout_ms", std::to_string(kPatienceMs)},
  };
  if (!s.key.empty()) keys.emplace_back("experimental_bearer_token", quote(s.key));
  return keys;
}

class Codex final : public Client {
 public:
  const char* name() const override { return "codex"; }
  const char* title() const override { return "Codex"; }
  const char* package() const override { return "@openai/codex"; }

  std::vector<std::string> files(const Places& p, const Wishes&) const override {
    return {(p.codex_home.empty() ? p.home + "/.codex" : p.codex_home) + "/config.toml"};
  }

  bool knows(std::string_view text, const Server& server) const override {
    bool is_there = false;
    provider_name(toml::parse(text), server, &is_there);
    return is_there;
  }

  std::string merge(std::string_view before, const Server& s, const Wishes& wishes) const override {
    std::string text(before);
    bool is_there = false;
    const std::string p = provider_name(toml::parse(text), s, &is_there);
    if (wishes.make_default)
      for (const auto& [key, value] : default_keys(p, s)) text = toml::set(text, {}, key, value);
    for (const auto& [key, value] : provider_keys(s)) {
      const std::string_view k = key;
      if (is_there && (k == "name" || k == "base_url")) continue;  // as the user spelled them
      text = toml::set(text, {kProviders, p}, key, value);
    }
    return text;
  }

  std::string undo(std::string_view now, std::string_view before_text) const override {
    const std::vector<toml::Table> tables = toml::parse(now), before = toml::parse(before_text);
    std::string text(now);
    const auto back = [&](const toml::Name& table, const char* key) {
      const toml::Table* old = toml::find(before, table);
      const toml::Entry* entry = old ? old->find(key) : nullptr;
      text = entry ? toml::set(text, table, key, entry->value) : toml::without(text, table, key);
    };
    const toml::Entry* chosen = tables[0].find("model_provider");
    for (const toml::Table& t : tables) {
      if (t.name.size() != 2 || t.name[0] != kProviders || !has_our_patience(t)) continue;
      if (chosen && toml::unquote(chosen->value) == t.name[1])
        for (const auto& [key, value] : default_keys(t.name[1], {})) back({}, key);
      if (!toml::find(before, t.name)) {
        text = toml::without(text, t.name);
        continue;
      }
      for (const char* key : {"wire_api", "stream_idle_timeout_ms", "experimental_bearer_token"})
        back(t.name, key);
    }
    const auto bare = [](std::string_view t) {
      std::string out;
      for (const char c : t)
        if (c != '\n' && c != '\r') out += c;
      return out;
    };
    return bare(text) == bare(before_text) ? std::string(before_text) : text;
  }

  std::vector<std::string> hints(const Server& s, const Wishes& wishes) const override {
    std::vector<std::string> lines = {
        fmt::format("The conversation is compacted at {} of {} tokens, so that an "
                    "eighth of the context stays for answers.",
                    compact_at(s), s.n_ctx)};
    lines.push_back(wishes.make_default
                        ? "Start it: codex"
                        : "Its default model stays as it is: start it with moraine launch codex, or "
                          "make this the default with --default.");
    return lines;
  }

  std::string page(const Server& s) const override {
    return "# Codex and this server: save as ~/.codex/moraine.config.toml and start it with: codex -p "
           "moraine\n" +
           merge("", s, {.make_default = true});
  }

  Launch launch(const Server& s) const override {
    Launch l;
    const auto option = [&](const std::string& key, const std::string& value) {
      l.arguments.insert(l.arguments.end(), {"-c", key + "=" + value});
    };
    Server without_key = s;
    without_key.key.clear();
    for (const auto& [key, value] : provider_keys(without_key))
      option(fmt::format("{}.moraine.{}", kProviders, key), value);
    if (!s.key.empty()) {  // not on the command line, where others read it
      option(fmt::format("{}.moraine.env_key", kProviders), quote("MORAINE_API_KEY"));
      l.environment.emplace_back("MORAINE_API_KEY", s.key);
    }
    for (const auto& [key, value] : default_keys("moraine", s)) option(key, value);
    return l;
  }
};

}  // namespace

const Client& codex() {
  static const Codex client;
  return client;
}

}  // namespace moraine::agents
