// What each endpoint makes of the fields that demand a form: looked at through the constraint that reaches
// the engine.
#include "server/api/answer_form.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "server/api/testing/agent_harness.h"

namespace moraine::server {
namespace {

const Json kTools = Json::parse(R"([
  {"type":"function","function":{"name":"read","parameters":{"type":"object","properties":{"path":{"type":"string"},
    "offset":{"type":"integer"}},"required":["path"]}}},
  {"type":"function","function":{"name":"ping"}}])");

constexpr const char* kPing = "<tool_call>\n{\"name\": \"ping\", \"arguments\": {}}\n</tool_call>";
constexpr const char* kRead =
    "<tool_call>\n{\"name\": \"read\", \"arguments\": {\"path\": \"x\"}}\n</tool_call>";

class AnswerForms : public ::testing::Test {
 protected:
  static bool allows(TokenConstraint& constraint, TokenId token) {
    const auto words = constraint.allowed();
    return words.empty() || (words[static_cast<size_t>(token) / 32] >> token % 32 & 1) != 0;
  }
  // How many bytes of a text the last request's constraint lets through; one more where it may end there.
  size_t lets_through(const std::string& text) const {
    const GenerationRequest request = h.engine->requests().back();
    const auto constraint = request.constraint ? request.constraint() : nullptr;
    if (!constraint) return text.size() + 1;
    size_t n = 0;
    for (; n < text.size(); ++n) {
      const TokenId token = static_cast<unsigned char>(text[n]);
      if (!allows(*constraint, token)) return n;
      constraint->accept(token);
    }
    return n + (allows(*constraint, kFakeEnd) ? 1 : 0);
  }
  bool takes(const std::string& text) const { return lets_through(text) == text.size() + 1; }

  Json chat(Json more, int status = 200) {
    Json body = {{"messages", {{{"role", "user"}, {"content", "x"}}}}};
    body.update(more);
    return h.post("/v1/chat/completions", body, status);
  }
  std::string refused(Json more, const std::string& path = "") {
    if (!path.empty()) {
      more["prompt"] = "x";
      const Json answer = h.post(path, more, 400);
      return answer.contains("error") ? answer["error"].value("param", "") : dump(answer);
    }
    const Json answer = chat(std::move(more), 400);
    return answer.contains("error") ? answer["error"].value("param", "") : dump(answer);
  }

  AgentHarness h;
};

const Json kSchema = {
    {"type", "object"}, {"properties", {{"n", {{"type", "integer"}}}}}, {"required", {"n"}}};

TEST_F(AnswerForms, ResponseFormats) {
  chat({{"response_format", {{"type", "json_object"}}}});
  EXPECT_TRUE(takes(R"({"any": [1]})"));
  EXPECT_EQ(lets_through("Sure"), 0u);
  EXPECT_EQ(lets_through("[1]"), 0u);
  for (const Json& format :
       std::vector<Json>{{{"type", "json_schema"}, {"json_schema", {{"name", "a"}, {"schema", kSchema}}}},
                         {{"type", "json_schema"}, {"schema", kSchema}},
                         {{"type", "json_object"}, {"schema", kSchema}}}) {
    chat({{"response_format", format}});
    EXPECT_TRUE(takes(R"({"n": 12})")) << dump(format);
    EXPECT_LT(lets_through(R"({"n": "x"})"), 8u) << dump(format);
    EXPECT_FALSE(takes("{}")) << dump(format);
  }
  chat({{"response_format", {{"type", "text"}}}, {"grammar", ""}, {"json_schema", nullptr}});
  EXPECT_TRUE(takes("anything"));
  EXPECT_FALSE(h.engine->requests().back().constraint);
}

TEST_F(AnswerForms, GrammarsAndSchemasOnAllEndpoints) {
  for (const char* path : {"/completion", "/v1/completions"}) {
    h.post(path, {{"prompt", "x"}, {"grammar", "root ::= \"yes\" | \"no\""}});
    EXPECT_TRUE(takes("yes")) << path;
    EXPECT_EQ(lets_through("maybe"), 0u) << path;
    h.post(path, {{"prompt", "x"}, {"json_schema", kSchema}});
    EXPECT_TRUE(takes(R"({"n":1})")) << path;
    EXPECT_EQ(lets_through("x"), 0u) << path;
    h.post(path, {{"prompt", "x"}, {"response_format", {{"type", "json_object"}}}});
    EXPECT_EQ(lets_through("x"), 0u) << path;
  }
  chat({{"grammar", "root ::= [0-9]+"}});
  EXPECT_TRUE(takes("42"));
  chat({{"json_schema", dump(kSchema)}});
  EXPECT_TRUE(takes(R"({"n":1})"));
  h.post("/v1/messages", {{"max_tokens", 5},
                          {"messages", {{{"role", "user"}, {"content", "x"}}}},
                          {"output_config", {{"format", {{"type", "json_schema"}, {"schema", kSchema}}}}}});
  EXPECT_TRUE(takes(R"({"n":1})"));
  EXPECT_EQ(lets_through("x"), 0u);
  h.post("/v1/responses",
         {{"input", "x"},
          {"text", {{"format", {{"type", "json_schema"}, {"name", "a"}, {"schema", kSchema}}}}}});
  EXPECT_TRUE(takes(R"({"n":1})"));
  EXPECT_EQ(lets_through("x"), 0u);
}

TEST_F(AnswerForms, WhatCannotBeUsedIsRefusedByItsName) {
  const auto schema = [](const Json& s) {
    return Json{{"response_format", {{"type", "json_schema"}, {"json_schema", {{"schema", s}}}}}};
  };
  const std::string path = "response_format.json_schema.schema";
  EXPECT_EQ(refused(schema({{"$ref", "#"}})), path);
  EXPECT_EQ(refused(schema({{"type", 3}})), path);
  EXPECT_EQ(refused(schema({{"type", "string"}, {"pattern", "(("}})), path);
  EXPECT_EQ(refused(schema(Json::array())), path);
  EXPECT_EQ(refused(schema("not json")), path);
  EXPECT_EQ(refused({{"response_format", {{"type", "json_schema"}}}}), path);
  EXPECT_EQ(refused({{"response_format", {{"type", "yaml"}}}}), "response_format.type");
  EXPECT_EQ(refused({{"response_format", "json"}}), "response_format");
  EXPECT_EQ(refused({{"grammar", "root ::= missing"}}), "grammar");
  EXPECT_EQ(refused({{"grammar", 3}}), "grammar");
  EXPECT_EQ(refused({{"json_schema", 3}}), "json_schema");
  EXPECT_EQ(refused({{"json_schema", kSchema}, {"grammar", "root ::= \"a\""}}), "grammar");
  EXPECT_EQ(refused({{"grammar", "root ::= \"a"}}, "/completion"), "grammar");
  EXPECT_EQ(refused({{"json_schema", {{"$ref", "#/x"}}}}, "/v1/completions"), "json_schema");
  const Json answer = chat({{"grammar", "root ::= (\"a\""}}, 400);
  EXPECT_NE(answer["error"]["message"].get<std::string>().find("')' is missing"), std::string::npos)
      << dump(answer);
  EXPECT_TRUE(h.engine->requests().empty()) << "nothing of them was begun";
}

TEST_F(AnswerForms, ToolChoice) {
  chat({{"tools", kTools}, {"tool_choice", "required"}});
  EXPECT_TRUE(takes(kPing));
  EXPECT_TRUE(takes(std::string(kPing) + "\n" + kRead));
  EXPECT_EQ(lets_through("Hello"), 0u);
  chat({{"tools", kTools}, {"tool_choice", "required"}, {"parallel_tool_calls", false}});
  EXPECT_FALSE(takes(std::string(kPing) + "\n" + kRead));
  const Json named = {{"type", "function"}, {"function", {{"name", "ping"}}}};
  chat({{"tools", kTools}, {"tool_choice", named}});
  EXPECT_TRUE(takes(kPing));
  EXPECT_FALSE(takes(kRead));
  const Json tool = {{"type", "function"}, {"function", {{"name", "read"}}}};
  chat({{"tools", kTools},
        {"tool_choice",
         {{"type", "allowed_tools"},
          {"allowed_tools", {{"mode", "required"}, {"tools", Json::array({tool})}}}}}});
  EXPECT_TRUE(takes(kRead));
  EXPECT_FALSE(takes(kPing));
  chat({{"tools", kTools}, {"tool_choice", "none"}});
  EXPECT_TRUE(takes("<tool_call> is text here"));

  EXPECT_EQ(refused({{"tools", kTools}, {"tool_choice", "maybe"}}), "tool_choice");
  EXPECT_EQ(refused({{"tools", kTools}, {"tool_choice", 3}}), "tool_choice");
  EXPECT_EQ(refused({{"tools", kTools}, {"tool_choice", {{"type", "function"}}}}), "tool_choice.name");
  EXPECT_EQ(refused({{"tool_choice", "required"}}), "tool_choice");
  EXPECT_EQ(refused({{"tools", kTools}, {"tool_choice", {{"function", {{"name", "no"}}}}}}), "tool_choice");
}

TEST_F(AnswerForms, ToolChoiceOfOtherProtocols) {
  const Json tools = {{{"name", "read"}, {"input_schema", kTools[0]["function"]["parameters"]}},
                      {{"name", "ping"}, {"input_schema", {{"type", "object"}}}}};
  const auto messages = [&](const Json& choice) {
    h.post("/v1/messages", {{"max_tokens", 5},
                            {"messages", {{{"role", "user"}, {"content", "x"}}}},
                            {"tools", tools},
                            {"tool_choice", choice}});
  };
  messages({{"type", "any"}});
  EXPECT_TRUE(takes(kPing));
  EXPECT_EQ(lets_through("Hello"), 0u);
  messages({{"type", "tool"}, {"name", "read"}});
  EXPECT_TRUE(takes(kRead));
  EXPECT_FALSE(takes(kPing));
  messages({{"type", "any"}, {"disable_parallel_tool_use", true}});
  EXPECT_FALSE(takes(std::string(kPing) + "\n" + kRead));

  const auto responses = [&](const Json& choice) {
    Json list = Json::array();
    for (const Json& t : kTools) {
      Json flat = t["function"];
      flat["type"] = "function";
      list.push_back(flat);
    }
    h.post("/v1/responses", {{"input", "x"}, {"tools", list}, {"tool_choice", choice}});
  };
  responses("required");
  EXPECT_TRUE(takes(kPing));
  EXPECT_EQ(lets_through("Hello"), 0u);
  responses({{"type", "function"}, {"name", "ping"}});
  EXPECT_TRUE(takes(kPing));
  EXPECT_FALSE(takes(kRead));
}

TEST_F(AnswerForms, ArgumentsAreBoundOnceACallIsOpen) {
  chat({{"tools", kTools}});
  const std::string wrong = "<tool_call>\n{\"name\": \"read\", \"arguments\": {\"path\": 3}}\n</tool_call>";
  for (int i = 0; i < 500 && takes(wrong); ++i)  // compiled in the background
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_FALSE(takes(wrong));
  EXPECT_TRUE(takes("Reading.\n" + std::string(kRead)));
  EXPECT_TRUE(takes("{\"name\": 3} < text"));
}

TEST_F(AnswerForms, ACallOrTheForm) {
  chat({{"tools", kTools}, {"json_schema", kSchema}});
  EXPECT_TRUE(takes(R"({"n": 3})"));
  EXPECT_TRUE(takes(kPing));
  EXPECT_EQ(lets_through("Hello"), 0u);
  EXPECT_EQ(refused({{"tools", kTools}, {"json_schema", {{"$ref", "#"}}}}), "json_schema");
}

TEST_F(AnswerForms, WhatIsNotEnforcedIsSaid) {
  const Json answer =
      chat({{"json_schema", {{"type", "array"}, {"uniqueItems", true}, {"items", {{"type", "integer"}}}}}});
  ASSERT_TRUE(answer.contains("warnings")) << dump(answer);
  EXPECT_NE(dump(answer["warnings"]).find("uniqueItems"), std::string::npos);
  EXPECT_FALSE(chat({{"json_schema", kSchema}}).contains("warnings"));
}

TEST_F(AnswerForms, AnAnswerThatIsContinued) {
  h.post(
      "/v1/chat/completions",
      {{"messages", {{{"role", "user"}, {"content", "x"}}, {{"role", "assistant"}, {"content", "{\"n\""}}}},
       {"json_schema", kSchema}});
  EXPECT_TRUE(takes(": 12}"));
  EXPECT_EQ(lets_through("{"), 0u);
}

TEST(AnswerFormOptions, HoldWhereARequestSaysNothing) {
  ApiOptions options;
  options.grammar = "root ::= [0-9]+";
  AgentHarness h(options);
  const auto first_allowed = [&](const Json& more, TokenId token) {
    Json body = {{"messages", {{{"role", "user"}, {"content", "x"}}}}};
    body.update(more);
    h.post("/v1/chat/completions", body);
    const GenerationRequest request = h.engine->requests().back();
    const auto constraint = request.constraint ? request.constraint() : nullptr;
    if (!constraint) return true;
    const auto words = constraint->allowed();
    return words.empty() || (words[static_cast<size_t>(token) / 32] >> token % 32 & 1) != 0;
  };
  EXPECT_TRUE(first_allowed(Json::object(), '7'));
  EXPECT_FALSE(first_allowed(Json::object(), 'x'));
  EXPECT_TRUE(first_allowed({{"json_schema", {{"type", "object"}}}}, '{'));
  EXPECT_TRUE(first_allowed({{"tools", kTools}}, 'x'));
  h.post("/completion", {{"prompt", "x"}});
  EXPECT_TRUE(h.engine->requests().back().constraint);
  options.grammar = "root ::= missing";
  EXPECT_THROW(AgentHarness broken(options), Error);
  options.grammar = "root ::= \"a\"";
  options.json_schema = "{}";
  EXPECT_THROW(AgentHarness two(options), Error);
}

TEST_F(AnswerForms, HostileOnesAreAnswered) {
  std::string wide = "{\"type\":\"object\",\"properties\":{";
  for (int i = 0; i < 900; ++i)
    wide += (i > 0 ? ",\"" : "\"") + std::string(900, 'p') + std::to_string(i) + "\":{\"type\":\"string\"}";
  const Json large = Json::parse(wide + "}}");
  Json deep = {{"type", "string"}};
  for (int i = 0; i < 50; ++i) deep = {{"type", "object"}, {"properties", {{"a", deep}}}};
  for (const Json& schema :
       std::vector<Json>{large,
                         deep,
                         {{"type", "string"}, {"pattern", "^((a{1,1000}){1,1000}){1,1000}$"}},
                         {{"type", "string"}, {"maxLength", 100000000}},
                         {{"allOf", Json::array({{{"$ref", "#"}}, {{"$ref", "#"}}})}}}) {
    for (const char* field : {"json_schema", "tools"}) {
      Json body = {{"messages", {{{"role", "user"}, {"content", "x"}}}}};
      if (std::string_view(field) == "tools")
        body["tools"] = {{{"type", "function"}, {"function", {{"name", "t"}, {"parameters", schema}}}}};
      else
        body[field] = schema;
      const auto exchange = h.call("POST", "/v1/chat/completions", dump(body));
      EXPECT_TRUE(exchange->ended);
      EXPECT_TRUE(exchange->head.status == 200 || exchange->head.status == 400)
          << exchange->body.substr(0, 300);
      if (std::string_view(field) == "tools") {
        EXPECT_EQ(exchange->head.status, 200) << exchange->body.substr(0, 300);
      }
    }
  }
}

TEST_F(AnswerForms, AClientThatLeavesWhileAGrammarIsCompiled) {
  auto exchange = std::make_shared<FakeExchange>(
      "POST", "/v1/chat/completions",
      R"({"messages":[{"role":"user","content":"x"}],"grammar":"root ::= [0-9]+"})");
  h.api.handle(exchange);
  exchange->leave();
  h.api.settle();
  h.engine->run();
  EXPECT_LE(h.engine->requests().size(), 1u);  // dropped, or begun and cancelled
  EXPECT_EQ(h.engine->n_running(), 0);
}

}  // namespace
}  // namespace moraine::server
