#include "server/api/chat_body.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "server/api/errors.h"

namespace moraine::server {

void copy_fields(const Fields& from, Json& to, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (const Json* value = from.find(name)) to[name] = *value;
  }
}

void copy_sampling_fields(const Fields& from, Json& to) {
  copy_fields(from, to,
              {"model", "temperature", "top_p", "top_k", "min_p", "typical_p", "seed", "repeat_penalty",
               "repeat_last_n", "presence_penalty", "frequency_penalty", "logit_bias", "ignore_eos",
               "chat_template_kwargs", "stream"});
}

std::string echoed_model(const Call& call, const Fields& body) {
  constexpr std::size_t kLongest = 256;
  const std::string name = body.string("model").value_or("");
  return name.empty() || name.size() > kLongest ? call.model->id : name;
}

Json text_part(std::string text) { return {{"type", "text"}, {"text", std::move(text)}}; }

Json media_part(const std::string& type) {
  const bool image = type.find("image") != std::string::npos;
  const bool audio = type.find("audio") != std::string::npos;
  return {{"type", image ? "image" : audio ? "audio" : "file"}};
}

Json tool_call(std::string id, std::string name, Json arguments) {
  return {{"id", std::move(id)},
          {"type", "function"},
          {"function", {{"name", std::move(name)}, {"arguments", std::move(arguments)}}}};
}

Json function_tool(std::string name, const Json* description, const Json* parameters) {
  Json function = {{"name", std::move(name)}};
  if (description != nullptr) function["description"] = *description;
  if (parameters != nullptr) function["parameters"] = *parameters;
  return {{"type", "function"}, {"function", std::move(function)}};
}

const Json& required(const Fields& fields, const char* name) {
  const Json* value = fields.find(name);
  if (value == nullptr) {
    throw bad_request(fields.path(name), fmt::format("'{}' is missing.", fields.path(name)));
  }
  return *value;
}

std::string required_string(const Fields& fields, const char* name) {
  required(fields, name);
  return *fields.string(name);
}

}  // namespace moraine::server
