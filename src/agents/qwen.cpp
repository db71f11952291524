// Qwen Code: an element of modelProviders.openai in its settings.json. Chat completions.
// Its settings: docs/configuration/model-providers.md in its package; seen with 0.24.4.
#include <fmt/format.h>
#include <moraine/error.h>

#include "agents/client.h"
#include "agents/jsonc.h"

namespace moraine::agents {
namespace {

using jsonc::Path;
using jsonc::quote;

constexpr const char* kKeyVariable = "MORAINE_API_KEY";
const Path kList = {"modelProviders", "openai"};

Path operator/(Path path, jsonc::Step step) {
  path.push_back(std::move(step));
  return path;
}

// Models are told apart by id and address: this server's entry of this model, else of any model, else a new
// one.
size_t entry_index(const jsonc::Value& root, const Server& s, bool* is_there = nullptr) {
  const jsonc::Value* list = root.find(kList);
  const size_t n = list ? list->members.size() : 0;
  size_t found = n;
  for (size_t i = n; i-- > 0;) {
    const jsonc::Value& entry = list->members[i].value[0];
    if (!same_server(entry.string_at({"baseUrl"}), s.url)) continue;
    if (found == n || entry.string_at({"id"}) == s.model) found = i;
  }
  if (is_there) *is_there = found < n;
  return found;
}

bool is_ours(const jsonc::Value& entry) {
  const jsonc::Value* timeout = entry.find(Path{"generationConfig", "timeout"});
  return timeout && timeout->text == std::to_string(kPatienceMs);
}

class Qwen final : public Client {
 public:
  const char* name() const override { return "qwen"; }
  const char* title() const override { return "Qwen Code"; }
  const char* package() const override { return "@qwen-code/qwen-code"; }

  std::vector<std::string> files(const Places& p, const Wishes&) const override {
    return {(p.qwen_home.empty() ? p.home + "/.qwen" : p.qwen_home) + "/settings.json"};
  }

  bool knows(std::string_view text, const Server& s) const override {
    bool is_there = false;
    entry_index(jsonc::parse(text), s, &is_there);
    return is_there;
  }

  std::string merge(std::string_view before, const Server& s, const Wishes& wishes) const override {
    std::string text(before);
    const Path entry = kList / entry_index(jsonc::parse(text), s);
    const auto set = [&](const Path& path, const std::string& json) { text = jsonc::set(text, path, json); };
    const auto offer = [&](const Path& path, const std::string& json) {
      text = jsonc::set_if_absent(text, path, json);
    };
    set(entry / "id", quote(s.model));
    offer(entry / "name", quote(s.model + " (moraine)"));
    offer(entry / "baseUrl", quote(s.url + "/v1"));
    offer(entry / "envKey", quote(kKeyVariable));
    set(entry / "generationConfig" / "timeout", std::to_string(kPatienceMs));  // it gives up after 120 s
    set(entry / "generationConfig" / "contextWindowSize", std::to_string(s.n_ctx));
    // It wants a key even where the server does not.
    const std::string variable = jsonc::parse(text).string_at(entry / "envKey");
    if (!s.key.empty())
      set({"env", variable}, quote(s.key));
    else
      offer({"env", variable}, quote("moraine"));
    if (wishes.make_default) {
      set({"model", "name"}, quote(s.model));
      if (wishes.global) set({"security", "auth", "selectedType"}, quote("openai"));
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
    const auto prune = [&](Path path) {
      for (; !path.empty(); path.pop_back()) {
        const jsonc::Value current = jsonc::parse(text);
        const jsonc::Value* v = current.find(path);
        if (v && v->members.empty() && v->kind <= jsonc::Kind::kArray && !before.find(path))
          text = jsonc::without(text, path);
      }
    };
    const jsonc::Value* list = root.find(kList);
    const jsonc::Value* old_list = before.find(kList);
    bool ours_was_chosen = false;
    for (size_t i = list ? list->members.size() : 0; i-- > 0;) {
      const jsonc::Value& entry = list->members[i].value[0];
      if (!is_ours(entry)) continue;
      ours_was_chosen |= root.string_at({"model", "name"}) == entry.string_at({"id"});
      const jsonc::Value* old = nullptr;  // the entry of this address before
      for (size_t k = 0; old_list && k < old_list->members.size(); ++k)
        if (same_server(old_list->members[k].value[0].string_at({"baseUrl"}), entry.string_at({"baseUrl"})))
          old = &old_list->members[k].value[0];
      text = old ? jsonc::set(text, kList / i, before_text.substr(old->begin, old->end - old->begin))
                 : jsonc::without(text, kList / i);
      back({"env", entry.string_at({"envKey"})});
    }
    prune(kList);
    prune({"env"});
    if (ours_was_chosen) {
      back({"model", "name"});
      prune({"model"});
      back({"security", "auth", "selectedType"});
      prune({"security", "auth"});
    }
    if (before_text.empty() && jsonc::parse(text).members.empty()) return "";
    return jsonc::same_but_for_layout(text, before_text) ? std::string(before_text) : text;
  }

  std::vector<std::string> hints(const Server& s, const Wishes& wishes) const override {
    std::vector<std::string> lines;
    if (!wishes.make_default)
      lines.push_back(
          fmt::format("Choose {} with /model in qwen, or make it the default with --default.", s.model));
    else if (!wishes.global)
      lines.push_back(
          "The account qwen signs in with stays as it is (--global sets it to OpenAI's protocol): start "
          "it with qwen --auth-type openai.");
    else
      lines.push_back("Start it: qwen");
    return lines;
  }

  std::string page(const Server& s) const override {
    return "// Qwen Code and this server: merge into ~/.qwen/settings.json.\n" +
           merge("", s, {.make_default = true, .global = true});
  }

  Launch launch(const Server& s) const override {
    // The variables choose the server; what no variable says comes in a file of its own for this process,
    // which outranks the user's.
    const std::string settings =
        jsonc::set(jsonc::set("", {"model", "generationConfig", "timeout"}, std::to_string(kPatienceMs)),
                   {"model", "generationConfig", "contextWindowSize"}, std::to_string(s.n_ctx));
    return {.environment = {{"OPENAI_BASE_URL", s.url + "/v1"},
                            {"OPENAI_API_KEY", s.key.empty() ? "moraine" : s.key},
                            {"OPENAI_MODEL", s.model}},
            .arguments = {"--auth-type", "openai"},
            .file_variable = "QWEN_CODE_SYSTEM_SETTINGS_PATH",
            .file_text = settings};
  }
};

}  // namespace

const Client& qwen() {
  static const Qwen client;
  return client;
}

}  // namespace moraine::agents
