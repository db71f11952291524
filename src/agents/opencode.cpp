// OpenCode: a provider of opencode.json (JSON with comments), for its package @ai-sdk/openai-compatible.
// Chat completions. Its settings: opencode.ai/docs/config; seen with 1.18.33.
#include <fmt/format.h>
#include <moraine/error.h>

#include "agents/client.h"
#include "agents/jsonc.h"

namespace moraine::agents {
namespace {

using jsonc::Path;
using jsonc::quote;

// The provider with this address; else a free name beginning with "moraine".
std::string provider_name(const jsonc::Value& root, const Server& server, bool* is_there = nullptr) {
  const jsonc::Value* providers = root.find(Path{"provider"});
  if (is_there) *is_there = false;
  if (providers) {
    for (const auto& m : providers->members) {
      if (!same_server(m.value[0].string_at({"options", "baseURL"}), server.url)) continue;
      if (is_there) *is_there = true;
      return m.name;
    }
  }
  std::string name = "moraine";
  for (int i = 2; providers && providers->find(name); ++i) name = fmt::format("moraine-{}", i);
  return name;
}

// What merge() leaves in each provider it wrote.
bool has_our_patience(const jsonc::Value& provider) {
  const jsonc::Value* chunk = provider.find(Path{"options", "chunkTimeout"});
  return chunk && chunk->text == std::to_string(kPatienceMs);
}

class OpenCode final : public Client {
 public:
  const char* name() const override { return "opencode"; }
  const char* title() const override { return "OpenCode"; }
  const char* package() const override { return "opencode-ai"; }

  std::vector<std::string> files(const Places& p, const Wishes&) const override {
    const std::string folder = p.config_home + "/opencode/";  // it reads all three, the first of these last
    return {folder + "opencode.jsonc", folder + "opencode.json", folder + "config.json",
            folder + "opencode.json"};
  }

  bool knows(std::string_view text, const Server& server) const override {
    bool is_there = false;
    provider_name(jsonc::parse(text), server, &is_there);
    return is_there;
  }

  std::string merge(std::string_view before, const Server& s, const Wishes& wishes) const override {
    std::string text(before);
    const jsonc::Value root = jsonc::parse(text);
    if (root.begin == root.end)
      text = jsonc::set(text, {"$schema"}, quote("https://opencode.ai/config.json"));
    const std::string p = provider_name(root, s);
    const auto at = [&](const Path& rest) {
      Path path = {"provider", p};
      path.insert(path.end(), rest.begin(), rest.end());
      return path;
    };
    const auto set = [&](const Path& path, const std::string& json) { text = jsonc::set(text, path, json); };
    const auto offer = [&](const Path& path, const std::string& json) {
      text = jsonc::set_if_absent(text, path, json);
    };
    offer(at({"npm"}), quote("@ai-sdk/openai-compatible"));
    offer(at({"name"}), quote("moraine"));
    offer(at({"options", "baseURL"}), quote(s.url + "/v1"));
    if (!s.key.empty()) set(at({"options", "apiKey"}), quote(s.key));
    // It gives up on a response's head, and between two chunks, after 300 s by default.
    set(at({"options", "headerTimeout"}), "false");
    set(at({"options", "chunkTimeout"}), std::to_string(kPatienceMs));
    offer(at({"models", s.model, "name"}), quote(s.model));
    set(at({"models", s.model, "limit", "context"}), std::to_string(s.n_ctx));
    set(at({"models", s.model, "limit", "output"}), std::to_string(output_limit(s)));
    offer(at({"models", s.model, "tool_call"}), "true");
    offer(at({"models", s.model, "temperature"}), "true");  // else it would not send an agent's
    if (s.reasoning) {
      offer(at({"models", s.model, "reasoning"}), "true");
      offer(at({"models", s.model, "interleaved", "field"}), quote("reasoning_content"));
    }
    const std::string model = quote(p + "/" + s.model);
    if (wishes.make_default) {
      set({"model"}, model);
      set({"small_model"}, model);  // titles: else it looks for one elsewhere
    }
    if (!wishes.plan.empty()) {
      set({"agent", "plan", "model"}, quote(wishes.plan));
      set({"agent", "build", "model"}, model);
    }
    return text;
  }

  std::string undo(std::string_view now, std::string_view before_text) const override {
    const jsonc::Value root = jsonc::parse(now), before = jsonc::parse(before_text);
    std::string text(now);
    const auto back = [&](const Path& path) {
      if (const jsonc::Value* old = before.find(path))
        text = jsonc::set(text, path, before_text.substr(old->begin, old->end - old->begin));
      else
        text = jsonc::without(text, path);
    };
    // Emptied objects go where they were not there before.
    const auto prune = [&](const Path& path) {
      const jsonc::Value current = jsonc::parse(text);
      const jsonc::Value* v = current.find(path);
      if (v && v->kind == jsonc::Kind::kObject && v->members.empty() && !before.find(path))
        text = jsonc::without(text, path);
    };
    const auto ours = [&](const std::string& model) {
      const size_t slash = model.find('/');
      if (slash == std::string::npos) return false;
      const jsonc::Value* p = root.find(Path{"provider", model.substr(0, slash)});
      return p && has_our_patience(*p);
    };
    if (ours(root.string_at({"agent", "build", "model"}))) {
      for (const char* agent : {"plan", "build"}) {
        back({"agent", agent, "model"});
        prune({"agent", agent});
      }
      prune({"agent"});
    }
    for (const char* key : {"model", "small_model"})
      if (ours(root.string_at({key}))) back({key});
    if (const jsonc::Value* providers = root.find(Path{"provider"}))
      for (const auto& m : providers->members)
        if (has_our_patience(m.value[0])) back({"provider", m.name});
    prune({"provider"});
    if (before_text.empty()) {  // the file was made for us: nothing of ours stays
      const jsonc::Value rest = jsonc::parse(text);
      if (rest.members.size() == 1 && rest.find("$schema")) return "";
    }
    return jsonc::same_but_for_layout(text, before_text) ? std::string(before_text) : text;
  }

  std::vector<std::string> hints(const Server& s, const Wishes& wishes) const override {
    std::vector<std::string> lines = {output_limit_reason(s)};
    if (!wishes.plan.empty())
      lines.push_back(fmt::format("Its agent plan uses {}, its agent build {}: switch between them with Tab.",
                                  wishes.plan, s.model));
    else if (wishes.make_default)
      lines.push_back("Start it: opencode");
    else
      lines.push_back(
          fmt::format("Choose {} with /models in opencode, or make it the default with --default.", s.model));
    return lines;
  }

  std::string page(const Server& s) const override {
    return fmt::format(
               "// OpenCode and this server: save as opencode.json in your project, or merge into "
               "~/.config/opencode/opencode.json.\n// {}\n",
               output_limit_reason(s)) +
           merge("", s, {.make_default = true});
  }

  Launch launch(const Server& s) const override {
    return {.environment = {{"OPENCODE_CONFIG_CONTENT", merge("", s, {.make_default = true})}}};
  }
};

}  // namespace

const Client& opencode() {
  static const OpenCode client;
  return client;
}

}  // namespace moraine::agents
