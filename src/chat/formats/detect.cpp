#include "chat/formats/detect.h"

namespace moraine::chat {
namespace {

struct ReasoningTags {
  std::string_view begin, end;
};
// In the order of how sure a sign each is.
constexpr ReasoningTags kReasoningTags[] = {
    {"<|channel>thought", "<channel|>"}, {"[THINK]", "[/THINK]"}, {"<think>", "</think>"}};

}  // namespace

OutputFormat detect_output_format(std::string_view history, std::string_view text) {
  // The call itself: the tools, and what the template says of calls, name the same things elsewhere.
  constexpr size_t kBefore = 160;
  const size_t mark = history.find("argument_mark");
  const size_t begin = mark == history.npos || mark < kBefore ? 0 : mark - kBefore;
  const std::string_view call = mark == history.npos ? history : history.substr(begin, mark - begin);
  const auto holds = [&](std::string_view what) { return call.find(what) != call.npos; };
  OutputFormat format;
  if (holds("<tool_call>") && holds("<function=tool_mark>") && holds("<parameter=p>")) {
    format.calls = CallFormat::kQwenXml;
    format.markers = {"<tool_call>", "</tool_call>"};
  } else if (holds("<|tool_call>call:tool_mark{")) {
    format.calls = CallFormat::kGemma4;
    format.markers = {"<|tool_call>", "<tool_call|>", "<|\"|>"};
  } else if (holds("[TOOL_CALLS]")) {
    format.calls = CallFormat::kMistral;
    format.markers = {"[TOOL_CALLS]", "[ARGS]", "[CALL_ID]"};
    format.short_call_ids = true;
  } else if (holds("<tool_call>") && holds("\"tool_mark\"")) {
    format.calls = CallFormat::kHermes;
    format.markers = {"<tool_call>", "</tool_call>"};
  } else if (holds("{\"name\": \"tool_mark\", \"parameters\"")) {
    format.calls = CallFormat::kLlama3;
    format.markers = {"<|python_tag|>"};
  } else {
    format.calls = CallFormat::kGenericJson;
  }
  for (const ReasoningTags& tags : kReasoningTags) {
    if (text.find(tags.begin) == text.npos) continue;
    format.reasoning_begin = tags.begin;
    format.reasoning_end = tags.end;
    // The opening tag may be one token and some text.
    format.markers.emplace_back(tags.begin == "<|channel>thought" ? "<|channel>" : tags.begin);
    format.markers.emplace_back(tags.end);
    break;
  }
  return format;
}

}  // namespace moraine::chat
