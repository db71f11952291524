#include "server/api/messages_request.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "server/api/chat_body.h"
#include "server/api/errors.h"

namespace moraine::server {
namespace {

// A line that Claude Code puts before its system prompt. A hash in it changes from request to request, and
// with it every token's position in the cache would be lost.
constexpr std::string_view kBillingLine = "x-anthropic-billing-header";

std::string without_billing_line(std::string text) {
  if (!text.starts_with(kBillingLine)) return text;
  const std::size_t end = text.find('\n');
  return end == std::string::npos ? "" : text.substr(end + 1);
}

void add_parts(const Call& call, const Json& content, const std::string& path, Json& parts);

// What a block says to the model. Blocks of Anthropic's own servers (a search that ran there) say nothing
// here and are left out.
void add_block(const Call& call, const Json& block, const std::string& path, Json& parts) {
  const Fields fields(block, path + ".");
  const std::string type = required_string(fields, "type");
  if (type == "text") {
    parts.push_back(text_part(required_string(fields, "text")));
  } else if (type == "image") {
    parts.push_back(media_part(type));
  } else if (type == "document") {
    const auto source = fields.child("source");
    if (const auto title = fields.string("title")) parts.push_back(text_part(*title));
    const std::string kind = source ? source->string("type").value_or("") : "";
    if (kind == "text") {
      parts.push_back(text_part(required_string(*source, "data")));
    } else if (kind == "content") {
      add_parts(call, required(*source, "content"), source->path("content"), parts);
    } else {
      parts.push_back(media_part("file"));
    }
  } else if (type == "search_result") {
    for (const char* name : {"title", "source"}) {
      if (const auto text = fields.string(name)) parts.push_back(text_part(*text));
    }
    add_parts(call, required(fields, "content"), fields.path("content"), parts);
  } else if (type == "tool_reference") {
    parts.push_back(text_part(required_string(fields, "tool_name")));
  } else {
    call.log->warn_once("messages: block",
                        "A message holds a block that this server does not know; it is left out.");
  }
}

// A string and one text block are alike. cache_control and citations are not looked at.
void add_parts(const Call& call, const Json& content, const std::string& path, Json& parts) {
  if (content.is_string()) {
    parts.push_back(text_part(content.get<std::string>()));
    return;
  }
  if (!content.is_array()) {
    throw bad_request(
        path, fmt::format("'{}' must be a string or an array of blocks, not {}.", path, kind_of(content)));
  }
  for (std::size_t i = 0; i < content.size(); ++i) {
    add_block(call, content[i], fmt::format("{}[{}]", path, i), parts);
  }
}

void add_system(const Call& call, const Json& content, const std::string& path, Json& messages) {
  Json all = Json::array(), parts = Json::array();
  add_parts(call, content, path, all);
  for (Json& part : all) {
    if (part.contains("text")) {
      part["text"] = without_billing_line(part["text"].get<std::string>());
      if (part["text"].get_ref<const std::string&>().empty()) continue;
    }
    parts.push_back(std::move(part));
  }
  if (!parts.empty()) messages.push_back({{"role", "system"}, {"content", std::move(parts)}});
}

Json tool_message(const Call& call, const Fields& block) {
  Json parts = Json::array();
  if (const Json* content = block.find("content")) add_parts(call, *content, block.path("content"), parts);
  if (block.boolean("is_error").value_or(false)) {  // chat has no field for it
    if (!parts.empty() && parts[0].contains("text")) {
      parts[0]["text"] = "Error: " + parts[0]["text"].get<std::string>();
    } else {
      parts.insert(parts.begin(), text_part("Error:"));
    }
  }
  return {{"role", "tool"},
          {"tool_call_id", required_string(block, "tool_use_id")},
          {"content", std::move(parts)}};
}

// A tool's results are messages of their own, before what the user says beside them.
void add_user(const Call& call, const Json& content, const std::string& path, Json& messages) {
  Json parts = Json::array();
  if (!content.is_array()) {
    add_parts(call, content, path, parts);
  } else {
    for (std::size_t i = 0; i < content.size(); ++i) {
      const std::string block_path = fmt::format("{}[{}]", path, i);
      const Fields block(content[i], block_path + ".");
      if (block.string("type") == "tool_result") {
        messages.push_back(tool_message(call, block));
      } else {
        add_block(call, content[i], block_path, parts);
      }
    }
  }
  if (!parts.empty()) messages.push_back({{"role", "user"}, {"content", std::move(parts)}});
}

// One message, however its blocks are ordered: texts and thoughts are put together without anything between
// them, as they were generated.
void add_assistant(const Call& call, const Json& content, const std::string& path, Json& messages) {
  std::string text, reasoning;
  Json calls = Json::array();
  const auto add_text = [&](const Json& parts) {
    for (const Json& part : parts) {
      if (part.contains("text")) text += part["text"].get_ref<const std::string&>();
    }
  };
  if (!content.is_array()) {
    Json parts = Json::array();
    add_parts(call, content, path, parts);
    add_text(parts);
  } else {
    for (std::size_t i = 0; i < content.size(); ++i) {
      const std::string block_path = fmt::format("{}[{}]", path, i);
      const Fields block(content[i], block_path + ".");
      const std::string type = required_string(block, "type");
      if (type == "thinking") {
        reasoning += block.string("thinking").value_or("");
      } else if (type == "redacted_thinking") {
        // Only the server that made it can read it.
      } else if (type == "tool_use") {
        const Json* input = block.find("input");
        if (input != nullptr && !input->is_object()) block.wrong_type("input", "an object");
        calls.push_back(tool_call(required_string(block, "id"), required_string(block, "name"),
                                  input != nullptr ? *input : Json::object()));
      } else {
        Json parts = Json::array();
        add_block(call, content[i], block_path, parts);
        add_text(parts);
      }
    }
  }
  Json message = {{"role", "assistant"}, {"content", std::move(text)}};
  if (!reasoning.empty()) message["reasoning_content"] = std::move(reasoning);
  if (!calls.empty()) message["tool_calls"] = std::move(calls);
  messages.push_back(std::move(message));
}

Json chat_messages(const Call& call, const Fields& body) {
  Json messages = Json::array();
  if (const Json* system = body.find("system")) add_system(call, *system, "system", messages);
  const Json& list = required(body, "messages");
  if (!list.is_array()) body.wrong_type("messages", "an array");
  const std::size_t n_before = messages.size();
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string path = fmt::format("messages[{}]", i);
    const Fields message(list[i], path + ".");
    const std::string role = required_string(message, "role");
    const Json& content = required(message, "content");
    const std::string content_path = message.path("content");
    if (role == "user") {
      add_user(call, content, content_path, messages);
    } else if (role == "assistant") {
      add_assistant(call, content, content_path, messages);
    } else if (role == "system") {
      add_system(call, content, content_path, messages);
    } else {
      throw bad_request(message.path("role"),
                        fmt::format("'{}' is '{}'; it must be one of user, assistant and system.",
                                    message.path("role"), role.substr(0, 64)));
    }
  }
  if (messages.size() == n_before) {
    throw bad_request("messages", "'messages' holds nothing; send at least one message with content.");
  }
  return messages;
}

// Tools that the client runs. One of Anthropic's own (web_search_20250305, ...) has no schema here.
Json chat_tools(const Call& call, const Fields& body) {
  const Json* tools = body.find("tools");
  Json result = Json::array();
  if (tools == nullptr) return result;
  if (!tools->is_array()) body.wrong_type("tools", "an array");
  for (std::size_t i = 0; i < tools->size(); ++i) {
    const Fields tool((*tools)[i], fmt::format("tools[{}].", i));
    if (tool.string("type").value_or("custom") != "custom" && !tool.has("input_schema")) {
      call.log->warn_once(
          "messages: server tool",
          "A request offers a tool that Anthropic's servers or models define; it is left out.");
      continue;
    }
    const Json* schema = tool.find("input_schema");
    if (schema != nullptr && !schema->is_object()) tool.wrong_type("input_schema", "an object");
    tool.string("description");
    result.push_back(function_tool(required_string(tool, "name"), tool.find("description"), schema));
  }
  return result;
}

void add_tool_choice(const Fields& body, Json& chat) {
  const auto choice = body.child("tool_choice");
  if (!choice) return;
  const std::string type = required_string(*choice, "type");
  if (type == "tool") {
    chat["tool_choice"] = {{"type", "function"}, {"function", {{"name", required_string(*choice, "name")}}}};
  } else if (type == "auto" || type == "any" || type == "none") {
    chat["tool_choice"] = type == "any" ? "required" : type;
  } else {
    throw bad_request(choice->path("type"),
                      fmt::format("'{}' is '{}'; it must be one of auto, any, tool and none.",
                                  choice->path("type"), type.substr(0, 64)));
  }
  if (const auto single = choice->boolean("disable_parallel_tool_use"))
    chat["parallel_tool_calls"] = !*single;
}

// A budget cannot be kept: a model thinks for as long as it does. What remains is whether.
void add_thinking(const Fields& body, Json& chat) {
  if (const auto thinking = body.child("thinking")) {
    const std::string type = thinking->string("type").value_or("");
    if (type == "disabled" || type == "enabled" || type == "adaptive") {
      chat["chat_template_kwargs"]["enable_thinking"] = type != "disabled";
    }
  }
  const Json* format = body.find("output_format");
  const auto output = body.child("output_config");
  if (output) {
    if (const auto effort = output->string("effort")) chat["reasoning_effort"] = *effort;
    if (format == nullptr) format = output->find("format");
  }
  if (format == nullptr) return;
  const Fields fields(*format, "output_config.format.");
  chat["response_format"] = {{"type", "json_schema"},
                             {"json_schema", {{"name", "answer"}, {"schema", required(fields, "schema")}}}};
}

}  // namespace

Json chat_body_from_messages(const Call& call, const Fields& body) {
  Json chat = Json::object();
  copy_sampling_fields(body, chat);
  if (chat.contains("chat_template_kwargs")) body.child("chat_template_kwargs");  // must be an object
  copy_fields(body, chat, {"max_tokens"});
  const Json* stops = body.find("stop_sequences");
  if (stops != nullptr && !stops->is_array()) body.wrong_type("stop_sequences", "an array of strings");
  if (stops != nullptr) chat["stop"] = body.strings("stop_sequences");
  chat["messages"] = chat_messages(call, body);
  if (Json tools = chat_tools(call, body); !tools.empty()) chat["tools"] = std::move(tools);
  add_tool_choice(body, chat);
  add_thinking(body, chat);
  return chat;
}

}  // namespace moraine::server
