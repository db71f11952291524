#include "server/api/responses_request.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "server/api/auth.h"
#include "server/api/chat_body.h"
#include "server/api/errors.h"
#include "server/api/response_store.h"
#include "server/api/responses_items.h"

namespace moraine::server {
namespace {

// Instructions, tools and metadata are repeated in every event that holds the response object. Beyond this
// they are left out: a stream shall not be choked by what its client knows anyway.
constexpr std::size_t kMostEchoedBytes = 256 << 10;

void refuse_what_needs_openai(const Fields& body) {
  if (body.boolean("background").value_or(false)) {
    throw unsupported_field("background", "'background' is not available: stream the response instead.");
  }
  for (const char* name : {"conversation", "prompt"}) {
    if (body.has(name)) {
      throw unsupported_field(name, fmt::format("'{}' names something that OpenAI's servers keep, which is "
                                                "not available here; send the items themselves.",
                                                name));
    }
  }
}

// The items of the response that this one continues.
Json earlier_items(const Call& call, const Fields& body) {
  const auto id = body.string("previous_response_id");
  if (!id) return Json::array();
  const auto stored = call.responses->find(key_scope(call.request(), call.options->api_keys), *id);
  if (stored) return Json::parse(stored->conversation);
  ApiError error = bad_request(
      "previous_response_id",
      fmt::format(
          "The response '{}' is not stored here: it was made with store: false, by another server, or "
          "dropped for newer ones. Send the whole conversation as 'input'.",
          id->substr(0, 100)));
  error.code = "previous_response_not_found";
  throw error;
}

Json input_items(const Call& call, const Fields& body) {
  const Json* input = body.find("input");
  if (input == nullptr) return Json::array();
  if (input->is_string()) {
    return Json::array({Json{{"type", "message"}, {"role", "user"}, {"content", *input}}});
  }
  if (!input->is_array()) body.wrong_type("input", "a string or an array of items");
  Json items = *input;
  resolve_references(call, items);
  return items;
}

// text.format is chat's response_format, flattened.
void add_format(const Fields& body, Json& chat) {
  const auto text = body.child("text");
  const auto format = text ? text->child("format") : std::nullopt;
  if (!format) return;
  const std::string type = required_string(*format, "type");
  if (type == "text") return;
  Json result = {{"type", type}};
  if (type == "json_schema") {
    copy_fields(*format, result[type], {"name", "description", "schema", "strict"});
  }
  chat["response_format"] = std::move(result);
}

void add_reasoning(const Fields& body, Json& chat, ResponsesRequest& request) {
  const auto reasoning = body.child("reasoning");
  if (!reasoning) return;
  if (const auto effort = reasoning->string("effort")) {
    if (*effort == "none") {
      chat["chat_template_kwargs"]["enable_thinking"] = false;
    } else {
      chat["reasoning_effort"] = *effort;
    }
  }
  for (const char* name : {"summary", "generate_summary"}) {
    const auto summary = reasoning->string(name);
    request.summaries |= summary && *summary != "none";
  }
}

Json echo_of(const Call& call, const Fields& body, const ResponsesRequest& request) {
  const auto or_null = [&](const char* name) {
    const Json* value = body.find(name);
    return value != nullptr ? *value : Json(nullptr);
  };
  const auto or_else = [&](const char* name, Json otherwise) {
    const Json* value = body.find(name);
    return value != nullptr ? *value : std::move(otherwise);
  };
  Json echo = {{"instructions", or_null("instructions")},
               {"max_output_tokens", or_null("max_output_tokens")},
               {"metadata", or_else("metadata", Json::object())},
               {"model", echoed_model(call, body)},
               {"parallel_tool_calls", or_else("parallel_tool_calls", true)},
               {"previous_response_id", or_null("previous_response_id")},
               {"reasoning", or_else("reasoning", {{"effort", nullptr}, {"summary", nullptr}})},
               {"store", request.store},
               {"text", or_else("text", {{"format", {{"type", "text"}}}})},
               {"tool_choice", or_else("tool_choice", "auto")},
               {"tools", or_else("tools", Json::array())},
               {"truncation", "disabled"}};
  if (dump(echo).size() > kMostEchoedBytes) {
    echo["instructions"] = echo["previous_response_id"] = nullptr;
    echo["metadata"] = echo["reasoning"] = echo["text"] = Json::object();
    echo["tools"] = Json::array();
    echo["tool_choice"] = "auto";
  }
  return echo;
}

}  // namespace

Json chat_body_from_responses(const Call& call, const Fields& body, ResponsesRequest& request) {
  refuse_what_needs_openai(body);
  request.store = body.boolean("store").value_or(true);
  for (const std::string& name : body.strings("include")) {
    request.encrypted_content |= name == "reasoning.encrypted_content";
  }
  Json chat = Json::object();
  copy_sampling_fields(body, chat);
  if (chat.contains("chat_template_kwargs")) body.child("chat_template_kwargs");  // must be an object
  if (const auto limit = body.integer("max_output_tokens", 1)) chat["max_tokens"] = *limit;
  if (body.has("metadata")) body.child("metadata");

  Json messages = Json::array();
  if (const auto instructions = body.string("instructions"); instructions && !instructions->empty()) {
    messages.push_back({{"role", "system"}, {"content", *instructions}});
  }
  Json items = earlier_items(call, body);
  const std::size_t n_before = items.size();
  for (Json& item : input_items(call, body)) items.push_back(std::move(item));
  if (items.size() == n_before) {
    throw bad_request("input", "'input' is missing or empty; send text or at least one item.");
  }
  add_chat_messages(call, items, n_before, messages);
  if (messages.empty()) throw bad_request("input", "'input' holds nothing that a model can read.");
  chat["messages"] = std::move(messages);
  request.tools = add_chat_tools(call, body, chat);
  add_format(body, chat);
  add_reasoning(body, chat, request);
  if (request.store) request.conversation = dump(items);
  request.echo = dump(echo_of(call, body, request));
  return chat;
}

}  // namespace moraine::server
