// /v1/chat/completions: shapes of messages in, OpenAI's objects out.
#include <gtest/gtest.h>

#include "server/api/testing/harness.h"

namespace moraine::server {
namespace {

const std::string kPath = "/v1/chat/completions";

Json user(const Json& content) { return Json::array({Json{{"role", "user"}, {"content", content}}}); }

class Chat : public testing::Test {
 protected:
  // The prompt that the model would see.
  std::string prompt_of(const Json& messages) {
    const Json json = h.post("/apply-template", {{"messages", messages}});
    return json.contains("prompt") ? json["prompt"].get<std::string>() : dump(json);
  }
  std::string refused(const Json& body) {
    const Json json = h.post(kPath, body, 400);
    return json.contains("error") ? json["error"]["param"].get<std::string>() : dump(json);
  }
  ReadyHarness h;
};

TEST_F(Chat, WholeAnswer) {
  const Json json = h.post(kPath, {{"model", "any"}, {"messages", user("hi")}});
  EXPECT_EQ(json["object"], "chat.completion");
  EXPECT_EQ(json["model"], "any");
  EXPECT_EQ(json["id"].get<std::string>().substr(0, 9), "chatcmpl-");
  const Json& choice = json["choices"][0];
  EXPECT_EQ(choice["index"], 0);
  EXPECT_EQ(choice["message"]["role"], "assistant");
  EXPECT_EQ(choice["message"]["content"], "Hello");
  EXPECT_EQ(choice["finish_reason"], "stop");
  EXPECT_TRUE(choice["logprobs"].is_null());
  // <|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n: control tokens count one each
  EXPECT_EQ(json["usage"]["prompt_tokens"], 1 + 5 + 2 + 1 + 1 + 1 + 10);
  EXPECT_EQ(json["usage"]["completion_tokens"], 6);  // with the token that ended the turn
  EXPECT_EQ(json["usage"]["total_tokens"], 27);
  EXPECT_EQ(json["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
  EXPECT_EQ(json["timings"]["predicted_n"], 6);
  EXPECT_EQ(json["timings"]["prompt_n"], 21);
}

TEST_F(Chat, Streamed) {
  const auto exchange = h.call(
      "POST", kPath,
      dump({{"messages", user("hi")}, {"stream", true}, {"stream_options", {{"include_usage", true}}}}));
  EXPECT_EQ(exchange->head.content_type, "text/event-stream; charset=utf-8");
  const auto events = events_of(exchange->body);
  ASSERT_EQ(events.size(), 1u + 5 + 1 + 1 + 1);
  EXPECT_EQ(
      dump(events[0]["choices"]),
      R"([{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}])");
  std::string text;
  for (std::size_t i = 1; i <= 5; ++i) {
    EXPECT_EQ(events[i]["object"], "chat.completion.chunk");
    EXPECT_EQ(events[i]["id"], events[0]["id"]);
    EXPECT_TRUE(events[i]["usage"].is_null());
    text += events[i]["choices"][0]["delta"]["content"];
  }
  EXPECT_EQ(text, "Hello");
  EXPECT_EQ(dump(events[6]["choices"]), R"([{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}])");
  EXPECT_TRUE(events[7]["choices"].empty());
  EXPECT_EQ(events[7]["usage"]["completion_tokens"], 6);
  EXPECT_EQ(events[8], "[DONE]");
}

TEST_F(Chat, WithoutAskingThereIsNoUsageChunkButTimings) {
  const auto events =
      events_of(h.call("POST", kPath, dump({{"messages", user("hi")}, {"stream", true}}))->body);
  const Json& last = events[events.size() - 2];
  EXPECT_EQ(last["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(last["timings"]["predicted_n"], 6);
  for (const Json& event : events) EXPECT_FALSE(event.is_object() && event.contains("usage"));
}

TEST_F(Chat, ProgressAndTimingsOnRequest) {
  const auto events = events_of(h.call("POST", kPath,
                                       dump({{"messages", user("hi")},
                                             {"stream", true},
                                             {"return_progress", true},
                                             {"timings_per_token", true}}))
                                    ->body);
  EXPECT_EQ(events[1]["prompt_progress"]["total"], 21);
  EXPECT_EQ(events[1]["prompt_progress"]["processed"], 21);
  EXPECT_EQ(events[2]["timings"]["predicted_n"], 1);
  EXPECT_EQ(events[3]["timings"]["predicted_n"], 2);
}

TEST_F(Chat, SeveralChoices) {
  h.engine->script = [](const GenerationRequest& r) {
    return FakeScript{.tokens = byte_tokens(std::string(2 + r.choice, static_cast<char>('a' + r.choice)))};
  };
  const Json json = h.post(kPath, {{"messages", user("hi")}, {"n", 3}});
  ASSERT_EQ(json["choices"].size(), 3u);
  EXPECT_EQ(json["choices"][2]["message"]["content"], "cccc");
  EXPECT_EQ(json["choices"][2]["index"], 2);
  EXPECT_EQ(json["usage"]["prompt_tokens"], 21);  // once
  EXPECT_EQ(json["usage"]["completion_tokens"], 3 + 4 + 5);

  const auto events =
      events_of(h.call("POST", kPath, dump({{"messages", user("hi")}, {"n", 3}, {"stream", true}}))->body);
  std::vector<std::string> texts(3);
  std::vector<int> finished(3);
  for (const Json& event : events) {
    if (!event.is_object()) continue;
    const Json& choice = event["choices"][0];
    const std::size_t i = choice["index"];
    EXPECT_EQ(finished[i], 0) << "nothing follows a finish_reason";
    texts[i] += choice["delta"].value("content", "");
    if (!choice["finish_reason"].is_null()) ++finished[i];
  }
  EXPECT_EQ(texts, (std::vector<std::string>{"aa", "bbb", "cccc"}));
  EXPECT_EQ(finished, (std::vector<int>{1, 1, 1}));
  EXPECT_EQ(events.back(), "[DONE]");
}

TEST_F(Chat, Logprobs) {
  h.answers("h\u00e9");
  const Json json = h.post(kPath, {{"messages", user("hi")}, {"logprobs", true}, {"top_logprobs", 2}});
  const Json& content = json["choices"][0]["logprobs"]["content"];
  ASSERT_EQ(content.size(), 3u);  // as many as bytes here
  EXPECT_EQ(dump(content[0]), R"({"id":104,"token":"h","bytes":[104],"logprob":-0.25,"top_logprobs":[)"
                              R"({"id":104,"token":"h","bytes":[104],"logprob":-0.25},)"
                              R"({"id":105,"token":"i","bytes":[105],"logprob":-1.25}]})");
  EXPECT_EQ(content[1]["bytes"], Json::array({0xC3}));
  EXPECT_EQ(content[1]["token"], "\uFFFD");

  std::vector<int> bytes;
  for (const Json& event :
       events_of(h.call("POST", kPath, dump({{"messages", user("hi")}, {"logprobs", true}, {"stream", true}}))
                     ->body)) {
    if (!event.is_object() || event["choices"][0]["logprobs"].is_null()) continue;
    for (const Json& token : event["choices"][0]["logprobs"]["content"]) bytes.push_back(token["bytes"][0]);
  }
  EXPECT_EQ(bytes, (std::vector<int>{0x68, 0xC3, 0xA9}));
}

TEST_F(Chat, LengthIsAFinishReason) {
  EXPECT_EQ(h.post(kPath, {{"messages", user("hi")}, {"max_tokens", 2}})["choices"][0]["finish_reason"],
            "length");
  EXPECT_EQ(h.engine->requests().back().max_tokens, 2);
}

TEST_F(Chat, ThePromptIsTheTemplates) {
  EXPECT_EQ(prompt_of(user("hi")), "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n");
}

TEST_F(Chat, AStringAndATextPartAreAlike) {
  EXPECT_EQ(prompt_of(user("hi")), prompt_of(user(Json::parse(R"([{"type":"text","text":"hi"}])"))));
  EXPECT_EQ(prompt_of(user("a\nb")),
            prompt_of(user(Json::parse(R"([{"type":"text","text":"a"},{"type":"text","text":"b"}])"))));
}

TEST_F(Chat, PicturesLeaveANoteAndOneLineInTheLog) {
  const Json parts =
      Json::parse(R"([{"type":"text","text":"see"},{"type":"image_url","image_url":{"url":"data:x"}}])");
  EXPECT_NE(prompt_of(user(parts)).find("see\n[A picture was attached here; this model reads text only.]"),
            std::string::npos);
  prompt_of(user(parts));
  EXPECT_EQ(h.log.size(), 1u);
  EXPECT_NE(prompt_of(user(Json::parse(R"([{"type":"input_audio"}])"))).find("[A recording"),
            std::string::npos);
}

TEST_F(Chat, RolesOfAllClients) {
  const Json messages = Json::parse(R"([{"role":"developer","content":"d"},{"role":"user","content":"u"},
      {"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},
      {"role":"tool","tool_call_id":"1","content":"t"},{"role":"user","content":""}])");
  EXPECT_EQ(prompt_of(messages).find("<|im_start|>system\nd<|im_end|>\n<|im_start|>user\nu"), 0u);
  EXPECT_EQ(refused({{"messages", Json::parse(R"([{"role":"king","content":"x"}])")}}), "messages[0].role");
}

TEST_F(Chat, AnUnfinishedAnswerIsContinued) {
  Json messages = user("hi");
  messages.push_back({{"role", "assistant"}, {"content", "I am"}});
  EXPECT_EQ(prompt_of(messages), "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nI am");
}

TEST_F(Chat, BadMessagesNameTheirPlace) {
  EXPECT_EQ(refused({{"messages", Json::array()}}), "messages");
  EXPECT_EQ(refused({{"messages", "hi"}}), "messages");
  EXPECT_EQ(refused({{"messages", Json::array({"hi"})}}), "messages[0]");
  EXPECT_EQ(refused({{"messages", Json::array({Json::object()})}}), "messages[0].role");
  EXPECT_EQ(refused({{"messages", user(5)}}), "messages[0].content");
  EXPECT_EQ(refused({{"messages", user(nullptr)}}), "messages[0].content");
  EXPECT_EQ(refused({{"messages", user(Json::array({5}))}}), "messages[0].content[0]");
  EXPECT_EQ(refused({{"messages", user(Json::parse(R"([{"type":"text"}])"))}}),
            "messages[0].content[0].text");
  EXPECT_EQ(refused({{"messages", Json::parse(R"([{"role":"assistant","tool_calls":[{}]}])")}}),
            "messages[0].tool_calls[0].function");
  EXPECT_EQ(refused({{"messages", Json::parse(R"([{"role":"assistant","content":"only"}])")}}), "messages");
  EXPECT_EQ(refused({{"messages", user("hi")}, {"tools", "x"}}), "tools");
  EXPECT_EQ(refused({{"messages", user("hi")}, {"tools", Json::parse(R"([{"type":"function"}])")}}),
            "tools[0].function");
  EXPECT_EQ(refused({{"messages", user("hi")}, {"top_logprobs", 2}}), "top_logprobs");
  EXPECT_EQ(refused({{"messages", user("hi")}, {"logprobs", true}, {"top_logprobs", 21}}), "top_logprobs");
}

TEST_F(Chat, ToolsReachTheTemplateUnlessTheChoiceIsNone) {
  Harness tools(ApiOptions{
      .chat_template = "{{ tools is defined and tools is not none }}{{ tools[0].function.name if tools }}"});
  tools.ready();
  Json body = {
      {"messages", user("hi")},
      {"tools", Json::parse(R"([{"type":"web_search"},{"type":"function","function":{"name":"read"}}])")}};
  EXPECT_EQ(
      tools.post("/apply-template", body)["prompt"].get<std::string>().find("read") != std::string::npos,
      true);
  body["tool_choice"] = "none";
  EXPECT_EQ(tools.post("/apply-template", body)["prompt"].get<std::string>().find("read"), std::string::npos);
}

TEST_F(Chat, TemplateVariablesComeFromFlagsAndRequest) {
  Harness vars(ApiOptions{.chat_template = "{{ mode }}-{{ other }}",
                          .chat_template_kwargs = R"({"mode":"a","other":"b"})"});
  vars.ready();
  EXPECT_EQ(vars.post("/apply-template",
                      {{"messages", user("x")}, {"chat_template_kwargs", {{"mode", "c"}}}})["prompt"],
            "c-b");
}

TEST_F(Chat, ABrokenTemplateInTheFileFailsOnlyChat) {
  Harness broken;
  broken.engine->model_info.chat_templates = {"{% if %}"};
  broken.ready();
  EXPECT_EQ(broken.log.size(), 1u);
  EXPECT_TRUE(broken.post(kPath, {{"messages", user("x")}}, 501).contains("error"));
  EXPECT_EQ(broken.post("/completion", {{"prompt", "x"}})["content"], "Hello");
}

TEST_F(Chat, LoneSurrogatesAndDuplicateKeysAreTaken) {
  const auto exchange =
      h.call("POST", kPath, R"({"messages":1,"messages":[{"role":"user","content":"\ud800"}]})");
  EXPECT_EQ(exchange->head.status, 200) << exchange->body;
}

}  // namespace
}  // namespace moraine::server
