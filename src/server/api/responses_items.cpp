#include "server/api/responses_items.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "server/api/auth.h"
#include "server/api/chat_body.h"
#include "server/api/errors.h"
#include "server/api/response_store.h"
#include "server/api/responses_tools.h"

namespace moraine::server {
namespace {

// A string and one text part are alike.
Json chat_parts(const Json& content, const std::string& path) {
  Json parts = Json::array();
  if (content.is_string()) {
    parts.push_back(text_part(content.get<std::string>()));
    return parts;
  }
  if (!content.is_array()) {
    throw bad_request(
        path, fmt::format("'{}' must be a string or an array of parts, not {}.", path, kind_of(content)));
  }
  for (std::size_t i = 0; i < content.size(); ++i) {
    const Fields part(content[i], fmt::format("{}[{}].", path, i));
    const std::string type = part.string("type").value_or("input_text");
    if (type == "refusal") {
      parts.push_back(text_part(part.string("refusal").value_or("")));
    } else if (type.find("text") != std::string::npos) {
      parts.push_back(text_part(required_string(part, "text")));
    } else {
      parts.push_back(media_part(type));
    }
  }
  return parts;
}

std::string texts_of(const Json& parts) {
  std::string text;
  for (const Json& part : parts) {
    if (part.contains("text")) text += part["text"].get_ref<const std::string&>();
  }
  return text;
}

// What of a reasoning item can be read: its text, ours in encrypted_content, or its summary.
std::string reasoning_of(const Fields& item) {
  if (const Json* content = item.find("content"); content != nullptr) {
    if (std::string text = texts_of(chat_parts(*content, item.path("content"))); !text.empty()) return text;
  }
  const std::string encrypted = item.string("encrypted_content").value_or("");
  constexpr std::string_view kOwn = kOwnReasoning;
  if (encrypted.starts_with(kOwn)) return encrypted.substr(kOwn.size());
  const Json* summary = item.find("summary");
  return summary != nullptr ? texts_of(chat_parts(*summary, item.path("summary"))) : "";
}

class MessageList {
 public:
  MessageList(const Call& call, Json& messages) : call_(call), messages_(messages) {}
  void add(const Fields& item);
  void flush();  // the assistant's message is complete

 private:
  void add_message(const Fields& item);
  void add_call(const Fields& item, Json arguments);
  void add_result(const Fields& item);
  Json& assistant();

  const Call& call_;
  Json& messages_;
  Json assistant_;  // being put together; null: none
};

Json& MessageList::assistant() {
  if (assistant_.is_null()) assistant_ = {{"role", "assistant"}, {"content", ""}};
  return assistant_;
}

void MessageList::flush() {
  if (!assistant_.is_null()) messages_.push_back(std::move(assistant_));
  assistant_ = nullptr;
}

void MessageList::add(const Fields& item) {
  const std::string type = item.string("type").value_or("message");
  if (type == "message") {
    add_message(item);
  } else if (type == "function_call") {
    const Json* arguments = item.find("arguments");
    add_call(item, arguments != nullptr ? *arguments : Json("{}"));
  } else if (type == "custom_tool_call") {
    add_call(item, custom_arguments(item.string("input").value_or("")));
  } else if (type == "function_call_output" || type == "custom_tool_call_output") {
    add_result(item);
  } else if (type == "reasoning") {
    const std::string text = reasoning_of(item);
    if (text.empty()) return;  // of another server, and sealed
    Json& message = assistant();
    message["reasoning_content"] = message.value("reasoning_content", "") + text;
  } else {
    call_.log->warn_once(
        "responses item",
        "A request's input holds an item of a kind that this server does not know; it is left out.");
  }
}

void MessageList::add_message(const Fields& item) {
  const std::string role = required_string(item, "role");
  Json parts = chat_parts(required(item, "content"), item.path("content"));
  if (role == "assistant") {
    // Text after text is another message; text after calls belongs to theirs.
    if (!assistant_.is_null() && !assistant_.contains("tool_calls") && assistant_["content"] != "") flush();
    Json& message = assistant();
    message["content"] = message["content"].get<std::string>() + texts_of(parts);
    return;
  }
  if (role != "user" && role != "system" && role != "developer") {
    throw bad_request(item.path("role"),
                      fmt::format("'{}' is '{}'; it must be one of user, assistant, system and developer.",
                                  item.path("role"), role.substr(0, 64)));
  }
  flush();
  messages_.push_back({{"role", role}, {"content", std::move(parts)}});
}

void MessageList::add_call(const Fields& item, Json arguments) {
  const std::string name =
      shown_tool_name(item.string("namespace").value_or(""), required_string(item, "name"));
  assistant()["tool_calls"].push_back(
      tool_call(required_string(item, "call_id"), name, std::move(arguments)));
}

void MessageList::add_result(const Fields& item) {
  flush();
  const Json& output = required(item, "output");
  Json content = output.is_object() ? Json(dump(output)) : chat_parts(output, item.path("output"));
  messages_.push_back({{"role", "tool"},
                       {"tool_call_id", required_string(item, "call_id")},
                       {"content", std::move(content)}});
}

}  // namespace

void resolve_references(const Call& call, Json& items) {
  for (std::size_t i = 0; i < items.size(); ++i) {
    const Fields item(items[i], fmt::format("input[{}].", i));
    if (item.string("type") != "item_reference") continue;
    const std::string id = required_string(item, "id");
    const std::string stored =
        call.responses->find_item(key_scope(call.request(), call.options->api_keys), id);
    if (stored.empty()) {
      throw bad_request(item.path("id"),
                        fmt::format("The item '{}' is not stored here (any more); send the item itself.",
                                    id.substr(0, 100)));
    }
    items[i] = Json::parse(stored);
  }
}

void add_chat_messages(const Call& call, const Json& items, std::size_t n_before, Json& messages) {
  MessageList list(call, messages);
  for (std::size_t i = 0; i < items.size(); ++i) {
    list.add(
        Fields(items[i], i < n_before ? "previous_response_id." : fmt::format("input[{}].", i - n_before)));
  }
  list.flush();
}

}  // namespace moraine::server
