#include "chat/answer_constraint.h"

#include <fmt/format.h>
#include <moraine/error.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "chat/formats/call_grammar.h"
#include "chat/formats/scanner.h"

namespace moraine::chat {
namespace {

using Json = nlohmann::ordered_json;
using constraint::Scope;
using constraint::Service;
using constraint::Source;

constexpr size_t kMaxLogged = 5;  // sentences of one request
constexpr size_t kMaxTools = 512;

Scope scope_for(const OutputFormat& format, ReasoningStart reasoning) {
  Scope scope;
  if (format.reasoning_begin.empty()) return scope;
  scope.reasoning_begin = format.reasoning_begin;
  scope.reasoning_end = format.reasoning_end;
  scope.reasoning = reasoning == ReasoningStart::kOpen      ? Scope::Reasoning::kBegun
                    : reasoning == ReasoningStart::kUnknown ? Scope::Reasoning::kMayBegin
                                                            : Scope::Reasoning::kNone;
  return scope;
}

std::vector<ToolSchema> tools_from(std::string_view tools_json, const std::string& only) {
  std::vector<ToolSchema> tools;
  const Json list = Json::parse(tools_json, nullptr, false);
  if (!list.is_array()) return tools;
  for (const Json& tool : list) {
    if (!tool.is_object()) continue;
    const auto function = tool.find("function");
    const Json& holder = function != tool.end() && function->is_object() ? *function : tool;
    const auto name = holder.find("name");
    if (name == holder.end() || !name->is_string() || !is_name(name->get_ref<const std::string&>())) continue;
    if (!only.empty() && *name != only) continue;
    const auto parameters = holder.find("parameters");
    Json schema = parameters != holder.end() && !parameters->is_null() ? *parameters : Json::object();
    const bool is_schema = schema.is_object();
    // Arguments are an object whatever the schema leaves open.
    if (is_schema && !schema.contains("type") && !schema.contains("$ref")) schema["type"] = "object";
    tools.push_back(
        {name->get<std::string>(), schema.dump(-1, ' ', false, Json::error_handler_t::replace), !is_schema});
  }
  // The same name twice would make the grammar ambiguous; the first counts, as for the parser's types.
  for (size_t i = 0; i < tools.size(); ++i)
    tools.erase(std::remove_if(tools.begin() + static_cast<std::ptrdiff_t>(i) + 1, tools.end(),
                               [&](const ToolSchema& t) { return t.name == tools[i].name; }),
                tools.end());
  return tools;
}

class ToolCompiler {
 public:
  ToolCompiler(Service& service, Source& source, CallFormat format, const ToolConstraintOptions& options)
      : service_(service), source_(source), format_(format), options_(options) {}

  // All tools at once; where that fails, each alone shows which are at fault.
  void compile(std::vector<ToolSchema> tools) {
    for (const ToolSchema& tool : tools)
      if (tool.relaxed)
        say(fmt::format("The parameters of the tool '{}' are no schema: its arguments are not bound.",
                        tool.name));
    std::shared_ptr<const constraint::Grammar> grammar;
    try {
      grammar = service_.grammars.compile(grammar_of(tools));
    } catch (const Error&) {
      for (ToolSchema& tool : tools) try_alone(tool);
      grammar = service_.grammars.compile(grammar_of(tools));
    }
    for (const std::string& warning : grammar->warnings())
      say(fmt::format("Of the tools' schemas this is not enforced: {}.", warning));
    source_.set(std::move(grammar));
  }

  CallGrammar calls(const std::vector<ToolSchema>& tools) const {
    return call_grammar(format_, tools,
                        [this](std::string_view text) { return service_.grammars.lark_token(text); });
  }

  void say(const std::string& sentence) {
    source_.warn(sentence);
    if (service_.log && n_said_++ < kMaxLogged) service_.log(sentence);
  }

 private:
  std::string grammar_of(const std::vector<ToolSchema>& tools) const {
    const bool several = options_.required && !options_.single;
    // Behind the reasoning a line or two may be empty.
    const char* start = !options_.required ? "start: call\n"
                        : several          ? "start: /\\n{0,2}/ call (/\\n?/ call)*\n"
                                           : "start: /\\n{0,2}/ call\n";
    return start + calls(tools).rules;
  }

  void try_alone(ToolSchema& tool) {
    if (tool.relaxed) return;
    try {
      service_.grammars.compile(grammar_of({tool}));
    } catch (const Error& e) {
      tool.relaxed = true;
      say(fmt::format("The schema of the tool '{}' cannot be used, so its arguments are not bound: {}",
                      tool.name, e.what()));
    }
  }

  Service& service_;
  Source& source_;
  const CallFormat format_;
  const ToolConstraintOptions options_;
  size_t n_said_ = 0;
};

}  // namespace

std::unique_ptr<TokenConstraint> AnswerConstraint::start() const {
  return source ? constraint::make_constraint(service, source, scope) : nullptr;
}

AnswerConstraint constrain_calls(std::shared_ptr<Service> service, const OutputFormat& format,
                                 std::string_view tools_json, const ToolConstraintOptions& options) {
  AnswerConstraint result;
  std::vector<ToolSchema> tools = tools_from(tools_json, options.only);
  if (tools.empty() || tools.size() > kMaxTools) {
    if (!options.only.empty() && tools.empty())
      throw Error(
          ErrorCode::kInvalidArgument,
          fmt::format("'tool_choice' names '{}', which is none of the tools.", options.only.substr(0, 128)));
    return result;
  }
  const auto source = std::make_shared<Source>();
  ToolCompiler compiler(*service, *source, format.calls, options);
  // Triggers need no schema; the grammar may follow when it is compiled.
  std::vector<ToolSchema> names = tools;
  for (ToolSchema& tool : names) tool.relaxed = true;
  const CallGrammar calls = compiler.calls(names);
  if (calls.rules.empty() || (calls.triggers.empty() && !options.required)) {
    if (options.required)
      throw Error(ErrorCode::kInvalidArgument,
                  "This model's tool calls cannot be required; send 'tool_choice' as \"auto\".");
    return result;
  }
  result.scope = scope_for(format, options.reasoning);
  result.scope.single = options.single;
  if (!options.required) result.scope.triggers = calls.triggers;
  result.service = service;
  result.source = source;
  if (options.required) {
    compiler.compile(std::move(tools));
    return result;
  }
  // The compilers end before the rest of the service does, and the task must not own what owns its thread.
  service->compilers.post(
      [service = service.get(), source, compiler, tools = std::move(tools)]() mutable noexcept {
        try {
          compiler.compile(std::move(tools));
        } catch (const std::exception& e) {
          compiler.say(std::string("Tool calls are not bound: ") + e.what());
        }
      });
  return result;
}

AnswerConstraint constrain_answer(std::shared_ptr<Service> service, const OutputFormat& format,
                                  std::string_view lark, ReasoningStart reasoning) {
  AnswerConstraint result;
  result.scope = scope_for(format, reasoning);
  result.source = std::make_shared<Source>(service->grammars.compile(std::string(lark)));
  for (const std::string& warning : result.source->grammar()->warnings()) {
    const std::string sentence = fmt::format("Of the schema this is not enforced: {}.", warning);
    result.source->warn(sentence);
    if (service->log) service->log(sentence);
  }
  result.service = std::move(service);
  return result;
}

}  // namespace moraine::chat
