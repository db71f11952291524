#include "server/api/answer_form.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "constraint/gbnf.h"
#include "constraint/lark.h"
#include "server/api/errors.h"

namespace moraine::server {
namespace {

constexpr std::size_t kMaxAllowedTools = 512;

// One of the three fields that demand a form; a second one cannot be kept as well.
void demand(AnswerForm& form, AnswerForm::Kind kind, std::string field, std::string text) {
  if (form.kind != AnswerForm::Kind::kFree) {
    throw bad_request(field, fmt::format("'{}' and '{}' both say what the answer must look like; send one.",
                                         form.field, field));
  }
  form.kind = kind;
  form.field = std::move(field);
  form.text = std::move(text);
}

void add_schema(AnswerForm& form, const Json& schema, const std::string& field) {
  // Some clients send it as text. What is wrong with that is told with what is wrong with schemas.
  if (schema.is_string()) return demand(form, AnswerForm::Kind::kSchema, field, schema.get<std::string>());
  if (!schema.is_object() && !schema.is_boolean()) {
    throw bad_request(field,
                      fmt::format("'{}' must be a JSON schema, an object, not {}.", field, kind_of(schema)));
  }
  demand(form, AnswerForm::Kind::kSchema, field, dump(schema));
}

// OpenAI's; llama-server also takes a schema beside the type.
void add_response_format(AnswerForm& form, const Fields& format) {
  const std::string type = format.string("type").value_or("text");
  if (type == "text") return;
  if (type != "json_object" && type != "json_schema") {
    throw bad_request(format.path("type"),
                      fmt::format("'{}' is '{}'; it must be text, json_object or json_schema.",
                                  format.path("type"), type.substr(0, 64)));
  }
  if (const Json* schema = format.find("schema")) return add_schema(form, *schema, format.path("schema"));
  if (type == "json_object") return add_schema(form, {{"type", "object"}}, "response_format");
  const auto holder = format.child("json_schema");
  const Json* schema = holder ? holder->find("schema") : nullptr;
  if (schema == nullptr) {
    throw bad_request(format.path("json_schema.schema"),
                      fmt::format("'{}' is missing: the schema that the answer must follow.",
                                  format.path("json_schema.schema")));
  }
  add_schema(form, *schema, format.path("json_schema.schema"));
}

std::string named_function(const Fields& choice) {
  const auto function = choice.child("function");
  const Fields& holder = function ? *function : choice;
  const auto name = holder.string("name");
  if (!name) throw bad_request(holder.path("name"), fmt::format("'{}' is missing.", holder.path("name")));
  return *name;
}

bool is_required(const std::string& mode, const std::string& path) {
  if (mode == "required" || mode == "any") return true;  // "any": Mistral's and Anthropic's word
  if (mode == "auto" || mode == "none") return false;
  throw bad_request(path,
                    fmt::format("'{}' is '{}'; it must be none, auto, required, or an object that names a "
                                "function.",
                                path, mode.substr(0, 64)));
}

void add_tool_choice(chat::CallDemands& calls, const Json& choice) {
  if (choice.is_string()) {
    calls.required = is_required(choice.get<std::string>(), "tool_choice");
    return;
  }
  const Fields fields(choice, "tool_choice.");
  const std::string type = fields.string("type").value_or("function");
  if (type != "allowed_tools") {
    calls.required = true;
    calls.only = {named_function(fields)};
    return;
  }
  // OpenAI's: all tools stay in the prompt, which so keeps its place in the cache, but only these may be
  // called.
  const auto inner = fields.child("allowed_tools");
  const Fields& allowed = inner ? *inner : fields;
  calls.required = is_required(allowed.string("mode").value_or("auto"), allowed.path("mode"));
  const Json* tools = allowed.find("tools");
  if (tools == nullptr || !tools->is_array() || tools->size() > kMaxAllowedTools) {
    throw bad_request(allowed.path("tools"), fmt::format("'{}' must be an array of at most {} tools.",
                                                         allowed.path("tools"), kMaxAllowedTools));
  }
  for (std::size_t i = 0; i < tools->size(); ++i)
    calls.only.push_back(
        named_function(Fields((*tools)[i], fmt::format("{}[{}].", allowed.path("tools"), i))));
}

ApiError cannot_be_used(const std::string& field, const std::string& what, const std::string& reason) {
  return bad_request(field, fmt::format("{} in '{}' cannot be used: {}", what, field, reason));
}

// What the request itself demands.
AnswerForm own_form(const Fields& body) {
  AnswerForm form;
  if (const auto format = body.child("response_format"))
    add_response_format(form, Fields(format->object(), body.path("response_format") + "."));
  // llama-server's. Its clients send them empty where they want nothing.
  if (const Json* schema = body.find("json_schema"); schema != nullptr && *schema != "")
    add_schema(form, *schema, body.path("json_schema"));
  if (const auto grammar = body.string("grammar"); grammar && !grammar->empty())
    demand(form, AnswerForm::Kind::kGbnf, body.path("grammar"), *grammar);
  return form;
}

}  // namespace

AnswerForm standard_form(const ApiOptions& options) {
  AnswerForm form;
  if (!options.grammar.empty() && !options.json_schema.empty())
    throw Error(
        ErrorCode::kInvalidArgument,
        "A grammar (--grammar) and a schema (--json-schema) both say what answers must look like; give one.");
  if (!options.grammar.empty()) demand(form, AnswerForm::Kind::kGbnf, "--grammar", options.grammar);
  if (!options.json_schema.empty())
    demand(form, AnswerForm::Kind::kSchema, "--json-schema", options.json_schema);
  return form;
}

AnswerForm answer_form(const Call& call, const Fields& body) {
  AnswerForm form = own_form(body);
  return form.kind == AnswerForm::Kind::kFree ? standard_form(*call.options) : form;
}

AnswerForm chat_answer_form(const Call& call, const Fields& body, const std::string& tools_json,
                            chat::AnswerStart start) {
  // An agent's calls are its business.
  AnswerForm form = tools_json.empty() ? answer_form(call, body) : own_form(body);
  form.start = std::move(start);
  form.tools_json = tools_json;
  form.calls.single = !body.boolean("parallel_tool_calls").value_or(true);
  if (const Json* choice = body.find("tool_choice")) {
    add_tool_choice(form.calls, *choice);
    if (form.calls.required && tools_json.empty()) {
      throw bad_request("tool_choice",
                        "'tool_choice' demands a call, but the request offers no tool that a model can "
                        "call; send 'tools' or leave it out.");
    }
  }
  return form;
}

chat::AnswerConstraint AnswerForm::bind(chat::AnswerConstraints& constraints) const {
  chat::CallDemands demands = calls;
  if (kind != Kind::kFree) {
    const char* what = kind == Kind::kSchema ? "The schema" : "The grammar";
    try {
      if (kind == Kind::kSchema) {
        demands.answer = "start: " + constraint::lark_schema(text, constraint::Properties::kAsSchemaSays);
      } else {
        demands.answer = constraint::lark_from_gbnf(
            text, [&](std::string_view t) { return constraints.service().grammars.lark_token(t); });
      }
      // A call that is required leaves no room for it, but a form that is none is told all the same.
      if (tools_json.empty()) return constraints.answer(demands.answer, start);
      constraints.service().grammars.compile(demands.answer);
    } catch (const Error& e) {
      if (e.code() != ErrorCode::kInvalidArgument) throw;
      throw cannot_be_used(field, what, e.what());
    }
  }
  try {
    return constraints.calls(tools_json, demands, start);
  } catch (const Error& e) {
    if (e.code() != ErrorCode::kInvalidArgument) throw;
    throw bad_request("tool_choice", e.what());
  }
}

}  // namespace moraine::server
