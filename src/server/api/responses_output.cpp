#include "server/api/responses_output.h"

#include <utility>

#include "server/api/render.h"
#include "server/api/responses_items.h"

namespace moraine::server {
namespace {

Json output_text(const std::string& text) {
  return {
      {"type", "output_text"}, {"text", text}, {"annotations", Json::array()}, {"logprobs", Json::array()}};
}

Json typed_text(const char* type, const std::string& text) { return {{"type", type}, {"text", text}}; }

}  // namespace

Json ResponsesOutput::about_item(const char* type) const {
  return {{"type", type}, {"item_id", item_["id"]}, {"output_index", items_.size()}};
}

Json ResponsesOutput::about_part(const char* type) const {
  Json event = about_item(type);
  const bool summary = kind_ == Kind::kReasoning && options_.summaries;
  event[summary ? "summary_index" : "content_index"] = 0;
  return event;
}

void ResponsesOutput::open(Kind kind, Json item, const Emit& emit) {
  close(/*complete=*/true, emit);
  kind_ = kind;
  item_ = std::move(item);
  text_.clear();
  emit({{"type", "response.output_item.added"}, {"output_index", items_.size()}, {"item", item_}});
}

void ResponsesOutput::open_text(Kind kind, const Emit& emit) {
  if (kind_ == kind) return;
  Json part;
  const char* type = "response.content_part.added";
  if (kind == Kind::kMessage) {
    open(kind,
         {{"id", new_id("msg_")},
          {"type", "message"},
          {"status", "in_progress"},
          {"role", "assistant"},
          {"content", Json::array()}},
         emit);
    part = output_text("");
  } else {
    open(
        kind,
        {{"id", new_id("rs_")}, {"type", "reasoning"}, {"status", "in_progress"}, {"summary", Json::array()}},
        emit);
    part = typed_text(options_.summaries ? "summary_text" : "reasoning_text", "");
    if (options_.summaries) type = "response.reasoning_summary_part.added";
  }
  Json event = about_part(type);
  event["part"] = std::move(part);
  emit(std::move(event));
}

void ResponsesOutput::open_call(const chat::ToolCallDelta& call, const Emit& emit) {
  const auto known = options_.tools.find(call.name);
  const ResponsesTool tool =
      known != options_.tools.end() ? known->second : ResponsesTool{call.name, "", false};
  Json item = {{"id", new_id(tool.custom ? "ctc_" : "fc_")},
               {"type", tool.custom ? "custom_tool_call" : "function_call"},
               {"status", "in_progress"},
               {"call_id", call.id},
               {"name", tool.name}};
  if (!tool.name_space.empty()) item["namespace"] = tool.name_space;
  item[tool.custom ? "input" : "arguments"] = "";
  open(tool.custom ? Kind::kCustomCall : Kind::kFunctionCall, std::move(item), emit);
}

void ResponsesOutput::add_text(const std::string& text, const char* type, const Emit& emit) {
  text_ += text;
  const bool call = kind_ == Kind::kFunctionCall || kind_ == Kind::kCustomCall;
  Json event = call ? about_item(type) : about_part(type);
  event["delta"] = text;
  if (kind_ == Kind::kMessage) event["logprobs"] = Json::array();
  emit(std::move(event));
}

void ResponsesOutput::add(const chat::MessageDelta& delta, const Emit& emit) {
  if (!delta.reasoning.empty()) {
    open_text(Kind::kReasoning, emit);
    reasoning_ += delta.reasoning;
    add_text(delta.reasoning,
             options_.summaries ? "response.reasoning_summary_text.delta" : "response.reasoning_text.delta",
             emit);
  }
  if (!delta.content.empty()) {
    open_text(Kind::kMessage, emit);
    add_text(delta.content, "response.output_text.delta", emit);
  }
  for (const chat::ToolCallDelta& call : delta.tool_calls) {
    if (!call.name.empty()) open_call(call, emit);
    if (call.arguments.empty()) continue;
    if (kind_ == Kind::kFunctionCall) {
      add_text(call.arguments, "response.function_call_arguments.delta", emit);
    } else if (kind_ == Kind::kCustomCall) {
      text_ +=
          call.arguments;  // told when it is whole: what arrives is JSON, what is told is the text within
    }
  }
}

void ResponsesOutput::finish(bool complete, const Emit& emit) { close(complete, emit); }

void ResponsesOutput::close_message(const Emit& emit) {
  Json done = about_part("response.output_text.done");
  done["text"] = text_;
  done["logprobs"] = Json::array();
  emit(std::move(done));
  item_["content"] = Json::array({output_text(text_)});
  Json part = about_part("response.content_part.done");
  part["part"] = item_["content"][0];
  emit(std::move(part));
}

void ResponsesOutput::close_reasoning(const Emit& emit) {
  const bool summary = options_.summaries;
  Json done = about_part(summary ? "response.reasoning_summary_text.done" : "response.reasoning_text.done");
  done["text"] = text_;
  emit(std::move(done));
  Json& parts = item_[summary ? "summary" : "content"];
  parts = Json::array({typed_text(summary ? "summary_text" : "reasoning_text", text_)});
  Json part = about_part(summary ? "response.reasoning_summary_part.done" : "response.content_part.done");
  part["part"] = parts[0];
  emit(std::move(part));
  if (options_.encrypted_content) item_["encrypted_content"] = kOwnReasoning + text_;
}

void ResponsesOutput::close_call(const Emit& emit) {
  const bool custom = kind_ == Kind::kCustomCall;
  const char* member = custom ? "input" : "arguments";
  std::string value = custom ? custom_input(text_) : text_;
  if (custom && !value.empty()) {
    Json delta = about_item("response.custom_tool_call_input.delta");
    delta["delta"] = value;
    emit(std::move(delta));
  }
  Json done =
      about_item(custom ? "response.custom_tool_call_input.done" : "response.function_call_arguments.done");
  if (!custom) done["name"] = item_["name"];
  done[member] = value;
  item_[member] = std::move(value);
  emit(std::move(done));
}

void ResponsesOutput::close(bool complete, const Emit& emit) {
  switch (kind_) {
    case Kind::kNone:
      return;
    case Kind::kReasoning:
      close_reasoning(emit);
      break;
    case Kind::kMessage:
      close_message(emit);
      break;
    case Kind::kFunctionCall:
    case Kind::kCustomCall:
      close_call(emit);
      break;
  }
  item_["status"] = complete ? "completed" : "incomplete";
  emit({{"type", "response.output_item.done"}, {"output_index", items_.size()}, {"item", item_}});
  items_.push_back(std::move(item_));
  item_ = nullptr;
  kind_ = Kind::kNone;
}

}  // namespace moraine::server
