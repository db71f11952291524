// A harness whose model thinks and calls tools: a template that shows everything, and the prompt that came of
// a request. For the tests of protocols.
#pragma once

#include <string>
#include <vector>

#include "server/api/testing/harness.h"

namespace moraine::server {

inline constexpr const char* kAgentTemplate =
    "{% for m in messages %}[{{ m.role }}]"
    "{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}{{ m.content }}"
    "{% for c in m.tool_calls or [] %}<tool_call>{\"name\": \"{{ c.function.name }}\", \"arguments\": "
    "{{ c.function.arguments | tojson }}}</tool_call>{% endfor %}"
    "{% endfor %}"
    "{% if tools %}{tools{% for t in tools %} {{ t.function.name }}{% endfor %}}{% endif %}"
    "{% if enable_thinking is defined %}{thinking {{ enable_thinking }}}{% endif %}"
    "{% if reasoning_effort is defined %}{effort {{ reasoning_effort }}}{% endif %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}";

struct AgentHarness : Harness {
  explicit AgentHarness(ApiOptions options = {}) : Harness(with_template(std::move(options))) {
    engine->model_info.n_ctx = 8192;
    ready();
  }

  // What the model was given last.
  std::string prompt() const {
    const auto requests = engine->requests();
    return requests.empty() ? "no request"
                            : engine->tokenizer()->decode(requests.back().prompt, {.show_control = true});
  }
  // The prompt of a request that is answered with 200; else the answer.
  std::string prompt_of(const std::string& path, const Json& body) {
    const Json answer = post(path, body);
    return last_status == 200 ? prompt() : dump(answer);
  }
  std::vector<Json> stream(const std::string& path, Json body) {
    body["stream"] = true;
    return events_of(call("POST", path, dump(body))->body);
  }

 private:
  static ApiOptions with_template(ApiOptions options) {
    if (options.chat_template.empty()) options.chat_template = kAgentTemplate;
    return options;
  }
};

// "a b c": the events' types.
inline std::string types_of(const std::vector<Json>& events) {
  std::string types;
  for (const Json& event : events) {
    const std::string type = event.is_object() ? event.value("type", "?") : dump(event);
    types += (types.empty() ? "" : " ") + type;
  }
  return types;
}

}  // namespace moraine::server
