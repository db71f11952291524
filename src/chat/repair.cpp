#include "chat/repair.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <list>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

namespace moraine::chat {
namespace {

using Json = nlohmann::ordered_json;

std::string text_at(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

bool has_role(const Json& message, const char* role) { return text_at(message, "role") == role; }

bool has_calls(const Json& message) {
  const auto calls = message.find("tool_calls");
  return calls != message.end() && calls->is_array() && !calls->empty();
}

Json& function_of(Json& call) {
  const auto function = call.find("function");
  return function != call.end() && function->is_object() ? *function : call;
}

Json as_parts(Json content) {
  if (content.is_array()) return content;
  return Json::array({Json{{"type", "text"}, {"text", std::move(content)}}});
}

// Text, or parts, of one message and of another as the content of a single one. In place: 100,000 messages
// may become one.
void append(Json& content, Json more, const char* between) {
  if (content.is_string() && more.is_string()) {
    auto& text = content.get_ref<std::string&>();
    const auto& added = more.get_ref<const std::string&>();
    if (!text.empty() && !added.empty()) text += between;
    text += added;
  } else if (content.is_null()) {
    content = std::move(more);
  } else if (!more.is_null()) {
    if (!content.is_array()) content = as_parts(std::move(content));
    for (Json& part : more = as_parts(std::move(more))) content.push_back(std::move(part));
  }
}

Json joined(Json a, Json b, const char* between) {
  append(a, std::move(b), between);
  return a;
}

// A message's content, to be added to.
Json& content_of(Json& message) {
  if (!message.contains("content")) message["content"] = "";
  return message["content"];
}

// Nine letters and digits that follow from an id, itself where it is of that kind.
std::string short_id(const std::string& id) {
  static constexpr std::string_view kLetters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
  if (id.size() == 9 && id.find_first_not_of(kLetters) == id.npos) return id;
  uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
  for (const char c : id) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  std::string result;
  for (int i = 0; i < 9; ++i, hash /= kLetters.size()) result += kLetters[hash % kLetters.size()];
  return result;
}

Json result_as_text(const Json& message) {
  const std::string name = text_at(message, "name");
  const std::string head = "Result of " + (name.empty() ? "a tool" : name) + ":";
  return {{"role", "user"}, {"content", joined(head, message.value("content", Json("")), "\n")}};
}

// Every call gets an id and every result the id and name of its call: by its own id, else by its turn.
void tie_results(Json& messages, bool short_ids) {
  using Open = std::list<std::pair<std::string, std::string>>;
  Open open;                                       // id and name of calls, oldest first
  std::multimap<std::string, Open::iterator> ids;  // of those
  size_t n_calls = 0;
  for (Json& message : messages) {
    if (has_calls(message)) {
      open.clear();
      ids.clear();
      for (Json& call : message["tool_calls"]) {
        if (!call.is_object()) continue;
        ++n_calls;
        if (text_at(call, "id").empty()) call["id"] = "call_" + std::to_string(n_calls);
        if (short_ids) call["id"] = short_id(call["id"]);
        open.emplace_back(call["id"], text_at(function_of(call), "name"));
        ids.emplace(open.back().first, std::prev(open.end()));
      }
    } else if (has_role(message, "tool")) {
      std::string id = text_at(message, "tool_call_id");
      if (short_ids && !id.empty()) id = short_id(id);
      auto own = ids.find(id);
      if (own == ids.end() && !open.empty()) own = ids.find(open.front().first);
      if (own == ids.end()) {  // the call was cut off by a compaction: its result is words of the user's
        message = result_as_text(message);
        continue;
      }
      const auto& [call_id, name] = *own->second;
      message["tool_call_id"] = call_id;
      if (text_at(message, "name").empty() && !name.empty()) message["name"] = name;
      open.erase(own->second);
      ids.erase(own);
    }
  }
}

// Calls and results in words, as teach_tools() asks for them.
void calls_as_text(Json& messages, const TemplateCaps& caps) {
  for (Json& message : messages) {
    if (!caps.tool_calls && has_calls(message)) {
      std::string text;
      for (Json& call : message["tool_calls"]) {
        if (!call.is_object()) continue;
        Json& function = function_of(call);
        Json arguments = function.value("arguments", Json::object());
        if (arguments.is_string()) {
          Json object = Json::parse(arguments.get_ref<const std::string&>(), nullptr, false);
          if (object.is_object()) arguments = std::move(object);
        }
        const Json shown = {{"name", function.value("name", Json(""))}, {"arguments", std::move(arguments)}};
        text += (text.empty() ? "" : "\n") + python_json(shown);
      }
      message["content"] = joined(message.value("content", Json("")), text, "\n\n");
      message.erase("tool_calls");
    } else if (!caps.tool_results && has_role(message, "tool")) {
      message = result_as_text(message);
    }
  }
}

// The template says nothing of tools, so we do.
void teach_tools(Json& messages, std::string_view tools_json) {
  const Json tools = Json::parse(tools_json, nullptr, false);
  if (!tools.is_array() || tools.empty()) return;
  std::string text =
      "You can use these tools. To call one, answer with nothing but a JSON object of this form, once for "
      "each "
      "call:\n{\"name\": \"the tool's name\", \"arguments\": {\"its parameter\": \"its value\"}}\n\nThe "
      "tools:";
  for (const Json& tool : tools) {
    const auto function = tool.find("function");
    text += "\n" + python_json(function != tool.end() ? *function : tool);
  }
  if (!messages.empty() && has_role(messages[0], "system"))
    messages[0]["content"] = joined(messages[0].value("content", Json("")), text, "\n\n");
  else
    messages.insert(messages.begin(), Json{{"role", "system"}, {"content", text}});
}

// Several calls of a message become messages of one, each with its results behind it.
Json one_call_each(const Json& messages) {
  Json result = Json::array();
  for (size_t i = 0; i < messages.size(); ++i) {
    if (!has_calls(messages[i]) || messages[i]["tool_calls"].size() < 2) {
      result.push_back(messages[i]);
      continue;
    }
    size_t end = i + 1;
    while (end < messages.size() && has_role(messages[end], "tool")) ++end;
    std::multimap<std::string, size_t> results;  // by the ids of their calls
    for (size_t at = i + 1; at < end; ++at) results.emplace(text_at(messages[at], "tool_call_id"), at);
    Json message = messages[i];
    for (const Json& call : messages[i]["tool_calls"]) {
      message["tool_calls"] = Json::array({call});
      result.push_back(message);
      message["content"] = message["content"].is_null() ? Json(nullptr) : Json("");
      message.erase("reasoning_content");
      const auto [first, last] = results.equal_range(text_at(call, "id"));
      for (auto own = first; own != last; ++own) result.push_back(messages[own->second]);
      results.erase(first, last);
    }
    std::vector<size_t> others;
    for (const auto& [id, at] : results) others.push_back(at);
    std::sort(others.begin(), others.end());
    for (const size_t at : others) result.push_back(messages[at]);
    i = end - 1;
  }
  return result;
}

// System messages stand first and are one, or are words of the user's.
void place_systems(Json& messages, const TemplateCaps& caps) {
  size_t n_leading = 0;
  while (n_leading < messages.size() && has_role(messages[n_leading], "system")) ++n_leading;
  if (!caps.late_system) {
    for (size_t i = 1; i < n_leading; ++i)
      append(content_of(messages[0]), std::move(content_of(messages[i])), "\n\n");
    if (n_leading > 1) {
      messages.erase(messages.begin() + 1, messages.begin() + static_cast<std::ptrdiff_t>(n_leading));
      n_leading = 1;
    }
    for (size_t i = n_leading; i < messages.size(); ++i)
      if (has_role(messages[i], "system")) messages[i]["role"] = "user";
  }
  if (caps.system_role || n_leading == 0) return;
  messages[0]["role"] = "user";
  if (messages.size() > 1 && has_role(messages[1], "user")) {
    messages[0]["content"] =
        joined(messages[0].value("content", Json("")), messages[1].value("content", Json("")), "\n\n");
    messages.erase(1);
  }
}

void insert_missing_turns(Json& messages, const TemplateCaps& caps) {
  const Json nothing = {{"role", "user"}, {"content", ""}};
  size_t first = 0;
  while (first < messages.size() && has_role(messages[first], "system")) ++first;
  const bool no_user =
      std::none_of(messages.begin(), messages.end(), [](const Json& m) { return has_role(m, "user"); });
  const bool begins_otherwise = first < messages.size() && !has_role(messages[first], "user");
  if ((no_user && !caps.no_user) || (begins_otherwise && !caps.assistant_first))
    messages.insert(messages.begin() + static_cast<std::ptrdiff_t>(first), nothing);
  if (caps.user_after_tool) return;
  Json result = Json::array();
  for (Json& message : messages) {
    if (has_role(message, "user") && !result.empty() && has_role(result.back(), "tool"))
      result.push_back({{"role", "assistant"}, {"content", ""}});
    result.push_back(std::move(message));
  }
  messages = std::move(result);
}

void merge_same_roles(Json& messages) {
  Json result = Json::array();
  for (Json& message : messages) {
    const std::string role = text_at(message, "role");
    const bool mergeable =
        role == "user" || (role == "assistant" && !result.empty() && !has_calls(result.back()));
    if (!mergeable || result.empty() || text_at(result.back(), "role") != role) {
      result.push_back(std::move(message));
      continue;
    }
    Json& into = result.back();
    append(content_of(into), std::move(content_of(message)), "\n\n");
    if (has_calls(message)) into["tool_calls"] = std::move(message["tool_calls"]);
    if (!text_at(message, "reasoning_content").empty())
      append(into["reasoning_content"], std::move(message["reasoning_content"]), "\n\n");
  }
  messages = std::move(result);
}

void complete_schema(Json& schema, int depth) {
  if (!schema.is_object() || depth > 16) return;
  const auto type = schema.find("type");
  if (type == schema.end() || !type->is_string())
    schema["type"] = schema.contains("properties") ? "object" : schema.contains("items") ? "array" : "string";
  if (depth > 0 && !schema.contains("description")) schema["description"] = "";
  if (schema["type"] == "object" && (!schema.contains("properties") || !schema["properties"].is_object()))
    schema["properties"] = Json::object();
  if (schema["type"] == "array" && (!schema.contains("items") || !schema["items"].is_object()))
    schema["items"] = {{"type", "string"}};
  for (const char* union_name : {"anyOf", "oneOf", "allOf", "$ref"}) schema.erase(union_name);
  if (schema.contains("items")) complete_schema(schema["items"], depth + 1);
  if (!schema.contains("properties")) return;
  if (!schema.contains("required")) schema["required"] = Json::array();
  for (auto& [name, property] : schema["properties"].items()) {
    if (!property.is_object()) property = Json::object();
    complete_schema(property, depth + 1);
  }
}

void write_python(std::string& out, const Json& value) {
  const bool object = value.is_object();
  if (!object && !value.is_array()) {
    out += value.dump(-1, ' ', false, Json::error_handler_t::replace);
    return;
  }
  out += object ? '{' : '[';
  bool first = true;
  for (const auto& [key, item] : value.items()) {
    if (!first) out += ", ";
    first = false;
    if (object) out += Json(key).dump(-1, ' ', false, Json::error_handler_t::replace) + ": ";
    write_python(out, item);
  }
  out += object ? '}' : ']';
}

}  // namespace

std::string plain_tools(std::string_view tools_json) {
  Json tools = Json::parse(tools_json, nullptr, false);
  if (!tools.is_array()) return "";
  for (Json& tool : tools) {
    if (!tool.is_object()) continue;
    Json& function = function_of(tool);
    if (text_at(function, "description").empty()) function["description"] = "";
    if (!function.contains("parameters") || !function["parameters"].is_object())
      function["parameters"] = Json::object();
    function["parameters"]["type"] = "object";
    complete_schema(function["parameters"], 0);
  }
  return tools.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string python_json(const Json& value) {
  std::string out;
  write_python(out, value);
  return out;
}

TemplateCaps plainest(TemplateCaps caps) {
  caps.system_role = caps.late_system = caps.tool_calls = caps.tool_results = false;
  caps.repeated_roles = caps.several_calls = caps.assistant_first = caps.no_user = caps.user_after_tool =
      false;
  caps.text_parts = caps.null_content = false;
  return caps;
}

void repair_conversation(Json& messages, const TemplateCaps& caps, std::string_view tools_json) {
  tie_results(messages, caps.short_call_ids);
  if (!tools_json.empty()) teach_tools(messages, tools_json);
  if (!caps.tool_calls || !caps.tool_results) calls_as_text(messages, caps);
  if (!caps.several_calls) messages = one_call_each(messages);
  place_systems(messages, caps);
  insert_missing_turns(messages, caps);
  if (!caps.repeated_roles) merge_same_roles(messages);
}

}  // namespace moraine::chat
