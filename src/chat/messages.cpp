#include "chat/messages.h"

#include <moraine/error.h>

#include <nlohmann/json.hpp>

#include "chat/repair.h"

namespace moraine::chat {
namespace {

using Json = nlohmann::ordered_json;

// The template engine refuses deeper JSON; the limit also bounds the recursion of dump().
constexpr int kMaxDepth = 120;

[[noreturn]] void refuse(const std::string& message) { throw Error(ErrorCode::kInvalidArgument, message); }

bool is_too_deep(std::string_view json) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (in_string) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kMaxDepth) return true;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return false;
}

Json parse(std::string_view json, const char* what) {
  if (is_too_deep(json)) refuse(std::string("The ") + what + " are nested too deeply.");
  Json value = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (value.is_discarded()) refuse(std::string("The ") + what + " are not valid JSON.");
  return value;
}

void mend_arguments(Json& message, bool as_objects) {
  const auto calls = message.find("tool_calls");
  if (calls == message.end() || !calls->is_array()) return;
  for (Json& call : *calls) {
    if (!call.is_object()) continue;
    const auto function = call.find("function");
    Json& holder = function != call.end() && function->is_object() ? *function : call;
    const auto arguments = holder.find("arguments");
    if (arguments == holder.end()) continue;
    if (as_objects && arguments->is_string()) {
      const std::string& text = arguments->get_ref<const std::string&>();
      if (is_too_deep(text)) continue;
      Json object = Json::parse(text, nullptr, /*allow_exceptions=*/false);
      if (object.is_object()) *arguments = std::move(object);
    } else if (!as_objects) {
      // Text that a client wrote is compact; what the model wrote was not.
      if (arguments->is_string() && !is_too_deep(arguments->get_ref<const std::string&>())) {
        Json object = Json::parse(arguments->get_ref<const std::string&>(), nullptr, false);
        if (object.is_object()) *arguments = std::move(object);
      }
      if (!arguments->is_object()) continue;
      *arguments = python_json(*arguments);
    }
  }
}

bool is_text_part(const Json& part) {
  if (!part.is_object()) return false;
  const auto text = part.find("text");
  return text != part.end() && text->is_string();
}

void mend_content(Json& message, const TemplateCaps& caps) {
  const auto content = message.find("content");
  if (content == message.end() || content->is_null()) {
    if (caps.null_content && message.contains("tool_calls"))
      message["content"] = nullptr;
    else
      message["content"] = "";
    return;
  }
  if (!content->is_array() || caps.text_parts) return;
  std::string text;
  for (const Json& part : *content) {
    if (!is_text_part(part)) return;
    text += part["text"].get_ref<const std::string&>();
  }
  *content = std::move(text);
}

}  // namespace

std::string mend_messages(std::string_view messages_json, const TemplateCaps& caps,
                          std::string_view untold_tools) {
  Json messages = parse(messages_json, "messages");
  if (!messages.is_array()) refuse("\"messages\" must be an array.");
  for (Json& message : messages) {
    if (!message.is_object()) refuse("Each of the messages must be an object.");
    mend_arguments(message, caps.object_arguments);
    mend_content(message, caps);
  }
  repair_conversation(messages, caps, untold_tools);
  return messages.dump();
}

}  // namespace moraine::chat
