// moraine_render: renders chat templates for the tests in tests/chat, many in one process. Reads a JSON
// array of jobs on stdin and writes an array of {"text"} or {"error"} on stdout. A job:
// {"template", "bos_token", "eos_token", "messages", "tools", "variables", "add_generation_prompt", "now",
// "mend"}. With "answer", a text of the model's instead of messages, it is parsed as the answer to "prompt":
// {"format", "content", "reasoning", "tool_calls"}.
#include <moraine/error.h>

#include <iostream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>

#include "chat/template.h"

namespace {

using Json = nlohmann::ordered_json;
using moraine::chat::ChatTemplate;

std::string text_of(const Json& job, const char* name) {
  const auto value = job.find(name);
  return value == job.end() || value->is_null() ? std::string() : value->dump();
}

Json parsed(const ChatTemplate& compiled, const Json& job) {
  using namespace moraine::chat;
  const OutputFormat& format = compiled.output_format();
  ParserOptions options{.calls = true};
  options.reasoning = reasoning_start(format, job.at("prompt").get_ref<const std::string&>(), "");
  const auto parser = make_output_parser(
      format, std::make_shared<const ToolTypes>(ToolTypes::from_json(job.at("tools").dump())), options);
  const ParsedMessage message =
      parse_message(*parser, job.at("answer").get_ref<const std::string&>(), TextEnd::kComplete);
  Json calls = Json::array();
  for (const ToolCall& call : message.tool_calls)
    calls.push_back({{"name", call.name}, {"arguments", call.arguments}});
  return {{"format", name_of(format.calls)},
          {"content", message.content},
          {"reasoning", message.reasoning},
          {"tool_calls", std::move(calls)}};
}

}  // namespace

int main() {
  const std::string input(std::istreambuf_iterator<char>(std::cin), {});
  const Json jobs = Json::parse(input, nullptr, /*allow_exceptions=*/false);
  if (!jobs.is_array()) {
    std::cerr << "moraine_render: stdin is not a JSON array of jobs\n";
    return 2;
  }
  std::map<std::string, std::shared_ptr<const ChatTemplate>> templates;
  Json answers = Json::array();
  for (const Json& job : jobs) {
    try {
      auto& compiled =
          templates[job.at("template").get<std::string>() + job.at("bos_token").get<std::string>()];
      if (!compiled)
        compiled = ChatTemplate::compile({.texts = {job.at("template")},
                                          .bos_token = job.at("bos_token"),
                                          .eos_token = job.at("eos_token")});
      if (job.contains("answer")) {
        answers.push_back(parsed(*compiled, job));
        continue;
      }
      const std::string messages = text_of(job, "messages"), tools = text_of(job, "tools"),
                        variables = text_of(job, "variables");
      answers.push_back({{"text", compiled->render({.messages_json = messages,
                                                    .tools_json = tools,
                                                    .variables_json = variables,
                                                    .add_generation_prompt = job.at("add_generation_prompt"),
                                                    .now_unix_s = job.at("now").get<int64_t>(),
                                                    .mend_messages = job.at("mend")})}});
    } catch (const moraine::Error& e) {
      answers.push_back({{"error", e.what()}});
    }
  }
  std::cout << answers.dump() << "\n";
  return 0;
}
