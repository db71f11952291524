#include "chat/template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <moraine/error.h>

#include <thread>

namespace moraine::chat {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::string_view kUser = R"([{"role":"user","content":"Hi"}])";

std::shared_ptr<const ChatTemplate> compile(const std::string& text) {
  return ChatTemplate::compile({.texts = {text}, .bos_token = "<s>", .eos_token = "</s>"});
}

std::string render(const std::string& text, std::string_view messages = kUser) {
  return compile(text)->render({.messages_json = messages, .now_unix_s = 0});
}

// The code and message of the Error that `body` throws.
template <class Body>
std::pair<ErrorCode, std::string> error_of(Body body) {
  try {
    body();
  } catch (const Error& e) {
    return {e.code(), e.what()};
  }
  return {ErrorCode::kInternal, "nothing was thrown"};
}

TEST(ChatTemplate, RendersVariablesAndMessages) {
  EXPECT_EQ(render("{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m['content'] }}{{ eos_token }}"
                   "{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"),
            "<s>[user]Hi</s>[assistant]");
}

TEST(ChatTemplate, WithoutAFileTemplateChatMlIsUsedAndSaid) {
  const auto chat = ChatTemplate::compile({});
  EXPECT_EQ(chat->render({.messages_json = kUser}),
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_THAT(chat->note(), HasSubstr("no chat template"));
  EXPECT_TRUE(chat->caps().system_role);
}

TEST(ChatTemplate, OverrideWinsOverTheFile) {
  EXPECT_EQ(ChatTemplate::compile({.texts = {"file"}, .override_text = "{{ 'mine' }}"})
                ->render({.messages_json = kUser}),
            "mine");
  EXPECT_THAT(
      ChatTemplate::compile({.texts = {"file"}, .override_text = "chatml"})->render({.messages_json = kUser}),
      HasSubstr("<|im_start|>user"));
  const auto [code, message] = error_of([] { ChatTemplate::compile({.override_text = "vicuna"}); });
  EXPECT_EQ(code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(message, AllOf(HasSubstr("vicuna"), HasSubstr("chatml")));
}

TEST(ChatTemplate, ToolUseVariantIsTakenWhenThereAreTools) {
  const auto chat = ChatTemplate::compile(
      {.texts = {"plain", "tools {{ tools[0].name }}"}, .names = {"default", "tool_use"}});
  EXPECT_EQ(chat->render({.messages_json = kUser}), "plain");
  EXPECT_EQ(chat->render({.messages_json = kUser, .tools_json = "[]"}), "plain");
  EXPECT_EQ(chat->render({.messages_json = kUser, .tools_json = R"([{"name":"f"}])"}), "tools f");
}

TEST(ChatTemplate, TheTemplatesOwnWordsReachTheUser) {
  const auto chat = compile(
      "{% if 'king' in messages[0].content %}{{ raise_exception('No kings are supported') }}{% endif %}x");
  const auto [code, message] =
      error_of([&] { chat->render({.messages_json = R"([{"role":"user","content":"a king"}])"}); });
  EXPECT_EQ(code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(message, "The model's chat template refuses these messages: No kings are supported.");
}

TEST(ChatTemplate, ATemplateThatDoesNotCompileNamesTheLineAndTheRemedy) {
  const auto [code, message] = error_of([] { compile("ok\n{% if %}"); });
  EXPECT_EQ(code, ErrorCode::kUnsupported);
  EXPECT_THAT(message, AllOf(HasSubstr("line 2"), HasSubstr("--chat-template")));
}

TEST(ChatTemplate, AnEndlessTemplateEnds) {
  const auto chat = compile("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}");
  const auto [code, message] = error_of([&] { chat->render({.messages_json = kUser}); });
  EXPECT_EQ(code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(message, HasSubstr("limit"));
}

TEST(ChatTemplate, BadInputIsRefused) {
  const auto chat = compile("{{ messages }}");
  for (const std::string messages :
       {"", "{", "{}", "[1]", "null", "\"x\"", "[{\"role\":\"\xff\"}]", "[{\"a\":1e999}]"}) {
    EXPECT_EQ(error_of([&] { chat->render({.messages_json = messages}); }).first, ErrorCode::kInvalidArgument)
        << messages;
  }
  const std::string deep = "[{\"content\":" + std::string(100000, '[') + std::string(100000, ']') + "}]";
  EXPECT_EQ(error_of([&] { chat->render({.messages_json = deep}); }).first, ErrorCode::kInvalidArgument);
  EXPECT_EQ(error_of([&] { chat->render({.messages_json = kUser, .variables_json = "[]"}); }).first,
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(error_of([&] { chat->render({.messages_json = kUser, .tools_json = "["}); }).first,
            ErrorCode::kInvalidArgument);
}

TEST(ChatTemplate, VariablesOfTheRequestWin) {
  const auto chat = compile("{{ bos_token }}{{ enable_thinking }}");
  EXPECT_EQ(chat->render(
                {.messages_json = kUser, .variables_json = R"({"bos_token":"B","enable_thinking":false})"}),
            "BFalse");
  EXPECT_TRUE(chat->caps().enable_thinking);
}

TEST(ChatTemplate, TheTimeIsTheCallers) {
  EXPECT_EQ(render("{{ strftime_now('%d %b %Y') }}"), "01 Jan 1970");
}

// Each expectation is what jinja2, set up as transformers does, gives for the same text.
TEST(ChatTemplate, PythonTexts) {
  const std::pair<std::string, std::string> cases[] = {
      {"{{ true }} {{ none }} {{ 1.0 }} {{ 1e16 }} {{ missing }}", "True None 1.0 1e+16 "},
      {"{{ [1, 'a', none, {'k': 2.5}, (1,)] }}", "[1, 'a', None, {'k': 2.5}, (1,)]"},
      {"{{ {'a': 1, 'b': [true, none, 1e-7]}|tojson }}", R"({"a": 1, "b": [true, null, 1e-07]})"},
      {"{{ {'b': '<é\\n', 'a': []}|tojson(indent=2, sort_keys=true) }}",
       "{\n  \"a\": [],\n  \"b\": \"<é\\n\"\n}"},
      {"{{ 'é😀'|tojson(ensure_ascii=true) }}", R"("\u00e9\ud83d\ude00")"},
      {"{{ [1, 2]|tojson(separators=(',', ':')) }}", "[1,2]"},
      {"{{ 'abc'.removeprefix('a').removesuffix('c') }}{{ ' x '.strip() }}{{ 'a,b'.split(',')[-1] }}", "bxb"},
      {"{% generation %}a{% endgeneration %}", "a"},
      {"{% for i in range(9) %}{% if i == 1 %}{% continue %}{% elif i == 3 %}{% break %}{% endif %}{{ i }}{% "
       "endfor %}",
       "02"},
      {"{{ 'a\\nb\\n'|indent(2) }}|", "a\n  b\n|"},
      {"{{ none is iterable }}{{ 'a' is sequence }}{{ {} is mapping }}", "FalseTrueTrue"},
      {"{% for k, v in {'items': 1, 'keys': 2}.items() %}{{ k }}{{ v }}{% endfor %}", "items1keys2"},
      {"{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}",
       "1"},
      {"{{ messages[0].get('x', 'd') }}{{ messages[0].content.upper() }}", "dHI"},
      {"a\n  {% if true %}\nb\n  {% endif %}\nc\n", "a\nb\nc"},
      {"{{ 'x' ~ 1 ~ none ~ true }}", "x1NoneTrue"},
      {"{{ [1, none]|join('-') }}{{ 2|string + '!' }}", "1-None2!"},
      {"{{ '%s is %d'|format('a', 3) }}", "a is 3"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(render(text), expected) << text;
}

TEST(ChatTemplate, CapsSayWhatATemplateShows) {
  const auto plain = compile("{% for m in messages %}{{ m.role + ':' + m.content }}{% endfor %}");
  EXPECT_TRUE(plain->caps().system_role);
  EXPECT_TRUE(plain->caps().tool_results);
  EXPECT_FALSE(plain->caps().tools);
  EXPECT_FALSE(plain->caps().tool_calls);
  EXPECT_FALSE(plain->caps().text_parts);
  EXPECT_FALSE(plain->caps().null_content);
  EXPECT_FALSE(plain->caps().reasoning);

  const auto rich = compile(
      "{{ tools|tojson }}{% for m in messages %}{% if m.content is string %}{{ m.content }}{% elif m.content "
      "%}"
      "{% for p in m.content %}{{ p.text }}{% endfor %}{% endif %}{% for c in m.tool_calls or [] %}"
      "{{ c.function.arguments.items()|list }}{% endfor %}{{ m.reasoning_content }}{% endfor %}");
  EXPECT_TRUE(rich->caps().tools);
  EXPECT_TRUE(rich->caps().tool_calls);
  EXPECT_TRUE(rich->caps().object_arguments);
  EXPECT_TRUE(rich->caps().text_parts);
  EXPECT_TRUE(rich->caps().null_content);
  EXPECT_TRUE(rich->caps().reasoning);

  const auto text_arguments = compile(
      "{% for m in messages %}{% for c in m.tool_calls or [] %}{{ 'call ' + c.function.arguments }}{% endfor "
      "%}{% endfor %}");
  EXPECT_TRUE(text_arguments->caps().tool_calls);
  EXPECT_FALSE(text_arguments->caps().object_arguments);
}

TEST(ChatTemplate, ManyThreadsShareOne) {
  const auto chat = compile("{% for m in messages %}{{ m.content }}{% endfor %}");
  std::vector<std::thread> threads;
  std::vector<std::string> texts(4);
  for (size_t t = 0; t < texts.size(); ++t)
    threads.emplace_back([&, t] {
      const std::string messages = R"([{"role":"user","content":"t)" + std::to_string(t) + R"("}])";
      for (int i = 0; i < 20; ++i) texts[t] += chat->render({.messages_json = messages});
    });
  for (std::thread& thread : threads) thread.join();
  for (size_t t = 0; t < texts.size(); ++t) {
    std::string expected;
    for (int i = 0; i < 20; ++i) expected.append("t").append(std::to_string(t));
    EXPECT_EQ(texts[t], expected);
  }
}

}  // namespace
}  // namespace moraine::chat
