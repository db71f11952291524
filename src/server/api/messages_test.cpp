// /v1/messages: Anthropic's shapes in, its blocks and events out.
#include <gtest/gtest.h>

#include "server/api/testing/agent_harness.h"

namespace moraine::server {
namespace {

const std::string kPath = "/v1/messages";
constexpr const char* kAgentAnswer =
    "<think>Hm.</think>Let me look.<tool_call>\n"
    R"({"name": "read", "arguments": {"path": "a.c", "n": 2}})"
    "\n</tool_call>";

Json body_of(const Json& messages) {
  return {{"model", "claude"}, {"max_tokens", 4000}, {"messages", messages}};
}
Json user(const Json& content) { return Json::array({Json{{"role", "user"}, {"content", content}}}); }
Json with_tools(Json body) {
  body["tools"] = Json::parse(R"([{"name":"read","description":"Reads.","input_schema":{"type":"object",
      "properties":{"path":{"type":"string"},"n":{"type":"integer"}}},"cache_control":{"type":"ephemeral"}},
      {"type":"web_search_20250305","name":"web_search","max_uses":3}])");
  return body;
}

class Messages : public testing::Test {
 protected:
  std::string prompt_of(const Json& body) { return h.prompt_of(kPath, body); }
  // The message of a 400.
  std::string refused(const Json& body) {
    const Json json = h.post(kPath, body, 400);
    if (json.value("type", "") != "error" || !json.contains("error")) return dump(json);
    EXPECT_EQ(json["error"]["type"], "invalid_request_error");
    return json["error"]["message"];
  }
  AgentHarness h;
};

TEST_F(Messages, WholeAnswer) {
  h.engine->n_cached = 5;
  const Json json = h.post(kPath, body_of(user("hi")));
  EXPECT_EQ(json["id"].get<std::string>().substr(0, 4), "msg_");
  EXPECT_EQ(json["type"], "message");
  EXPECT_EQ(json["role"], "assistant");
  EXPECT_EQ(json["model"], "claude");
  EXPECT_EQ(dump(json["content"]), R"([{"type":"text","text":"Hello"}])");
  EXPECT_EQ(json["stop_reason"], "end_turn");
  EXPECT_TRUE(json["stop_sequence"].is_null());
  // [user]hi[assistant], a token for each byte; of them 5 were cached
  EXPECT_EQ(
      dump(json["usage"]),
      R"({"input_tokens":14,"cache_creation_input_tokens":0,"cache_read_input_tokens":5,"output_tokens":6})");
}

TEST_F(Messages, ThinkingTextAndCallsAreBlocks) {
  h.answers(kAgentAnswer);
  const Json json = h.post(kPath, with_tools(body_of(user("hi"))));
  const Json& content = json["content"];
  ASSERT_EQ(content.size(), 3u) << dump(json);
  EXPECT_EQ(content[0]["type"], "thinking");
  EXPECT_EQ(content[0]["thinking"], "Hm.");
  EXPECT_TRUE(content[0]["signature"].is_string());
  EXPECT_EQ(content[1]["text"], "Let me look.");
  EXPECT_EQ(content[2]["type"], "tool_use");
  EXPECT_EQ(content[2]["name"], "read");
  EXPECT_EQ(dump(content[2]["input"]), R"({"path":"a.c","n":2})");
  EXPECT_FALSE(content[2]["id"].get<std::string>().empty());
  EXPECT_EQ(json["stop_reason"], "tool_use");
}

TEST_F(Messages, StreamedText) {
  h.engine->n_cached = 5;
  const auto events = h.stream(kPath, body_of(user("hi")));
  EXPECT_EQ(
      types_of(events),
      "message_start ping content_block_start content_block_delta content_block_delta content_block_delta "
      "content_block_delta content_block_delta content_block_stop message_delta message_stop");
  const Json& start = events[0]["message"];
  EXPECT_EQ(start["role"], "assistant");
  EXPECT_TRUE(start["content"].empty());
  EXPECT_TRUE(start["stop_reason"].is_null());
  EXPECT_EQ(start["usage"]["input_tokens"], 19);  // what is cached shows later
  EXPECT_EQ(start["usage"]["cache_read_input_tokens"], 0);
  EXPECT_EQ(dump(events[2]),
            R"({"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}})");
  EXPECT_EQ(dump(events[3]),
            R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"H"}})");
  EXPECT_EQ(dump(events[9]["delta"]), R"({"stop_reason":"end_turn","stop_sequence":null})");
  EXPECT_EQ(events[9]["usage"]["input_tokens"], 14);
  EXPECT_EQ(events[9]["usage"]["cache_read_input_tokens"], 5);
  EXPECT_EQ(events[9]["usage"]["output_tokens"], 6);
}

TEST_F(Messages, StreamedThinkingTextAndCall) {
  h.answers(kAgentAnswer);
  const auto events = h.stream(kPath, with_tools(body_of(user("hi"))));
  std::vector<std::string> blocks, kinds;
  std::string thinking, text, arguments;
  int open = -1;
  for (const Json& event : events) {
    const std::string type = event["type"];
    if (type == "content_block_start") {
      EXPECT_EQ(open, -1) << "one block at a time";
      open = event["index"];
      EXPECT_EQ(static_cast<std::size_t>(open), blocks.size());
      blocks.push_back(event["content_block"]["type"]);
      if (blocks.back() == "tool_use") EXPECT_EQ(dump(event["content_block"]["input"]), "{}");
    } else if (type == "content_block_delta") {
      EXPECT_EQ(event["index"], open);
      const Json& delta = event["delta"];
      if (kinds.empty() || kinds.back() != delta["type"]) kinds.push_back(delta["type"]);
      thinking += delta.value("thinking", "");
      text += delta.value("text", "");
      arguments += delta.value("partial_json", "");
    } else if (type == "content_block_stop") {
      EXPECT_EQ(event["index"], open);
      open = -1;
    }
  }
  EXPECT_EQ(blocks, (std::vector<std::string>{"thinking", "text", "tool_use"}));
  EXPECT_EQ(kinds, (std::vector<std::string>{"thinking_delta", "signature_delta", "text_delta",
                                             "input_json_delta"}));
  EXPECT_EQ(thinking, "Hm.");
  EXPECT_EQ(text, "Let me look.");
  EXPECT_EQ(Json::parse(arguments), Json::parse(R"({"path":"a.c","n":2})"));
  EXPECT_EQ(events[events.size() - 2]["delta"]["stop_reason"], "tool_use");
}

TEST_F(Messages, StopReasons) {
  Json body = body_of(user("hi"));
  body["stop_sequences"] = {"zz", "lo"};
  Json json = h.post(kPath, body);
  EXPECT_EQ(json["content"][0]["text"], "Hel");
  EXPECT_EQ(json["stop_reason"], "stop_sequence");
  EXPECT_EQ(json["stop_sequence"], "lo");
  const auto events = h.stream(kPath, body);
  EXPECT_EQ(dump(events[events.size() - 2]["delta"]),
            R"({"stop_reason":"stop_sequence","stop_sequence":"lo"})");

  body = body_of(user("hi"));
  body["max_tokens"] = 2;
  json = h.post(kPath, body);
  EXPECT_EQ(json["stop_reason"], "max_tokens");
  EXPECT_EQ(json["usage"]["output_tokens"], 2);
  body["max_tokens"] = 4000000000;  // clamped to the room
  EXPECT_EQ(h.post(kPath, body)["stop_reason"], "end_turn");
  EXPECT_EQ(h.engine->requests().back().max_tokens, 8192 - 19);
}

TEST_F(Messages, ACallThatTheLimitCutIsNoToolUse) {
  h.answers(kAgentAnswer);
  Json body = with_tools(body_of(user("hi")));
  body["max_tokens"] = 80;
  const auto events = h.stream(kPath, body);
  EXPECT_EQ(events[events.size() - 2]["delta"]["stop_reason"], "max_tokens");
  EXPECT_EQ(events[events.size() - 3]["type"], "content_block_stop");
  EXPECT_EQ(h.post(kPath, body)["stop_reason"], "max_tokens");
}

TEST_F(Messages, SystemTextsWithoutTheBillingLine) {
  Json body = body_of(user("hi"));
  const std::string expected = "[system]Be brief.\nBe kind.[user]hi[assistant]";
  body["system"] = "Be brief.\nBe kind.";
  EXPECT_EQ(prompt_of(body), expected);
  body["system"] = Json::parse(R"([
      {"type":"text","text":"x-anthropic-billing-header: cc_version=2.1; cch=a1b2c;"},
      {"type":"text","text":"Be brief.","cache_control":{"type":"ephemeral"}},{"type":"text","text":"Be kind."}])");
  EXPECT_EQ(prompt_of(body), expected);
  body["system"] = "x-anthropic-billing-header: cch=fffff;\nBe brief.\nBe kind.";
  EXPECT_EQ(prompt_of(body), expected);
  body["system"] = Json::array();
  EXPECT_EQ(prompt_of(body), "[user]hi[assistant]");
}

TEST_F(Messages, AWholeTurnOfAnAgent) {
  const Json messages = Json::parse(R"([
    {"role":"user","content":[{"type":"text","text":"Look"},{"type":"image","source":{"type":"base64","data":"AA"}}]},
    {"role":"assistant","content":[
      {"type":"thinking","thinking":"Hm.","signature":"s"},{"type":"redacted_thinking","data":"zz"},
      {"type":"text","text":"Two calls:"},
      {"type":"tool_use","id":"t1","name":"read","input":{"path":"a"}},
      {"type":"tool_use","id":"t2","name":"read","input":{}}]},
    {"role":"user","content":[
      {"type":"text","text":"And?"},
      {"type":"tool_result","tool_use_id":"t1","content":"one","cache_control":{"type":"ephemeral"}},
      {"type":"tool_result","tool_use_id":"t2","is_error":true,"content":[{"type":"text","text":"no"},
        {"type":"image","source":{"type":"url","url":"x"}}]}]},
    {"role":"system","content":"Mind the time."},
    {"role":"user","content":"Go on."}])");
  EXPECT_EQ(
      prompt_of(body_of(messages)),
      "[user]Look\n[A picture was attached here; this model reads text only.]"
      R"([assistant]<think>Hm.</think>Two calls:<tool_call>{"name": "read", "arguments": {"path": "a"}}</tool_call>)"
      R"(<tool_call>{"name": "read", "arguments": {}}</tool_call>)"
      "[tool]one[tool]Error: no\n[A picture was attached here; this model reads text only.]"
      "[user]And?[system]Mind the time.[user]Go on.[assistant]");
}

TEST_F(Messages, AStringAndATextBlockAreAlike) {
  EXPECT_EQ(prompt_of(body_of(user("hi"))),
            prompt_of(body_of(user(Json::parse(R"([{"type":"text","text":"hi","citations":null}])")))));
  const auto result = [](const Json& content) {
    Json messages = user("x");
    messages.push_back(Json::parse(
        R"({"role":"assistant","content":[{"type":"tool_use","id":"t","name":"read","input":{}}]})"));
    messages.push_back(
        {{"role", "user"},
         {"content",
          {{{"type", "tool_result"}, {"tool_use_id", "t"}, {"is_error", true}, {"content", content}}}}});
    return body_of(messages);
  };
  EXPECT_EQ(prompt_of(result("no")), prompt_of(result(Json::parse(R"([{"type":"text","text":"no"}])"))));
  EXPECT_NE(prompt_of(result(nullptr)).find("[tool]Error:"), std::string::npos);
}

TEST_F(Messages, DocumentsAndUnknownBlocks) {
  const Json content = Json::parse(R"([
    {"type":"document","title":"T","source":{"type":"text","media_type":"text/plain","data":"inside"}},
    {"type":"document","source":{"type":"content","content":[{"type":"text","text":"parts"}]}},
    {"type":"document","source":{"type":"base64","data":"AA"}},
    {"type":"search_result","title":"R","source":"s","content":[{"type":"text","text":"found"}]},
    {"type":"from_the_future","x":1}])");
  EXPECT_EQ(prompt_of(body_of(user(content))),
            "[user]T\ninside\nparts\n[A file was attached here; this model reads text "
            "only.]\nR\ns\nfound[assistant]");
}

TEST_F(Messages, AnUnfinishedAnswerIsContinued) {
  Json messages = user("hi");
  messages.push_back({{"role", "assistant"}, {"content", Json::parse(R"([{"type":"text","text":"I am"}])")}});
  EXPECT_EQ(prompt_of(body_of(messages)), "[user]hi[assistant]I am");
}

TEST_F(Messages, ToolsOfTheClientReachTheTemplate) {
  Json body = with_tools(body_of(user("hi")));
  EXPECT_NE(prompt_of(body).find("{tools read}"), std::string::npos) << h.prompt();
  body["tool_choice"] = {{"type", "none"}};
  EXPECT_EQ(prompt_of(body).find("{tools"), std::string::npos);
  for (const char* choice : {R"({"type":"auto","disable_parallel_tool_use":true})", R"({"type":"any"})",
                             R"({"type":"tool","name":"read"})"}) {
    body["tool_choice"] = Json::parse(choice);
    EXPECT_NE(prompt_of(body).find("{tools read}"), std::string::npos) << choice;
  }
}

TEST_F(Messages, ThinkingIsAVariableOfTheTemplate) {
  Json body = body_of(user("hi"));
  EXPECT_EQ(prompt_of(body).find("{thinking"), std::string::npos);
  body["thinking"] = {{"type", "disabled"}};
  EXPECT_NE(prompt_of(body).find("{thinking False}"), std::string::npos) << h.prompt();
  body["thinking"] = {{"type", "enabled"}, {"budget_tokens", 1024}};
  EXPECT_NE(prompt_of(body).find("{thinking True}"), std::string::npos);
  body["thinking"] = {{"type", "adaptive"}, {"display", "omitted"}};
  body["output_config"] = {{"effort", "high"}};
  EXPECT_NE(prompt_of(body).find("{thinking True}{effort high}"), std::string::npos);
}

TEST_F(Messages, FieldsOfOthersAreIgnored) {
  Json body = body_of(user("hi"));
  body.update(Json::parse(R"({"metadata":{"user_id":"u"},"service_tier":"auto","betas":["x-2030-01-01"],
      "context_management":{"edits":[]},"container":null,"mcp_servers":[],"inference_geo":"eu","new":{"deep":[1]}})"));
  EXPECT_EQ(prompt_of(body), "[user]hi[assistant]");
}

TEST_F(Messages, CountTokensIsWhatTheMessageTakes) {
  Json body = with_tools(body_of(user("hi")));
  body["system"] = "Be brief.";
  body["thinking"] = {{"type", "enabled"}, {"budget_tokens", 1024}};
  const Json usage = h.post(kPath, body)["usage"];
  body.erase("max_tokens");
  EXPECT_EQ(dump(h.post(kPath + "/count_tokens", body)), dump({{"input_tokens", usage["input_tokens"]}}));
  // No limit holds for counting.
  EXPECT_GT(h.post(kPath + "/count_tokens", body_of(user(std::string(20000, 'x'))))["input_tokens"], 20000);
}

TEST_F(Messages, BadFieldsAreNamed) {
  const auto with = [](const char* name, const Json& value) {
    Json body = body_of(user("hi"));
    body[name] = value;
    return body;
  };
  Json none = body_of(user("hi"));
  none.erase("max_tokens");
  EXPECT_NE(refused(none).find("'max_tokens'"), std::string::npos);
  EXPECT_NE(refused(with("max_tokens", 0)).find("'max_tokens'"), std::string::npos);
  EXPECT_NE(refused(with("max_tokens", "x")).find("'max_tokens'"), std::string::npos);
  EXPECT_NE(refused(with("messages", "hi")).find("'messages'"), std::string::npos);
  EXPECT_NE(refused(with("messages", Json::array())).find("'messages'"), std::string::npos);
  EXPECT_NE(refused(with("messages", Json::array({5}))).find("'messages[0]'"), std::string::npos);
  EXPECT_NE(
      refused(with("messages", Json::parse(R"([{"role":"king","content":"x"}])"))).find("'messages[0].role'"),
      std::string::npos);
  EXPECT_NE(refused(with("messages", Json::parse(R"([{"role":"user"}])"))).find("'messages[0].content'"),
            std::string::npos);
  EXPECT_NE(refused(with("messages", user(7))).find("'messages[0].content'"), std::string::npos);
  EXPECT_NE(refused(with("messages", user(Json::array({7})))).find("'messages[0].content[0]'"),
            std::string::npos);
  EXPECT_NE(refused(with("messages", user(Json::parse(R"([{"type":"text"}])")))).find("content[0].text'"),
            std::string::npos);
  EXPECT_NE(refused(with("messages", user(Json::parse(R"([{"type":"tool_result","content":"x"}])"))))
                .find("content[0].tool_use_id'"),
            std::string::npos);
  EXPECT_NE(refused(with("messages", Json::parse(R"([{"role":"assistant","content":[
                {"type":"tool_use","id":"1","name":"f","input":"{}"}]}])")))
                .find("content[0].input'"),
            std::string::npos);
  EXPECT_NE(refused(with("system", 5)).find("'system'"), std::string::npos);
  EXPECT_NE(refused(with("tools", "x")).find("'tools'"), std::string::npos);
  EXPECT_NE(refused(with("tools", Json::parse(R"([{"input_schema":{}}])"))).find("'tools[0].name'"),
            std::string::npos);
  EXPECT_NE(refused(with("tools", Json::parse(R"([{"name":"f","input_schema":[]}])")))
                .find("'tools[0].input_schema'"),
            std::string::npos);
  EXPECT_NE(refused(with("tool_choice", "auto")).find("'tool_choice'"), std::string::npos);
  EXPECT_NE(refused(with("tool_choice", {{"type", "maybe"}})).find("'tool_choice.type'"), std::string::npos);
  EXPECT_NE(refused(with("thinking", true)).find("'thinking'"), std::string::npos);
  EXPECT_NE(refused(with("stop_sequences", "x")).find("'stop_sequences'"), std::string::npos);
  EXPECT_NE(refused(with("temperature", "hot")).find("'temperature'"), std::string::npos);
  EXPECT_NE(refused(Json("text")).find("must be an object"), std::string::npos);
}

TEST_F(Messages, ErrorsHaveAnthropicsEnvelopeOnTheseRoutesOnly) {
  const auto type_of = [](const FakeExchange& exchange) {
    const Json json = Json::parse(exchange.body);
    return json.value("type", "") == "error" ? json["error"]["type"].get<std::string>() : exchange.body;
  };
  EXPECT_EQ(type_of(*h.call("POST", kPath, "{")), "invalid_request_error");
  EXPECT_EQ(type_of(*h.call("GET", kPath)), "invalid_request_error");
  EXPECT_EQ(type_of(*h.call("POST", kPath + "/batches", "{}")), "not_found_error");
  EXPECT_FALSE(Json::parse(h.call("POST", "/v1/messagesx", "{}")->body).contains("type"));
  EXPECT_FALSE(Json::parse(h.call("POST", "/v1/chat/completions", "{}")->body).contains("type"));

  const auto overflow = h.call("POST", kPath, dump(body_of(user(std::string(9000, 'x')))));
  EXPECT_EQ(overflow->head.status, 400);
  EXPECT_EQ(type_of(*overflow), "invalid_request_error");
  for (const char* words : {"maximum context length is 8192 tokens", "resulted in 9017 tokens",
                            "exceeds the available context size"}) {
    EXPECT_NE(overflow->body.find(words), std::string::npos) << overflow->body;
  }

  h.engine->n_waiting = 1 << 20;
  const auto full = h.call("POST", kPath, dump(body_of(user("hi"))));
  EXPECT_EQ(full->head.status, 503);
  EXPECT_EQ(type_of(*full), "overloaded_error");
  EXPECT_EQ(full->header("Retry-After"), "5");

  Harness loading;
  const auto early = loading.call("POST", kPath, "{}");
  EXPECT_EQ(early->head.status, 503);
  EXPECT_EQ(type_of(*early), "api_error");
  EXPECT_FALSE(early->header("Retry-After").empty());

  AgentHarness locked(ApiOptions{.api_keys = {"right"}});
  EXPECT_EQ(type_of(*locked.call("POST", kPath, "{}")), "authentication_error");
  const std::string body = dump(body_of(user("hi")));
  EXPECT_EQ(locked.call("POST", kPath, body, {{"x-api-key", "right"}})->head.status, 200);
  EXPECT_EQ(locked.call("POST", kPath, body, {{"Authorization", "Bearer right"}})->head.status, 200);
}

TEST_F(Messages, AnErrorInMidStreamIsAnEvent) {
  h.engine->script = [](const GenerationRequest&) {
    return FakeScript{.tokens = byte_tokens("ab"),
                      .error = Error(ErrorCode::kDeviceLost, "The device is gone.")};
  };
  const auto events = h.stream(kPath, body_of(user("hi")));
  EXPECT_EQ(dump(events.back()),
            R"({"type":"error","error":{"type":"api_error","message":"The device is gone."}})");
}

TEST_F(Messages, TheFirstEventsComeBeforeAnyWorkAndPingsBetween) {
  Json body = body_of(user("hi"));
  body["stream"] = true;
  const auto exchange = h.begin("POST", kPath, dump(body));
  EXPECT_EQ(types_of(events_of(exchange->body)), "message_start ping");
  EXPECT_EQ(exchange->keep_alive, "event: ping\ndata: {\"type\":\"ping\"}\n\n");
}

}  // namespace
}  // namespace moraine::server
