// Each client's settings: what is added, what stays, that twice is as once, and the way back.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <moraine/error.h>

#include "agents/client.h"
#include "agents/jsonc.h"
#include "agents/toml.h"

namespace moraine::agents {
namespace {

using jsonc::Path;
using testing::HasSubstr;
using testing::Not;

Server server() { return {.url = "http://127.0.0.1:8081", .key = "", .model = "qwen.gguf", .n_ctx = 128000}; }

std::string at(std::string_view text, const Path& path) {
  const jsonc::Value root = jsonc::parse(text);
  const jsonc::Value* v = root.find(path);
  return v ? std::string(text.substr(v->begin, v->end - v->begin)) : "(none)";
}

struct Sample {
  const Client* client;
  const char* text;
};
const Sample kSamples[] = {
    {&opencode(), ""},
    {&opencode(), "{}"},
    {&opencode(), "{\n  // keep\n  \"theme\": \"dark\", \"permission\": {\"bash\": \"ask\",},\n}\n"},
    {&opencode(),
     "{\"model\": \"anthropic/x\", \"agent\": {\"plan\": {\"model\": \"a/b\", \"prompt\": \"p\"}}}"},
    {&opencode(),
     "{\n  \"provider\": {\n    \"llama.cpp\": {\n      \"options\": {\"baseURL\": "
     "\"http://localhost:8081/v1/\"},\n"
     "      \"models\": {\"old\": {}} // mine\n    }\n  }\n}\n"},
    {&codex(), ""},
    {&codex(), "# mine\nmodel = \"gpt\"\n\n[tools]\nx = 1\n"},
    {&codex(),
     "[model_providers.box]\nname = \"The box\"\nbase_url = \"http://localhost:8081/v1\"\nwire_api = "
     "\"chat\"\n"},
    {&claude(), ""},
    {&claude(),
     "{\n\t\"permissions\": {\"allow\": [\"Read\"]},\n\t\"env\": {\"API_TIMEOUT_MS\": \"1\", \"MINE\": "
     "\"2\"}\n}\n"},
    {&qwen(), ""},
    {&qwen(), "{\n  \"$version\": 4,\n  \"model\": {\"name\": \"mine\"}\n}\n"},
    {&qwen(),
     "{\"modelProviders\": {\"openai\": [{\"id\": \"x\", \"baseUrl\": \"https://else/v1\", \"envKey\": "
     "\"K\"}, {\"id\": "
     "\"old\", \"baseUrl\": \"http://127.0.0.1:8081/v1\", \"envKey\": \"K2\"}]}}"},
};

TEST(Clients, MergingTwiceIsMergingOnceAndUndoBringsEveryByteBack) {
  for (const Sample& s : kSamples) {
    for (const Wishes& w : {Wishes{}, Wishes{.make_default = true},
                            Wishes{.make_default = true, .global = true, .plan = "anthropic/opus"}}) {
      const std::string merged = s.client->merge(s.text, server(), w);
      EXPECT_NE(merged, s.text);
      EXPECT_TRUE(s.client->knows(merged, server())) << merged;
      EXPECT_EQ(s.client->merge(merged, server(), w), merged) << s.client->name();
      EXPECT_EQ(s.client->undo(merged, s.text), s.text) << merged;
      // Another model later changes the entry, adds none.
      Server other = server();
      other.model = "second";
      other.n_ctx = 65536;
      EXPECT_EQ(s.client->undo(s.client->merge(merged, other, w), s.text), s.client->undo(merged, s.text))
          << merged;
    }
  }
}

TEST(Clients, UndoKeepsWhatTheUserChangedSince) {
  const std::string before = "{\n  \"theme\": \"dark\"\n}\n";
  const std::string later = jsonc::set(opencode().merge(before, server(), {}), {"theme"}, "\"light\"");
  EXPECT_EQ(opencode().undo(later, before), "{\n  \"theme\": \"light\"\n}\n");
  const std::string toml_before = "a = 1\n";
  EXPECT_EQ(codex().undo(toml::set(codex().merge(toml_before, server(), {}), {}, "a", "2"), toml_before),
            "a = 2\n");
}

TEST(Clients, SettingsOfOthersAreLeftAlone) {
  for (const Sample& s : kSamples) {
    const std::string merged = s.client->merge(s.text, server(), {});
    EXPECT_EQ(at(s.client == &codex() ? "{}" : merged, {"permission"}),
              at(s.client == &codex() ? "{}" : s.text, {"permission"}));
    if (s.client == &codex()) {
      const auto before = toml::parse(s.text), after = toml::parse(merged);
      EXPECT_EQ(after[0].entries.size(), before[0].entries.size());
    } else {
      for (const Path& path :
           {Path{"model"}, Path{"small_model"}, Path{"agent"}, Path{"permissions"}, Path{"security"}})
        EXPECT_EQ(at(merged, path), at(s.text, path));
    }
  }
}

TEST(OpenCode, GetsTheModelItsLimitsAndPatience) {
  Server s = server();
  s.reasoning = true;
  s.key = "secret";
  const std::string text = opencode().merge("", s, {});
  const Path p = {"provider", "moraine"};
  EXPECT_EQ(at(text, {"provider", "moraine", "options", "baseURL"}), "\"http://127.0.0.1:8081/v1\"");
  EXPECT_EQ(at(text, {"provider", "moraine", "options", "apiKey"}), "\"secret\"");
  EXPECT_EQ(at(text, {"provider", "moraine", "options", "headerTimeout"}), "false");
  EXPECT_EQ(at(text, {"provider", "moraine", "options", "chunkTimeout"}), "900000");
  EXPECT_EQ(at(text, {"provider", "moraine", "models", "qwen.gguf", "limit", "context"}), "128000");
  EXPECT_EQ(at(text, {"provider", "moraine", "models", "qwen.gguf", "limit", "output"}), "16000");
  EXPECT_EQ(at(text, {"provider", "moraine", "models", "qwen.gguf", "interleaved", "field"}),
            "\"reasoning_content\"");
  EXPECT_EQ(at(text, {"model"}), "(none)");
}

TEST(OpenCode, UpdatesTheProviderThatIsThere) {
  const std::string text = opencode().merge(kSamples[4].text, server(), {.make_default = true});
  EXPECT_EQ(at(text, {"provider", "moraine"}), "(none)");
  EXPECT_EQ(at(text, {"provider", "llama.cpp", "models", "old"}), "{}");
  EXPECT_EQ(at(text, {"provider", "llama.cpp", "models", "qwen.gguf", "limit", "output"}), "16000");
  EXPECT_EQ(at(text, {"provider", "llama.cpp", "options", "baseURL"}), "\"http://localhost:8081/v1/\"");
  EXPECT_EQ(at(text, {"model"}), "\"llama.cpp/qwen.gguf\"");
  EXPECT_THAT(text, HasSubstr("// mine"));
}

TEST(OpenCode, ASecondServerIsASecondProvider) {
  Server other = server();
  other.url = "http://box:8081";
  const std::string text = opencode().merge(opencode().merge("", server(), {}), other, {});
  EXPECT_EQ(at(text, {"provider", "moraine-2", "options", "baseURL"}), "\"http://box:8081/v1\"");
  EXPECT_EQ(at(text, {"provider", "moraine", "options", "baseURL"}), "\"http://127.0.0.1:8081/v1\"");
}

TEST(OpenCode, PlanIsTheFrontierModelsAndBuildOurs) {
  const std::string text = opencode().merge("{}", server(), {.plan = "anthropic/opus"});
  EXPECT_EQ(at(text, {"agent", "plan", "model"}), "\"anthropic/opus\"");
  EXPECT_EQ(at(text, {"agent", "build", "model"}), "\"moraine/qwen.gguf\"");
}

TEST(Codex, GetsAProviderOfTheResponsesApi) {
  const auto tables = toml::parse(codex().merge("", server(), {.make_default = true}));
  const toml::Table* t = toml::find(tables, {"model_providers", "moraine"});
  ASSERT_NE(t, nullptr);
  EXPECT_EQ(t->find("wire_api")->value, "\"responses\"");
  EXPECT_EQ(t->find("base_url")->value, "\"http://127.0.0.1:8081/v1\"");
  EXPECT_EQ(tables[0].find("model_context_window")->value, "128000");
  EXPECT_EQ(tables[0].find("model_auto_compact_token_limit")->value, "112000");
}

TEST(Codex, AKeyIsNotOnTheCommandLine) {
  Server s = server();
  s.key = "secret";
  for (const std::string& a : codex().launch(s).arguments) EXPECT_THAT(a, Not(HasSubstr("secret")));
}

TEST(Claude, WritesTheProjectsOwnSettingsUnlessAskedForAll) {
  const Places p{.home = "/h", .config_home = "/h/.config", .working_folder = "/w"};
  EXPECT_EQ(claude().files(p, {}).front(), "/w/.claude/settings.local.json");
  EXPECT_EQ(claude().files(p, {.global = true}).front(), "/h/.claude/settings.json");
  const std::string text = claude().merge("", server(), {});
  EXPECT_EQ(at(text, {"env", "CLAUDE_CODE_MAX_CONTEXT_TOKENS"}), "\"128000\"");
  EXPECT_EQ(at(text, {"env", "ANTHROPIC_BASE_URL"}), "\"http://127.0.0.1:8081\"");
}

TEST(Qwen, TheAccountIsSetOnlyWhenAskedForTwice) {
  EXPECT_EQ(at(qwen().merge("", server(), {.make_default = true}), {"security"}), "(none)");
  EXPECT_EQ(at(qwen().merge("", server(), {.make_default = true, .global = true}),
               {"security", "auth", "selectedType"}),
            "\"openai\"");
  const std::string text = qwen().merge(kSamples[12].text, server(), {});
  EXPECT_EQ(at(text, {"modelProviders", "openai", size_t{1}, "id"}), "\"qwen.gguf\"");
  EXPECT_EQ(at(text, {"modelProviders", "openai", size_t{1}, "envKey"}), "\"K2\"");
  EXPECT_EQ(at(text, {"modelProviders", "openai", size_t{0}, "id"}), "\"x\"");
  EXPECT_EQ(at(text, {"env", "K2"}), "\"moraine\"");
}

TEST(Clients, HostileNamesStayText) {
  Server s = server();
  s.model = "a\"b\\c'\n$(x)`y`";
  EXPECT_EQ(
      jsonc::parse(opencode().merge("", s, {})).find(Path{"provider", "moraine", "models"})->members[0].name,
      s.model);
  EXPECT_NO_THROW(toml::parse(codex().page(s)));
  EXPECT_THAT(claude().page(s), HasSubstr("ANTHROPIC_MODEL='a\"b\\c'\\''\n$(x)`y`'"));
}

TEST(Clients, AShortContextIsRefusedWithTheReason) {
  Server s = server();
  s.n_ctx = 8192;
  try {
    require_context(s);
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("8192"));
    EXPECT_THAT(e.what(), HasSubstr("32768"));
  }
  s.n_ctx = kMinContext;
  EXPECT_NO_THROW(require_context(s));
}

TEST(Clients, AnAnswerTakesAnEighthOfTheContext) {
  Server s = server();
  EXPECT_EQ(output_limit(s), 16000);
  EXPECT_THAT(output_limit_reason(s), HasSubstr("112000 of 128000"));
  s.n_ctx = 1 << 20;
  EXPECT_EQ(output_limit(s), 32000);
}

TEST(Clients, AddressesOfOneServerAreOne) {
  EXPECT_TRUE(same_server("http://localhost:8081/v1/", "http://127.0.0.1:8081"));
  EXPECT_TRUE(same_server("HTTP://Box/v1", "http://box:80"));
  EXPECT_TRUE(same_server("http://[::1]:1/v1", "http://localhost:1"));
  EXPECT_FALSE(same_server("http://box:1", "http://box:2"));
  EXPECT_FALSE(same_server("http://box:1", "https://box:1"));
  EXPECT_FALSE(same_server("", ""));
  EXPECT_EQ(server_root("box:8081"), "http://box:8081");
  EXPECT_EQ(server_root("https://box/v1/"), "https://box");
  for (const char* bad : {"", "ftp://x", "http://", "http://a b", "http://x'y", "http://u:p@x", "http://x?y"})
    EXPECT_THROW(server_root(bad), Error) << bad;
}

}  // namespace
}  // namespace moraine::agents
