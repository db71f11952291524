#include "server/api/chat_prompt.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <random>
#include <utility>

#include "server/api/errors.h"
#include "server/api/history.h"

namespace moraine::server {
namespace {

// The roles that clients use, and those that templates know.
std::string template_role(const std::string& role, const std::string& path) {
  if (role == "developer") return "system";  // OpenAI's newer name for it
  if (role == "function") return "tool";     // OpenAI's older one
  for (const char* known : {"system", "user", "assistant", "tool"}) {
    if (role == known) return role;
  }
  throw bad_request(path + ".role",
                    fmt::format("'{}.role' is '{}'; it must be one of system, developer, user, "
                                "assistant and tool.",
                                path, role.substr(0, 64)));
}

// A message's text: a string, or parts joined by line ends, as llama-server joins them. A part that is
// no text leaves a note, so that the model knows of it and the request succeeds.
std::string text_of(const Call& call, const Json& content, const std::string& path) {
  if (content.is_null()) return "";
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array()) {
    throw bad_request(
        path, fmt::format("'{}' must be a string or an array of parts, not {}.", path, kind_of(content)));
  }
  std::string text;
  for (std::size_t i = 0; i < content.size(); ++i) {
    const Json& part = content[i];
    std::string piece;
    if (part.is_string()) {
      piece = part.get<std::string>();
    } else {
      const Fields fields(part, fmt::format("{}[{}].", path, i));
      const std::string type = fields.string("type").value_or("text");
      if (fields.has("text")) {
        piece = *fields.string("text");
      } else if (type == "refusal") {
        piece = fields.string("refusal").value_or("");
      } else if (type == "text" || type == "input_text" || type == "output_text") {
        throw bad_request(fields.path("text"), fmt::format("'{}' is missing.", fields.path("text")));
      } else {
        const bool image = type.find("image") != std::string::npos;
        const bool audio = type.find("audio") != std::string::npos;
        const char* kind = image ? "picture" : audio ? "recording" : "file";
        piece = fmt::format("[A {} was attached here; this model reads text only.]", kind);
        call.log->warn_once(
            std::string("media ") + kind,
            fmt::format("A message holds a {}; this model reads text only, so a short note stands "
                        "in its place.",
                        kind));
      }
    }
    if (!text.empty() && !piece.empty()) text += '\n';
    text += piece;
  }
  return text;
}

// Arguments are an object or, as OpenAI has it, the text of one; which of them a template takes is
// src/chat's to know. Text is JSON within JSON: the same limits hold for it.
Json template_arguments(const Json* arguments, const std::string& path) {
  if (arguments == nullptr) return "{}";
  if (!arguments->is_string()) return *arguments;
  const auto& text = arguments->get_ref<const std::string&>();
  if (text.empty()) return "{}";
  try {
    return mend_json(text);
  } catch (ApiError& e) {
    e.param = path;
    throw;
  }
}

Json template_tool_calls(const Json& calls, const std::string& path) {
  if (!calls.is_array())
    throw bad_request(path, fmt::format("'{}' must be an array, not {}.", path, kind_of(calls)));
  Json result = Json::array();
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const Fields fields(calls[i], fmt::format("{}[{}].", path, i));
    const auto function = fields.child("function");
    if (!function)
      throw bad_request(fields.path("function"), fmt::format("'{}' is missing.", fields.path("function")));
    const auto name = function->string("name");
    if (!name)
      throw bad_request(function->path("name"), fmt::format("'{}' is missing.", function->path("name")));
    Json call = Json::object();
    if (const auto id = fields.string("id")) call["id"] = *id;
    call["type"] = "function";
    call["function"] = {
        {"name", *name},
        {"arguments", template_arguments(function->find("arguments"), function->path("arguments"))}};
    result.push_back(std::move(call));
  }
  return result;
}

Json template_message(const Call& call, const Json& message, std::size_t index) {
  const std::string path = fmt::format("messages[{}]", index);
  const Fields fields(message, path + ".");
  const auto role = fields.string("role");
  if (!role) throw bad_request(path + ".role", fmt::format("'{}.role' is missing.", path));
  Json result = Json::object();
  result["role"] = template_role(*role, path);
  const Json* content = fields.find("content");
  const Json* tool_calls = fields.find("tool_calls");
  if (content == nullptr && *role != "assistant") {
    throw bad_request(path + ".content", fmt::format("'{}.content' is missing.", path));
  }
  result["content"] = content != nullptr ? text_of(call, *content, path + ".content") : "";
  // vLLM and some clients call it `reasoning`.
  for (const char* name : {"reasoning_content", "reasoning"}) {
    const Json* reasoning = fields.find(name);
    if (reasoning != nullptr && reasoning->is_string() && !result.contains("reasoning_content")) {
      result["reasoning_content"] = *reasoning;
    }
  }
  if (tool_calls != nullptr) {
    Json calls = template_tool_calls(*tool_calls, path + ".tool_calls");
    if (!calls.empty()) result["tool_calls"] = std::move(calls);
  }
  if (const auto name = fields.string("name")) result["name"] = *name;
  if (const auto id = fields.string("tool_call_id")) result["tool_call_id"] = *id;
  return result;
}

// The tools the template is to show, or "" for none.
std::string template_tools(const Fields& body) {
  const Json* tools = body.find("tools");
  if (tools == nullptr) return "";
  if (!tools->is_array()) body.wrong_type("tools", "an array");
  const Json* choice = body.find("tool_choice");
  if (choice != nullptr && !choice->is_string() && !choice->is_object()) {
    body.wrong_type("tool_choice", "a string or an object");
  }
  if (choice != nullptr && *choice == "none") return "";
  Json result = Json::array();
  for (std::size_t i = 0; i < tools->size(); ++i) {
    const Fields tool((*tools)[i], fmt::format("tools[{}].", i));
    // Anything but a function (web_search, ...) runs on somebody's server, not in the client.
    if (tool.string("type").value_or("function") != "function") continue;
    const auto function = tool.child("function");
    if (!function)
      throw bad_request(tool.path("function"), fmt::format("'{}' is missing.", tool.path("function")));
    if (!function->string("name")) {
      throw bad_request(function->path("name"), fmt::format("'{}' is missing.", function->path("name")));
    }
    Json shown = tool.object();
    // Templates walk through the parameters; Qwen Code leaves them out where there are none.
    if (!function->has("parameters")) {
      shown["function"]["parameters"] = {{"type", "object"}, {"properties", Json::object()}};
    }
    result.push_back(std::move(shown));
  }
  if (result.empty()) return "";
  return dump(result);
}

// The command line's values, under the request's.
std::string template_variables(const Call& call, const Fields& body) {
  Json variables = Json::object();
  if (!call.options->chat_template_kwargs.empty()) variables = parse_json(call.options->chat_template_kwargs);
  if (const auto effort = body.string("reasoning_effort")) variables["reasoning_effort"] = *effort;
  if (const auto own = body.child("chat_template_kwargs")) {
    for (const auto& [name, value] : own->object().items()) variables[name] = value;
  }
  return variables.empty() ? "" : dump(variables);
}

// Where reasoning goes: llama-server's names. "none" leaves it in the content, tags and all.
bool reasoning_apart(const Fields& body) {
  const auto format = body.string("reasoning_format").value_or("auto");
  for (const char* known : {"auto", "deepseek", "deepseek-legacy", "none"}) {
    if (format == known) return format != "none";
  }
  throw bad_request(body.path("reasoning_format"),
                    fmt::format("'{}' is '{}'; it must be auto, deepseek or none.",
                                body.path("reasoning_format"), format.substr(0, 64)));
}

std::vector<TokenId> control_tokens(const Tokenizer& tokenizer, const std::vector<std::string>& texts) {
  std::vector<TokenId> ids;
  for (const std::string& text : texts) {
    const TokenId id = tokenizer.find(text);
    if (id != kNoToken && tokenizer.is_control(id)) ids.push_back(id);
  }
  return ids;
}

// Why a turn stands without its reasoning.
const char* reasoning_note(const Json& messages) {
  const bool sent = std::any_of(messages.begin(), messages.end(),
                                [](const Json& message) { return message.contains("reasoning_content"); });
  return sent ? "; the template leaves the reasoning of earlier turns out"
              : "; the client did not send the reasoning of earlier turns back";
}

uint64_t random_seed() {
  std::random_device device;
  return (uint64_t{device()} << 32) | device();
}

}  // namespace

std::unique_ptr<chat::OutputParser> ChatPrompt::make_parser(uint32_t choice) const {
  chat::ParserOptions options = parser_options;
  options.id_seed += choice;
  return chat::make_output_parser(format, tools, options);
}

ChatPrompt chat_prompt(const Call& call, const Fields& body) {
  const Json* messages = body.find("messages");
  if (messages == nullptr) throw bad_request("messages", "'messages' is missing.");
  if (!messages->is_array()) body.wrong_type("messages", "an array");
  if (messages->empty()) throw bad_request("messages", "'messages' is empty; send at least one message.");

  Json shown = Json::array();
  for (std::size_t i = 0; i < messages->size(); ++i)
    shown.push_back(template_message(call, (*messages)[i], i));

  // An assistant's text at the end is to be continued (a client resuming a stream that was cut): it goes
  // behind the generation prompt, so that the model sees its own unfinished turn.
  std::string unfinished;
  if (shown.back()["role"] == "assistant" && !shown.back().contains("tool_calls")) {
    unfinished = shown.back()["content"].get<std::string>();
    shown.erase(shown.size() - 1);
    if (shown.empty())
      throw bad_request("messages", "'messages' holds nothing but the beginning of an answer.");
  }

  const std::string messages_json = dump(shown);
  const std::string tools_json = template_tools(body);
  const std::string variables_json = template_variables(call, body);
  if (!call.model->chat_template) throw Error(ErrorCode::kUnsupported, call.model->chat_template_error);
  const chat::ChatTemplate& chat_template = *call.model->chat_template;
  chat::RenderInput input;
  input.messages_json = messages_json;
  input.tools_json = tools_json;
  input.variables_json = variables_json;
  input.add_generation_prompt = body.boolean("add_generation_prompt").value_or(true) || !unfinished.empty();

  ChatPrompt prompt;
  prompt.format = chat_template.output_format();
  prompt.text = chat_template.render(input);
  prompt.parser_options.reasoning = chat::reasoning_start(prompt.format, prompt.text, unfinished);
  prompt.parser_options.apart_reasoning = reasoning_apart(body);
  prompt.parser_options.single_call = !body.boolean("parallel_tool_calls").value_or(true);
  prompt.parser_options.calls = !tools_json.empty();
  prompt.parser_options.id_seed = random_seed();
  if (!tools_json.empty())
    prompt.tools = std::make_shared<const chat::ToolTypes>(chat::ToolTypes::from_json(tools_json));
  prompt.form = chat_answer_form(call, body, tools_json, {prompt.parser_options.reasoning, unfinished});
  prompt.text += unfinished;
  const Tokenizer& tokenizer = *call.model->tokenizer;
  const uint64_t scope = cache_scope(call);
  HistoryTokens history =
      encode_history(tokenizer, *call.model->turns, scope, prompt.text,
                     {prompt.format, prompt.tools, prompt.parser_options.calls, tools_json});
  prompt.tokens = std::move(history.tokens);
  prompt.place = turn_place(scope, prompt.text);
  if (history.reasoning_missing) prompt.note = reasoning_note(shown);
  prompt.shown_tokens = control_tokens(tokenizer, prompt.format.markers);
  return prompt;
}

void add_chat_prompt(const Call& call, RequestPlan& plan, ChatPrompt& prompt) {
  plan.plan.shown_tokens = prompt.shown_tokens;
  plan.plan.note = prompt.note;
  plan.plan.form = std::make_shared<const AnswerForm>(std::move(prompt.form));
  plan.plan.remember = [turns = call.model->turns, place = prompt.place](GeneratedTurn turn) {
    turns->put(place, std::move(turn));
  };
  add_prompt(call, plan, std::move(prompt.tokens));
}

}  // namespace moraine::server
