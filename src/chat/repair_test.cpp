#include "chat/repair.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "chat/messages.h"

namespace moraine::chat {
namespace {

using Json = nlohmann::ordered_json;

// A template that takes everything; each test takes something away.
TemplateCaps able() {
  TemplateCaps caps;
  caps.system_role = caps.tools = caps.tool_calls = caps.tool_results = caps.object_arguments = true;
  caps.late_system = caps.repeated_roles = caps.several_calls = true;
  caps.assistant_first = caps.no_user = caps.user_after_tool = true;
  return caps;
}

// "s:text u:text a:text[call,call] t:text(id)", one word a message.
Json messages(const std::string& words) {
  Json result = Json::array();
  size_t at = 0;
  while (at < words.size()) {
    const size_t end = std::min(words.find(' ', at), words.size());
    std::string word = words.substr(at, end - at);
    at = end + 1;
    const char* role = word[0] == 's'   ? "system"
                       : word[0] == 'u' ? "user"
                       : word[0] == 'a' ? "assistant"
                                        : "tool";
    Json message = {{"role", role}};
    const size_t calls = word.find('['), id = word.find('(');
    message["content"] = word.substr(2, std::min({calls, id, word.size()}) - 2);
    if (calls != word.npos) {
      for (size_t i = calls + 1; word[i] != ']'; ++i) {
        if (word[i] == ',') continue;
        message["tool_calls"].push_back(
            {{"id", std::string("id_") + word[i]},
             {"function", {{"name", std::string(1, word[i])}, {"arguments", {{"x", 1}}}}}});
      }
    }
    if (id != word.npos) message["tool_call_id"] = std::string("id_") + word[id + 1];
    result.push_back(std::move(message));
  }
  return result;
}

std::string shown(const Json& messages) {
  std::string words;
  for (const Json& message : messages) {
    words += (words.empty() ? "" : " ") + message["role"].get<std::string>().substr(0, 1) + ":" +
             message["content"].get<std::string>();
    if (message.contains("tool_calls")) {
      words += "[";
      for (const Json& call : message["tool_calls"])
        words += (words.back() == '[' ? "" : ",") + call["function"]["name"].get<std::string>();
      words += "]";
    }
    if (message.contains("tool_call_id"))
      words += "(" + message["tool_call_id"].get<std::string>().substr(3) + ")";
  }
  return words;
}

std::string repaired(const std::string& words, const TemplateCaps& caps) {
  Json list = messages(words);
  repair_conversation(list, caps, "");
  return shown(list);
}

TEST(Repair, WhatATemplateTakesStays) {
  for (const char* words :
       {"", "u:x", "s:1 u:2 a:3 u:4", "a:1 a:2 s:3 s:4 u:5 u:6", "u:1 a:2[f,g] t:3(f) t:4(g) u:5"})
    EXPECT_EQ(repaired(words, able()), words);
}

TEST(Repair, RolesThatRepeatAreOne) {
  TemplateCaps caps = able();
  caps.repeated_roles = false;
  EXPECT_EQ(repaired("u:1 u:2 u:3 a:4 a:5 u:6", caps), "u:1\n\n2\n\n3 a:4\n\n5 u:6");
  EXPECT_EQ(repaired("u:1 a:2 a:3[f] t:4(f) a:5[g] t:6(g) a:7", caps),
            "u:1 a:2\n\n3[f] t:4(f) a:5[g] t:6(g) a:7");
  EXPECT_EQ(repaired("u: u:2", caps), "u:2");
}

TEST(Repair, SystemMessagesStandWhereTheyMay) {
  TemplateCaps caps = able();
  caps.late_system = false;
  EXPECT_EQ(repaired("s:1 s:2 u:3 s:4 a:5", caps), "s:1\n\n2 u:3 u:4 a:5");
  caps.system_role = false;
  EXPECT_EQ(repaired("s:1 u:2 a:3", caps), "u:1\n\n2 a:3");
  EXPECT_EQ(repaired("s:1 a:2", caps), "u:1 a:2");
  EXPECT_EQ(repaired("u:1 s:2", caps), "u:1 u:2");
}

TEST(Repair, TurnsThatAreMissing) {
  TemplateCaps caps = able();
  caps.assistant_first = caps.no_user = caps.user_after_tool = false;
  EXPECT_EQ(repaired("s:1 a:2", caps), "s:1 u: a:2");
  EXPECT_EQ(repaired("a:1 u:2", caps), "u: a:1 u:2");
  EXPECT_EQ(repaired("s:1", caps), "s:1 u:");
  EXPECT_EQ(repaired("u:1 a:2[f] t:3(f) u:4", caps), "u:1 a:2[f] t:3(f) a: u:4");
}

TEST(Repair, OneCallAtATime) {
  TemplateCaps caps = able();
  caps.several_calls = false;
  EXPECT_EQ(repaired("u:1 a:2[f,g] t:4(g) t:3(f) t:5(x) u:6", caps),
            "u:1 a:2[f] t:3(f) a:[g] t:4(g) u:Result of a tool:\n5 u:6");
  EXPECT_EQ(repaired("a:[f,g]", caps), "a:[f] a:[g]");
}

TEST(Repair, CallsInWordsWhereTheTemplateHasNone) {
  TemplateCaps caps = able();
  caps.tool_calls = caps.tool_results = false;
  EXPECT_EQ(repaired("u:1 a:2[f] t:3(f)", caps),
            "u:1 a:2\n\n{\"name\": \"f\", \"arguments\": {\"x\": 1}} u:Result of f:\n3");
  Json list = messages("u:1");
  repair_conversation(list, caps, R"([{"type":"function","function":{"name":"f","parameters":{}}}])");
  EXPECT_EQ(list.size(), 2u);
  EXPECT_NE(list[0]["content"].get<std::string>().find(R"({"name": "f", "parameters": {}})"),
            std::string::npos);
}

TEST(Repair, IdsOfNineLettersAndDigits) {
  TemplateCaps caps = able();
  caps.short_call_ids = true;
  Json list = messages("u:1 a:[f,g] t:2(f) t:3(g)");
  repair_conversation(list, caps, "");
  const std::string f = list[1]["tool_calls"][0]["id"], g = list[1]["tool_calls"][1]["id"];
  EXPECT_EQ(f.size(), 9u);
  EXPECT_NE(f, g);
  EXPECT_EQ(list[2]["tool_call_id"], f);
  EXPECT_EQ(list[3]["tool_call_id"], g);
  EXPECT_EQ(list[2]["name"], "f");
  list[1]["tool_calls"][0]["id"] = "aB3aB3aB3";
  repair_conversation(list, caps, "");
  EXPECT_EQ(list[1]["tool_calls"][0]["id"], "aB3aB3aB3");
}

// In time that grows with their size: with its square, this would take minutes.
TEST(Repair, ConversationsOfManyMessages) {
  constexpr size_t kMany = 50'000;
  const TemplateCaps caps = plainest(able());
  for (const char* role : {"user", "system", "assistant"}) {
    Json list = Json::array();
    for (size_t i = 0; i < kMany; ++i)
      list.push_back({{"role", role}, {"content", "0123456789012345678901234567890123456789"}});
    repair_conversation(list, caps, "");
    EXPECT_LE(list.size(), 2u);
    EXPECT_EQ(list.back()["content"].get_ref<const std::string&>().size(), kMany * 42 - 2);
  }
  TemplateCaps one_call = able();
  one_call.several_calls = one_call.user_after_tool = false;
  Json calls = Json::array(), list = Json::array();
  for (size_t i = 0; i < kMany; ++i)
    calls.push_back(
        {{"id", std::to_string(i)}, {"function", {{"name", "f"}, {"arguments", Json::object()}}}});
  list.push_back({{"role", "user"}, {"content", "x"}});
  list.push_back({{"role", "assistant"}, {"content", ""}, {"tool_calls", calls}});
  for (size_t i = kMany; i-- > 0;)  // the last one's first
    list.push_back({{"role", "tool"}, {"tool_call_id", std::to_string(i)}, {"content", ""}});
  repair_conversation(list, one_call, "");
  ASSERT_EQ(list.size(), 1 + 2 * kMany);
  EXPECT_EQ(list.back()["tool_call_id"], std::to_string(kMany - 1));
}

TEST(Repair, OddShapesAreNoFault) {
  for (const char* odd : {R"([{}])", R"([{"role":5,"content":{}}])",
                          R"([{"role":"assistant","tool_calls":[1,{"function":2}]}])", R"([{"role":"tool"}])",
                          R"([{"role":"user","content":[1]},{"role":"user","content":null}])"}) {
    for (const bool plain : {false, true}) {
      Json list = Json::parse(odd);
      repair_conversation(list, plain ? plainest(able()) : able(), "[1]");
      EXPECT_FALSE(list.empty());
    }
  }
}

TEST(Repair, JsonAsPythonWritesIt) {
  EXPECT_EQ(python_json(Json::parse(R"({"a":1,"b":[2.0,"\u00e9\n",null],"c":{},"d":[]})")),
            "{\"a\": 1, \"b\": [2.0, \"\u00e9\\n\", null], \"c\": {}, \"d\": []}");
}

}  // namespace
}  // namespace moraine::chat
