// /v1/responses: OpenAI's items in, its objects and events out.
#include <gtest/gtest.h>

#include "server/api/response_store.h"
#include "server/api/testing/agent_harness.h"

namespace moraine::server {
namespace {

const std::string kPath = "/v1/responses";
constexpr const char* kAgentAnswer =
    "<think>Hm.</think>Let me look.<tool_call>\n"
    R"({"name": "read", "arguments": {"path": "a.c"}})"
    "\n</tool_call>";
const char* kTools = R"([
    {"type":"function","name":"read","description":"Reads.","strict":false,"parameters":{"type":"object",
      "properties":{"path":{"type":"string"}}}},
    {"type":"namespace","name":"mcp__git","description":"d","tools":[
      {"type":"function","name":"log","parameters":{"type":"object","properties":{}}}]},
    {"type":"custom","name":"apply_patch","description":"Edits.","format":{"type":"grammar","syntax":"lark",
      "definition":"start: /.+/"}},
    {"type":"web_search"},{"type":"local_shell"},{"type":"from_the_future","x":1}])";

std::string call_text(const char* name, const char* arguments) {
  return std::string("<tool_call>\n{\"name\": \"") + name + "\", \"arguments\": " + arguments +
         "}\n</tool_call>";
}
Json items(const char* text) { return {{"input", Json::parse(text)}}; }

class Responses : public testing::Test {
 protected:
  std::string prompt_of(const Json& body) { return h.prompt_of(kPath, body); }
  std::string refused(const Json& body) {  // the field
    const Json json = h.post(kPath, body, 400);
    if (!json.contains("error")) return dump(json);
    const Json& param = json["error"]["param"];
    return param.is_string() ? param.get<std::string>() : "null";
  }
  AgentHarness h;
};

TEST_F(Responses, WholeAnswer) {
  h.engine->n_cached = 5;
  const Json json = h.post(kPath, {{"model", "gpt"}, {"input", "hi"}, {"metadata", {{"a", "b"}}}});
  EXPECT_EQ(json["id"].get<std::string>().substr(0, 5), "resp_");
  EXPECT_EQ(json["object"], "response");
  EXPECT_EQ(json["status"], "completed");
  EXPECT_EQ(json["model"], "gpt");
  EXPECT_EQ(json["metadata"]["a"], "b");
  EXPECT_EQ(json["parallel_tool_calls"], true);
  EXPECT_EQ(json["tool_choice"], "auto");
  EXPECT_TRUE(json["tools"].empty());
  for (const char* name : {"error", "incomplete_details", "instructions", "previous_response_id"}) {
    EXPECT_TRUE(json.contains(name) && json[name].is_null()) << name;
  }
  ASSERT_EQ(json["output"].size(), 1u);
  const Json& item = json["output"][0];
  EXPECT_EQ(item["type"], "message");
  EXPECT_EQ(item["role"], "assistant");
  EXPECT_EQ(item["status"], "completed");
  EXPECT_EQ(dump(item["content"]),
            R"([{"type":"output_text","text":"Hello","annotations":[],"logprobs":[]}])");
  EXPECT_EQ(json["usage"]["input_tokens"], 19);
  EXPECT_EQ(json["usage"]["input_tokens_details"]["cached_tokens"], 5);
  EXPECT_EQ(json["usage"]["output_tokens"], 6);
  EXPECT_EQ(json["usage"]["output_tokens_details"]["reasoning_tokens"], 0);
  EXPECT_EQ(json["usage"]["total_tokens"], 25);
}

TEST_F(Responses, EveryEventOfAText) {
  h.answers("Hi");
  const auto events = h.stream(kPath, {{"input", "hi"}});
  EXPECT_EQ(types_of(events),
            "response.created response.in_progress response.output_item.added response.content_part.added "
            "response.output_text.delta response.output_text.delta response.output_text.done "
            "response.content_part.done response.output_item.done response.completed");
  for (std::size_t i = 0; i < events.size(); ++i) EXPECT_EQ(events[i]["sequence_number"], i);
  EXPECT_EQ(events[0]["response"]["status"], "in_progress");
  EXPECT_TRUE(events[0]["response"]["usage"].is_null());
  const std::string id = events[2]["item"]["id"];
  EXPECT_EQ(events[2]["item"]["status"], "in_progress");
  EXPECT_TRUE(events[2]["item"]["content"].empty());
  for (std::size_t i = 3; i < 8; ++i) {
    EXPECT_EQ(events[i]["item_id"], id);
    EXPECT_EQ(events[i]["output_index"], 0);
    EXPECT_EQ(events[i]["content_index"], 0);
  }
  EXPECT_EQ(events[4]["delta"], "H");
  EXPECT_EQ(events[6]["text"], "Hi");
  EXPECT_EQ(events[7]["part"]["text"], "Hi");
  EXPECT_EQ(events[8]["item"]["content"][0], events[7]["part"]);
  EXPECT_EQ(events[9]["response"]["output"][0], events[8]["item"]);
  EXPECT_EQ(events[9]["response"]["id"], events[0]["response"]["id"]);
  EXPECT_EQ(events[9]["response"]["usage"]["output_tokens"], 3);
}

TEST_F(Responses, ReasoningTextAndCallAreItems) {
  h.answers(kAgentAnswer);
  const Json body = {{"input", "hi"}, {"tools", Json::parse(kTools)}};
  const auto events = h.stream(kPath, body);
  std::string arguments, reasoning;
  std::vector<std::string> order;
  for (const Json& event : events) {
    std::string type = event["type"];
    if (type == "response.function_call_arguments.delta") arguments += event["delta"];
    if (type == "response.reasoning_text.delta") reasoning += event["delta"];
    if (order.empty() || order.back() != type) order.push_back(std::move(type));
  }
  EXPECT_EQ(reasoning, "Hm.");
  EXPECT_EQ(Json::parse(arguments), Json::parse(R"({"path":"a.c"})"));
  const std::vector<std::string> expected = {"response.created",
                                             "response.in_progress",
                                             "response.output_item.added",
                                             "response.content_part.added",
                                             "response.reasoning_text.delta",
                                             "response.reasoning_text.done",
                                             "response.content_part.done",
                                             "response.output_item.done",
                                             "response.output_item.added",
                                             "response.content_part.added",
                                             "response.output_text.delta",
                                             "response.output_text.done",
                                             "response.content_part.done",
                                             "response.output_item.done",
                                             "response.output_item.added",
                                             "response.function_call_arguments.delta",
                                             "response.function_call_arguments.done",
                                             "response.output_item.done",
                                             "response.completed"};
  EXPECT_EQ(order, expected);

  const Json& streamed = events.back()["response"]["output"];
  ASSERT_EQ(streamed.size(), 3u);
  EXPECT_EQ(dump(streamed[0]["content"]), R"([{"type":"reasoning_text","text":"Hm."}])");
  EXPECT_TRUE(streamed[0]["summary"].empty());
  EXPECT_EQ(streamed[1]["content"][0]["text"], "Let me look.");
  EXPECT_EQ(streamed[2]["type"], "function_call");
  EXPECT_EQ(streamed[2]["name"], "read");
  EXPECT_EQ(streamed[2]["arguments"], arguments);
  EXPECT_FALSE(streamed[2]["call_id"].get<std::string>().empty());
  EXPECT_EQ(events.back()["response"]["usage"]["output_tokens_details"]["reasoning_tokens"], 3);

  const Json whole = h.post(kPath, body)["output"];
  ASSERT_EQ(whole.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(whole[i]["type"], streamed[i]["type"]);
  EXPECT_EQ(whole[2]["arguments"], arguments);
}

TEST_F(Responses, ReasoningAsASummaryWhereOneIsAskedFor) {
  h.answers(kAgentAnswer);
  const auto events = h.stream(kPath, {{"input", "hi"},
                                       {"reasoning", {{"effort", "high"}, {"summary", "auto"}}},
                                       {"include", {"reasoning.encrypted_content"}}});
  EXPECT_NE(h.prompt().find("{effort high}"), std::string::npos);
  EXPECT_EQ(
      types_of(events).find("response.created response.in_progress response.output_item.added "
                            "response.reasoning_summary_part.added response.reasoning_summary_text.delta"),
      0u);
  EXPECT_NE(types_of(events).find("response.reasoning_summary_text.done response.reasoning_summary_part.done "
                                  "response.output_item.done"),
            std::string::npos);
  EXPECT_EQ(events[3]["summary_index"], 0);
  const Json& item = events.back()["response"]["output"][0];
  EXPECT_EQ(dump(item["summary"]), R"([{"type":"summary_text","text":"Hm."}])");
  EXPECT_TRUE(item["encrypted_content"].is_string());
}

TEST_F(Responses, NamespacedAndCustomTools) {
  const Json body = {{"input", "hi"}, {"tools", Json::parse(kTools)}};
  EXPECT_NE(prompt_of(body).find("{tools read mcp__git__log apply_patch}"), std::string::npos) << h.prompt();
  EXPECT_EQ(h.log.size(), 3u);  // what was left out, a line each

  h.answers(call_text("mcp__git__log", "{}"));
  Json item = h.post(kPath, body)["output"][0];
  EXPECT_EQ(item["type"], "function_call");
  EXPECT_EQ(item["name"], "log");
  EXPECT_EQ(item["namespace"], "mcp__git");

  h.answers(call_text("apply_patch", R"({"input": "*** Begin\n+x"})"));
  const auto events = h.stream(kPath, body);
  EXPECT_EQ(types_of(events),
            "response.created response.in_progress response.output_item.added "
            "response.custom_tool_call_input.delta response.custom_tool_call_input.done "
            "response.output_item.done response.completed");
  EXPECT_EQ(events[3]["delta"], "*** Begin\n+x");
  item = events[5]["item"];
  EXPECT_EQ(item["type"], "custom_tool_call");
  EXPECT_EQ(item["name"], "apply_patch");
  EXPECT_EQ(item["input"], "*** Begin\n+x");

  for (const char* choice : {R"("required")", R"({"type":"function","name":"log","namespace":"mcp__git"})",
                             R"({"type":"custom","name":"apply_patch"})", R"({"type":"web_search"})",
                             R"({"type":"allowed_tools","mode":"auto","tools":[]})"}) {
    Json chosen = body;
    chosen["tool_choice"] = Json::parse(choice);
    EXPECT_EQ(h.post(kPath, chosen)["status"], "completed") << choice;
    EXPECT_NE(h.prompt().find("{tools read"), std::string::npos);
  }
  Json none = body;
  none["tool_choice"] = "none";
  h.post(kPath, none);
  EXPECT_EQ(h.prompt().find("{tools"), std::string::npos);
}

TEST_F(Responses, AWholeTurnOfAnAgent) {
  Json body = items(R"([
    {"type":"message","role":"developer","content":[{"type":"input_text","text":"Rules."}]},
    {"role":"user","content":[{"type":"input_text","text":"Look"},{"type":"input_image","image_url":"data:x"}]},
    {"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"short"}],
      "content":[{"type":"reasoning_text","text":"Hm."}],"encrypted_content":null},
    {"type":"message","id":"msg_1","role":"assistant","status":"completed",
      "content":[{"type":"output_text","text":"Two calls:","annotations":[]}]},
    {"type":"function_call","call_id":"c1","name":"read","arguments":"{\"path\":\"a\"}"},
    {"type":"function_call","call_id":"c2","name":"log","namespace":"mcp__git","arguments":"{}"},
    {"type":"custom_tool_call","call_id":"c3","name":"apply_patch","input":"x"},
    {"type":"function_call_output","call_id":"c1","output":"one"},
    {"type":"function_call_output","call_id":"c2","output":[{"type":"input_text","text":"two"}]},
    {"type":"custom_tool_call_output","call_id":"c3","output":"three"},
    {"type":"web_search_call","id":"ws_1","status":"completed"},
    {"type":"reasoning","id":"rs_2","summary":[],"encrypted_content":"gAAAA-sealed-by-another"},
    {"type":"reasoning","id":"rs_3","summary":[],"encrypted_content":"moraine:So."},
    {"type":"message","role":"assistant","content":"Done."},
    {"type":"message","role":"user","content":"Thanks"}])");
  body["instructions"] = "Be brief.";
  EXPECT_EQ(
      prompt_of(body),
      "[system]Be brief.[system]Rules."
      "[user]Look\n[A picture was attached here; this model reads text only.]"
      R"([assistant]<think>Hm.</think>Two calls:<tool_call>{"name": "read", "arguments": {"path": "a"}}</tool_call>)"
      R"(<tool_call>{"name": "mcp__git__log", "arguments": {}}</tool_call>)"
      R"(<tool_call>{"name": "apply_patch", "arguments": {"input": "x"}}</tool_call>)"
      "[tool]one[tool]two[tool]three[assistant]<think>So.</think>Done.[user]Thanks[assistant]");
}

// However a client keeps an answer, it comes back as the tokens that were generated.
TEST_F(Responses, AnEchoedAnswerRendersAsItWasGenerated) {
  for (const bool summaries : {false, true}) {
    h.answers(kAgentAnswer);
    Json body = {{"input", Json::array({Json{{"role", "user"}, {"content", "hi"}}})},
                 {"tools", Json::parse(kTools)},
                 {"include", {"reasoning.encrypted_content"}}};
    if (summaries) body["reasoning"] = {{"summary", "auto"}};
    Json output = h.post(kPath, body)["output"];
    const std::string call_id = output[2]["call_id"];
    for (Json& item : output) body["input"].push_back(std::move(item));
    body["input"].push_back({{"type", "function_call_output"}, {"call_id", call_id}, {"output", "int x;"}});
    EXPECT_EQ(prompt_of(body).find("[user]hi[assistant]<think>Hm.</think>Let me look.<tool_call>"), 0u)
        << h.prompt();
  }
}

TEST_F(Responses, PreviousResponses) {
  h.answers(kAgentAnswer);
  const Json first =
      h.post(kPath, {{"instructions", "One."}, {"input", "hi"}, {"tools", Json::parse(kTools)}});
  const Json body = {{"previous_response_id", first["id"]},
                     {"instructions", "Two."},  // those of the first do not carry over
                     {"input", Json::array({Json{{"type", "function_call_output"},
                                                 {"call_id", first["output"][2]["call_id"]},
                                                 {"output", "int x;"}}})}};
  const std::string prompt =
      "[system]Two.[user]hi[assistant]<think>Hm.</think>Let me look.<tool_call>"
      R"({"name": "read", "arguments": {"path": "a.c"}}</tool_call>[tool]int x;[assistant])";
  h.answers("ok");
  const Json second = h.post(kPath, body);
  EXPECT_EQ(h.prompt(), prompt);
  EXPECT_EQ(second["previous_response_id"], first["id"]);
  const auto third = h.stream(kPath, {{"previous_response_id", second["id"]}, {"input", "and?"}});
  EXPECT_EQ(h.prompt(), prompt.substr(12) + "ok[user]and?[assistant]");
  const std::string id = third.back()["response"]["id"];
  EXPECT_EQ(h.post(kPath, {{"previous_response_id", id}, {"input", "x"}})["status"], "completed");

  const Json unstored = h.post(kPath, {{"input", "hi"}, {"store", false}});
  const Json refused = h.post(kPath, {{"previous_response_id", unstored["id"]}, {"input", "x"}}, 400);
  EXPECT_EQ(refused["error"]["code"], "previous_response_not_found");
  EXPECT_EQ(refused["error"]["param"], "previous_response_id");
}

TEST_F(Responses, ItemsByReference) {
  const Json first = h.post(kPath, {{"input", "hi"}});
  const Json reference = {{"type", "item_reference"}, {"id", first["output"][0]["id"]}};
  const Json question = {{"role", "user"}, {"content", "and?"}};
  EXPECT_EQ(prompt_of({{"input", Json::array({reference, question})}}),
            "[assistant]Hello[user]and?[assistant]");
  EXPECT_EQ(refused(items(R"([{"type":"item_reference","id":"msg_none"}])")), "input[0].id");
}

TEST_F(Responses, StoredOnesCanBeReadAndDeleted) {
  const Json made = h.post(kPath, {{"input", "hi"}});
  const std::string path = kPath + "/" + made["id"].get<std::string>();
  EXPECT_EQ(Json::parse(h.call("GET", path)->body), made);
  EXPECT_EQ(Json::parse(h.call("DELETE", path)->body)["deleted"], true);
  EXPECT_EQ(h.call("GET", path)->head.status, 404);
  EXPECT_EQ(h.call("DELETE", path)->head.status, 404);
}

TEST_F(Responses, AnotherKeyFindsNoStoredResponse) {
  AgentHarness locked(ApiOptions{.api_keys = {"a", "b"}, .cache_scope = CacheScope::kAll});
  const auto call = [&](const char* key, const char* method, const std::string& path,
                        const Json& body = nullptr) {
    return locked.call(method, path, body.is_null() ? "" : dump(body),
                       {{"Authorization", std::string("Bearer ") + key}});
  };
  const Json made = Json::parse(call("a", "POST", kPath, {{"input", "hi"}})->body);
  const std::string path = kPath + "/" + made["id"].get<std::string>();
  const Json next = {{"previous_response_id", made["id"]}, {"input", "and?"}};
  const Json item = {{"input", Json::array({Json{{"type", "item_reference"}, {"id", made["output"][0]["id"]}},
                                            Json{{"role", "user"}, {"content", "and?"}}})}};
  EXPECT_EQ(call("b", "GET", path)->head.status, 404);
  EXPECT_EQ(call("b", "DELETE", path)->head.status, 404);
  EXPECT_EQ(call("b", "POST", kPath, next)->head.status, 400);
  EXPECT_EQ(call("b", "POST", kPath, item)->head.status, 400);
  EXPECT_EQ(call("a", "GET", path)->head.status, 200);
  EXPECT_EQ(call("a", "POST", kPath, next)->head.status, 200);
  EXPECT_EQ(call("a", "POST", kPath, item)->head.status, 200);
  EXPECT_EQ(call("a", "DELETE", path)->head.status, 200);
}

TEST_F(Responses, TheStoreIsBounded) {
  ResponseStore store(64 << 10, 3);
  const auto put = [&](const std::string& id, std::size_t bytes) {
    store.put(id,
              {.conversation = std::string(bytes, 'x'), .response = "{}", .output = {{"item_" + id, "i"}}});
  };
  for (const char* id : {"a", "b", "c", "d"}) put(id, 10);
  EXPECT_EQ(store.find(0, "a"), nullptr);  // at most three
  EXPECT_NE(store.find(0, "d"), nullptr);
  EXPECT_EQ(store.find_item(0, "item_a"), "");
  EXPECT_EQ(store.find_item(0, "item_d"), "i");
  put("large", 9 << 10);  // more than an eighth
  EXPECT_EQ(store.find(0, "large"), nullptr);
  ResponseStore small(16 << 10);
  for (int i = 0; i < 20; ++i) small.put(std::to_string(i), {.conversation = std::string(1000, 'x')});
  EXPECT_EQ(small.find(0, "0"), nullptr);
  EXPECT_NE(small.find(0, "19"), nullptr);
}

TEST_F(Responses, ALimitLeavesItIncomplete) {
  h.answers(kAgentAnswer);
  const auto events =
      h.stream(kPath, {{"input", "hi"}, {"max_output_tokens", 80}, {"tools", Json::parse(kTools)}});
  const Json& last = events.back();
  EXPECT_EQ(last["type"], "response.incomplete");
  EXPECT_EQ(last["response"]["status"], "incomplete");
  EXPECT_EQ(last["response"]["incomplete_details"]["reason"], "max_output_tokens");
  EXPECT_EQ(last["response"]["output"].back()["status"], "incomplete");
  EXPECT_EQ(last["response"]["usage"]["output_tokens"], 80);
  EXPECT_EQ(h.post(kPath, {{"input", "hi"}, {"max_output_tokens", 2}})["status"], "incomplete");
}

TEST_F(Responses, AnErrorInMidStreamFailsTheResponse) {
  h.engine->script = [](const GenerationRequest&) {
    return FakeScript{.tokens = byte_tokens("ab"),
                      .error = Error(ErrorCode::kDeviceLost, "The device is gone.")};
  };
  const auto events = h.stream(kPath, {{"input", "hi"}});
  EXPECT_EQ(events.back()["type"], "response.failed");
  EXPECT_EQ(events.back()["response"]["status"], "failed");
  EXPECT_EQ(events.back()["response"]["error"]["code"], "server_error");
  EXPECT_EQ(events.back()["response"]["error"]["message"], "The device is gone.");
}

TEST_F(Responses, TheFirstEventsComeBeforeAnyWorkAndRealEventsBetween) {
  const auto exchange = h.begin("POST", kPath, R"({"input":"hi","stream":true})");
  const auto first = events_of(exchange->body);
  EXPECT_EQ(types_of(first), "response.created response.in_progress");
  const auto between = events_of(exchange->keep_alive);
  ASSERT_EQ(between.size(), 1u);
  EXPECT_EQ(between[0], first[1]);
}

TEST_F(Responses, LargeRequestsAreNotEchoed) {
  Json tools = Json::array();
  for (int i = 0; i < 100; ++i) {
    tools.push_back(
        {{"type", "function"}, {"name", "f" + std::to_string(i)}, {"description", std::string(4000, 'd')}});
  }
  const auto events = h.stream(kPath, {{"input", "hi"}, {"tools", tools}, {"tool_choice", "none"}});
  EXPECT_EQ(events.back()["type"], "response.completed");
  EXPECT_TRUE(events[0]["response"]["tools"].empty());
  EXPECT_LT(dump(events[0]).size(), 4000u);
}

TEST_F(Responses, CountingTokens) {
  const Json body = {{"input", "hi"}, {"instructions", "Be brief."}, {"tools", Json::parse(kTools)}};
  const Json counted = h.post(kPath + "/input_tokens", body);
  EXPECT_EQ(counted["object"], "response.input_tokens");
  EXPECT_EQ(counted["input_tokens"], h.post(kPath, body)["usage"]["input_tokens"]);
}

TEST_F(Responses, FieldsOfOthersAreIgnored) {
  Json body = {{"input", "hi"}};
  body.update(Json::parse(R"({"user":"u","safety_identifier":"s","prompt_cache_key":"k","service_tier":"auto",
      "truncation":"auto","top_logprobs":2,"max_tool_calls":3,"stream_options":{"include_obfuscation":false},
      "text":{"format":{"type":"text"},"verbosity":"low"},"reasoning":{"effort":null,"summary":null},
      "client_metadata":{"x":1},"background":false,"n":5,"stop":["H"]})"));
  EXPECT_EQ(prompt_of(body), "[user]hi[assistant]");
  body["reasoning"] = {{"effort", "none"}};
  EXPECT_EQ(prompt_of(body), "[user]hi{thinking False}[assistant]");
}

TEST_F(Responses, BadFieldsAreNamed) {
  EXPECT_EQ(refused(Json::object()), "input");
  EXPECT_EQ(refused({{"input", Json::array()}}), "input");
  EXPECT_EQ(refused({{"input", 5}}), "input");
  EXPECT_EQ(refused({{"input", Json::array({5})}}), "input[0]");
  EXPECT_EQ(refused(items(R"([{"role":"king","content":"x"}])")), "input[0].role");
  EXPECT_EQ(refused(items(R"([{"role":"user"}])")), "input[0].content");
  EXPECT_EQ(refused(items(R"([{"role":"user","content":7}])")), "input[0].content");
  EXPECT_EQ(refused(items(R"([{"role":"user","content":[7]}])")), "input[0].content[0]");
  EXPECT_EQ(refused(items(R"([{"role":"user","content":[{"type":"input_text"}]}])")),
            "input[0].content[0].text");
  EXPECT_EQ(refused(items(R"([{"type":"function_call","call_id":"c"}])")), "input[0].name");
  EXPECT_EQ(refused(items(R"([{"type":"function_call","name":"c"}])")), "input[0].call_id");
  EXPECT_EQ(refused(items(R"([{"type":"function_call_output","call_id":"c"}])")), "input[0].output");
  EXPECT_EQ(refused(items(R"([{"type":"web_search_call"}])")), "input");
  const auto with = [](const char* name, const Json& value) { return Json{{"input", "hi"}, {name, value}}; };
  EXPECT_EQ(refused(with("instructions", 5)), "instructions");
  EXPECT_EQ(refused(with("tools", "x")), "tools");
  EXPECT_EQ(refused(with("tools", Json::array({5}))), "tools[0]");
  EXPECT_EQ(refused(with("tools", Json::parse(R"([{"type":"function"}])"))), "tools[0].name");
  EXPECT_EQ(refused(with("tools", Json::parse(R"([{"type":"namespace","name":"n","tools":[{}]}])"))),
            "tools[0].tools[0].name");
  EXPECT_EQ(refused(with("tools", Json::parse(R"([{"type":"function","name":"f","parameters":[]}])"))),
            "tools[0].parameters");
  EXPECT_EQ(refused(with("tool_choice", "maybe")), "tool_choice");
  EXPECT_EQ(refused(with("tool_choice", Json::object())), "tool_choice.type");
  EXPECT_EQ(refused(with("text", 5)), "text");
  EXPECT_EQ(refused(with("reasoning", "high")), "reasoning");
  EXPECT_EQ(refused(with("include", 5)), "include");
  EXPECT_EQ(refused(with("store", "yes")), "store");
  EXPECT_EQ(refused(with("metadata", "x")), "metadata");
  EXPECT_EQ(refused(with("max_output_tokens", 0)), "max_output_tokens");
  EXPECT_EQ(refused(with("previous_response_id", 5)), "previous_response_id");
  EXPECT_EQ(refused(with("background", true)), "background");
  EXPECT_EQ(refused(with("conversation", "c")), "conversation");
  EXPECT_EQ(refused(with("prompt", {{"id", "p"}})), "prompt");
  EXPECT_EQ(refused({{"input", std::string(9000, 'x')}}), "null");
  EXPECT_EQ(h.post(kPath, {{"input", std::string(9000, 'x')}}, 400)["error"]["code"],
            "context_length_exceeded");
}

}  // namespace
}  // namespace moraine::server
