#include "chat/answer_constraint.h"

#include <fmt/format.h>
#include <moraine/error.h>

#include <algorithm>
#include <chrono>
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

constexpr size_t kMaxLogged = 5;  // sentences of one set of tools
constexpr size_t kMaxTools = 512;
// Sets of tools that are kept: agents send the same with each request.
constexpr size_t kMaxKept = 32;
constexpr size_t kMaxKeptBytes = 8 << 20;
// For finding out which of many tools are at fault.
constexpr std::chrono::seconds kMaxTrying{10};

std::vector<ToolSchema> tools_from(std::string_view tools_json, const std::vector<std::string>& only) {
  std::vector<ToolSchema> tools;
  const Json list = Json::parse(tools_json, nullptr, false);
  if (!list.is_array()) return tools;
  for (const Json& tool : list) {
    if (!tool.is_object()) continue;
    const auto function = tool.find("function");
    const Json& holder = function != tool.end() && function->is_object() ? *function : tool;
    const auto name = holder.find("name");
    if (name == holder.end() || !name->is_string() || !is_name(name->get_ref<const std::string&>())) continue;
    const auto& text = name->get_ref<const std::string&>();
    if (!only.empty() && std::find(only.begin(), only.end(), text) == only.end()) continue;
    const auto parameters = holder.find("parameters");
    // Without a schema nothing is taken; what is {"type": "object"} alone takes anything.
    Json schema = parameters != holder.end() && !parameters->is_null() ? *parameters
                                                                       : Json{{"properties", Json::object()}};
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

// Lark's first rule under another name.
std::string renamed(std::string_view lark, std::string_view name) {
  constexpr std::string_view kStart = "start:";
  return std::string(name) + ":" + std::string(lark.substr(lark.starts_with(kStart) ? kStart.size() : 0));
}

// JSON that is a call would begin as JSON that is none, and words are told apart by their first characters.
bool is_bare(CallFormat format) {
  return format == CallFormat::kLlama3 || format == CallFormat::kGenericJson;
}

class ToolCompiler {
 public:
  ToolCompiler(Service& service, Source& source, CallFormat format, const CallDemands& demands)
      : service_(service), source_(source), format_(format), demands_(demands) {}

  // All tools at once; where that fails, each alone shows which are at fault.
  void compile(std::vector<ToolSchema> tools) {
    for (const ToolSchema& tool : tools)
      if (tool.relaxed)
        say(fmt::format("The parameters of the tool '{}' are no schema: its arguments are not bound.",
                        tool.name));
    std::shared_ptr<const constraint::Grammar> grammar = try_all(tools);
    if (!grammar) {
      const auto until = std::chrono::steady_clock::now() + kMaxTrying;
      for (ToolSchema& tool : tools) {
        if (std::chrono::steady_clock::now() < until)
          try_alone(tool);
        else
          relax(tool, "there was no time left to find out why.");
      }
      grammar = try_all(tools);
    }
    if (!grammar) {
      say("The schemas of the tools cannot be used together, so their arguments are not bound.");
      for (ToolSchema& tool : tools) tool.relaxed = true;
      grammar = service_.grammars.compile(grammar_of(tools));
    }
    for (const std::string& warning : grammar->warnings())
      say(fmt::format("Of the tools' schemas this is not enforced: {}.", warning));
    source_.set(std::move(grammar));
  }

  CallGrammar calls(const std::vector<ToolSchema>& tools) const {
    return call_grammar(
        format_, tools, [this](std::string_view text) { return service_.grammars.lark_token(text); },
        demands_.single);
  }

  void say(const std::string& sentence) {
    source_.warn(sentence);
    if (service_.log && n_said_++ < kMaxLogged) service_.log(sentence);
  }

 private:
  std::string grammar_of(const std::vector<ToolSchema>& tools) const {
    const std::string rules = calls(tools).rules;
    if (!demands_.required && demands_.answer.empty()) return "start: call\n" + rules;
    // Behind the reasoning a line or two may be empty.
    std::string start = "start: /\\n{0,2}/ ";
    const char* all = demands_.single ? "call" : "call (/\\n?/ call)*";
    if (demands_.required) return start + all + "\n" + rules;
    return start + "(" + all + " | answer)\n" + renamed(demands_.answer, "answer") + "\n" + rules;
  }

  std::shared_ptr<const constraint::Grammar> try_all(const std::vector<ToolSchema>& tools) {
    try {
      return service_.grammars.compile(grammar_of(tools));
    } catch (const Error&) {
      return nullptr;
    }
  }

  void try_alone(ToolSchema& tool) {
    if (tool.relaxed) return;
    try {
      service_.grammars.check("start: call\n" + calls({tool}).rules);
    } catch (const Error& e) {
      relax(tool, e.what());
    }
  }

  void relax(ToolSchema& tool, const std::string& reason) {
    if (std::exchange(tool.relaxed, true)) return;
    say(fmt::format("The schema of the tool '{}' cannot be used, so its arguments are not bound: {}",
                    tool.name, reason));
  }

  Service& service_;
  Source& source_;
  const CallFormat format_;
  const CallDemands demands_;
  size_t n_said_ = 0;
};

}  // namespace

std::unique_ptr<TokenConstraint> AnswerConstraint::start() const {
  return source ? constraint::make_constraint(service, source, scope) : nullptr;
}

AnswerConstraints::AnswerConstraints(std::shared_ptr<const Tokenizer> tokenizer, OutputFormat format,
                                     constraint::LogFn log)
    : service_(std::make_shared<Service>(std::move(tokenizer), std::move(log))), format_(std::move(format)) {}

Scope AnswerConstraints::scope_for(AnswerStart start) const {
  Scope scope;
  scope.begun = std::move(start.begun);
  if (format_.reasoning_begin.empty()) return scope;
  scope.reasoning_begin = format_.reasoning_begin;
  scope.reasoning_end = format_.reasoning_end;
  scope.reasoning = start.reasoning == ReasoningStart::kOpen      ? Scope::Reasoning::kBegun
                    : start.reasoning == ReasoningStart::kUnknown ? Scope::Reasoning::kMayBegin
                                                                  : Scope::Reasoning::kNone;
  // Of reasoning that is over only what stands behind it is the answer.
  if (const size_t end = scope.begun.rfind(scope.reasoning_end); end != std::string::npos) {
    scope.begun.erase(0, end + scope.reasoning_end.size());
    scope.begun.erase(0, scope.begun.size() - skip_space(scope.begun).size());
  }
  return scope;
}

AnswerConstraint AnswerConstraints::calls(std::string_view tools_json, const CallDemands& demands,
                                          AnswerStart start) {
  const Calls calls = find_calls(tools_json, demands);
  AnswerConstraint result;
  if (!calls.source) {
    if (demands.required)
      throw Error(ErrorCode::kInvalidArgument,
                  "This model's tool calls cannot be required; send 'tool_choice' as \"auto\".");
    return demands.answer.empty() ? result : answer(demands.answer, std::move(start));
  }
  result.service = service_;
  result.source = calls.source;
  result.scope = scope_for(std::move(start));
  result.scope.single = demands.single;
  if (!demands.required && demands.answer.empty()) result.scope.triggers = calls.triggers;
  return result;
}

AnswerConstraints::Calls AnswerConstraints::find_calls(std::string_view tools_json,
                                                       const CallDemands& demands) {
  std::string key =
      fmt::format("{}{} {}:{}", demands.required, demands.single, demands.answer.size(), demands.answer);
  for (const std::string& name : demands.only) key += fmt::format("{}:{}", name.size(), name);
  key += tools_json;
  {
    const std::lock_guard lock(mutex_);
    const auto known =
        std::find_if(kept_.begin(), kept_.end(), [&](const auto& entry) { return entry.first == key; });
    if (known != kept_.end()) {
      kept_.splice(kept_.begin(), kept_, known);
      return known->second;
    }
  }
  Calls calls = make_calls(tools_json, demands);
  const std::lock_guard lock(mutex_);
  kept_.emplace_front(key, calls);
  size_t n = 0, n_bytes = 0;
  for (auto it = kept_.begin(); it != kept_.end();) {
    n_bytes += it->first.size();
    it = ++n > kMaxKept || (n > 1 && n_bytes > kMaxKeptBytes) ? kept_.erase(it) : std::next(it);
  }
  return calls;
}

AnswerConstraints::Calls AnswerConstraints::make_calls(std::string_view tools_json,
                                                       const CallDemands& demands) {
  std::vector<ToolSchema> tools = tools_from(tools_json, demands.only);
  for (const std::string& name : demands.only)
    if (std::none_of(tools.begin(), tools.end(), [&](const ToolSchema& tool) { return tool.name == name; }))
      throw Error(ErrorCode::kInvalidArgument,
                  fmt::format("'tool_choice' names '{}', which is none of the tools.", name.substr(0, 128)));
  if (tools.empty() || tools.size() > kMaxTools) return {};
  if (!demands.answer.empty() && is_bare(format_.calls) && !demands.required) {
    if (service_->log)
      service_->log(
          "This model's tool calls cannot be told from answers in JSON: a request that demands a form of its "
          "answer "
          "gets no calls.");
    return {};
  }
  const auto source = std::make_shared<Source>();
  ToolCompiler compiler(*service_, *source, format_.calls, demands);
  // Triggers need no schema; the grammar may follow when it is compiled.
  std::vector<ToolSchema> names = tools;
  for (ToolSchema& tool : names) tool.relaxed = true;
  CallGrammar calls = compiler.calls(names);
  if (calls.rules.empty()) return {};
  if (demands.required || !demands.answer.empty()) {
    // Whose fault it is must be known before the tools are blamed.
    if (!demands.required) service_->grammars.compile(demands.answer);
    compiler.compile(std::move(tools));
  } else {
    // The compilers end before the rest of the service does, and the task must not own what owns its thread.
    service_->compilers.post([source, compiler, tools = std::move(tools)]() mutable noexcept {
      try {
        compiler.compile(std::move(tools));
      } catch (const std::exception& e) {
        compiler.say(std::string("Tool calls are not bound: ") + e.what());
      }
    });
  }
  return {source, std::move(calls.triggers)};
}

AnswerConstraint AnswerConstraints::answer(std::string_view lark, AnswerStart start) {
  AnswerConstraint result;
  // Behind reasoning a line or two may be empty.
  const std::string grammar = start.reasoning == ReasoningStart::kClosed
                                  ? std::string(lark)
                                  : "start: /\\n{0,2}/ answer\n" + renamed(lark, "answer");
  // One that no text satisfies would not show behind the empty lines.
  if (start.reasoning != ReasoningStart::kClosed) service_->grammars.compile(std::string(lark));
  result.scope = scope_for(std::move(start));
  result.source = std::make_shared<Source>(service_->grammars.compile(grammar));
  for (const std::string& warning : result.source->grammar()->warnings()) {
    const std::string sentence = fmt::format("Of the schema this is not enforced: {}.", warning);
    result.source->warn(sentence);
    if (service_->log) service_->log(sentence);
  }
  result.service = service_;
  return result;
}

}  // namespace moraine::chat
