#include "chat/template.h"

#include <moraine/error.h>
#include <moraine_rust.h>

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>

#include "chat/formats/detect.h"
#include "chat/messages.h"
#include "chat/repair.h"

namespace moraine::chat {
namespace {

// What a file without a template gets.
constexpr std::string_view kChatMl =
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

moraine_str borrow(std::string_view text) { return {text.data(), text.size()}; }

// The crate's error, freed at the end of its scope.
struct RustError {
  moraine_error value{};
  ~RustError() { moraine_text_free(value.message); }

  std::string sentence(std::string_view begin, bool with_line = true) const {
    std::string text(begin);
    text.append(value.message.data, value.message.size);
    if (with_line && value.line > 0) text += " (line " + std::to_string(value.line) + " of the template)";
    if (text.back() != '.' && text.back() != '!') text += '.';
    return text;
  }
};

[[noreturn]] void throw_render_error(int32_t status, const RustError& error) {
  switch (status) {
    case MORAINE_RAISED:
      throw Error(ErrorCode::kInvalidArgument,
                  error.sentence("The model's chat template refuses these messages: ", /*with_line=*/false));
    case MORAINE_INPUT:
      throw Error(ErrorCode::kInvalidArgument,
                  error.sentence("The chat template cannot be given its input: "));
    case MORAINE_RESOURCES:
      throw Error(ErrorCode::kOutOfMemory, error.sentence("The chat template cannot be rendered: "));
    case MORAINE_INTERNAL:
      throw Error(ErrorCode::kInternal, error.sentence("The chat template cannot be rendered: "));
    default:
      throw Error(ErrorCode::kInvalidArgument,
                  error.sentence("The model's chat template fails on these messages: "));
  }
}

int occurrences(std::string_view text, std::string_view what) {
  int n = 0;
  for (size_t at = text.find(what); at != text.npos; at = text.find(what, at + what.size())) ++n;
  return n;
}

int32_t local_utc_offset_s(std::time_t now) {
  std::tm local{};
  return localtime_r(&now, &local) != nullptr ? static_cast<int32_t>(local.tm_gmtoff) : 0;
}

}  // namespace

TemplateSource template_source(const Tokenizer& tokenizer) {
  const auto text_of = [&](TokenId id) {
    return tokenizer.contains(id) ? std::string(tokenizer.token_bytes(id)) : "";
  };
  const SpecialTokens& special = tokenizer.special();
  TemplateSource source;
  source.bos_token = text_of(special.bos);
  source.eos_token = text_of(special.eos);
  source.unk_token = text_of(special.unk);
  source.pad_token = text_of(special.pad);
  return source;
}

struct ChatTemplate::Compiled {
  moraine_template* handle = nullptr;

  Compiled(std::string_view text, const std::string& variables, bool is_override, const std::string& name) {
    RustError error;
    const int32_t status = moraine_template_compile(borrow(text), borrow(variables), &handle, &error.value);
    if (status == MORAINE_OK) return;
    if (is_override)
      throw Error(ErrorCode::kInvalidArgument,
                  error.sentence("The chat template given cannot be compiled: ") +
                      " It must be Jinja text or the name chatml.");
    throw Error(ErrorCode::kUnsupported,
                error.sentence("The model's chat template" + name + " cannot be compiled: ") +
                    " Give one that can with --chat-template-file, or --chat-template chatml.");
  }
  ~Compiled() { moraine_template_free(handle); }
  Compiled(const Compiled&) = delete;
  Compiled& operator=(const Compiled&) = delete;

  std::string render(const RenderInput& input, std::string_view messages) const {
    moraine_render_input rust{};
    rust.messages = borrow(messages);
    rust.tools = borrow(input.tools_json);
    rust.variables = borrow(input.variables_json);
    rust.add_generation_prompt = input.add_generation_prompt;
    if (input.now_unix_s) {
      rust.now_unix_s = *input.now_unix_s;
    } else {
      const std::time_t now = std::time(nullptr);
      rust.now_unix_s = now;
      rust.utc_offset_s = local_utc_offset_s(now);
    }
    moraine_text text{};
    RustError error;
    const int32_t status = moraine_template_render(handle, &rust, &text, &error.value);
    if (status != MORAINE_OK) throw_render_error(status, error);
    const std::unique_ptr<moraine_text, void (*)(moraine_text*)> guard(
        &text, [](moraine_text* t) { moraine_text_free(*t); });
    return text.size > 0 ? std::string(text.data, text.size) : std::string();
  }
};

ChatTemplate::ChatTemplate() = default;
ChatTemplate::~ChatTemplate() = default;

std::shared_ptr<const ChatTemplate> ChatTemplate::compile(const TemplateSource& source) {
  nlohmann::ordered_json variables = nlohmann::ordered_json::object();
  const auto add = [&](const char* name, const std::string& text) {
    if (!text.empty()) variables[name] = text;
  };
  add("bos_token", source.bos_token);
  add("eos_token", source.eos_token);
  add("unk_token", source.unk_token);
  add("pad_token", source.pad_token);
  // Tokens of a file need not be UTF-8; the template cannot say those anyway.
  const std::string json = variables.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);

  std::shared_ptr<ChatTemplate> result(new ChatTemplate);
  if (!source.override_text.empty()) {
    result->text_ = source.override_text == "chatml" ? std::string(kChatMl) : source.override_text;
    // A name that is not known would otherwise be a template that prints its name.
    if (result->text_.find('{') == std::string::npos)
      throw Error(ErrorCode::kInvalidArgument, "The chat template \"" + result->text_.substr(0, 80) +
                                                   "\" is not known. Give Jinja text or the name chatml.");
    result->default_ = std::make_unique<Compiled>(result->text_, json, true, "");
  } else if (source.texts.empty()) {
    result->text_ = kChatMl;
    result->note_ =
        "The model file has no chat template: ChatML is used, which a model that was not trained "
        "on it may answer badly; --chat-template gives another.";
    result->default_ = std::make_unique<Compiled>(kChatMl, json, false, "");
  } else {
    result->text_ = source.texts[0];
    result->default_ = std::make_unique<Compiled>(result->text_, json, false, "");
    for (size_t i = 1; i < source.texts.size() && i < source.names.size(); ++i)
      if (source.names[i] == "tool_use")
        result->tool_use_ = std::make_unique<Compiled>(source.texts[i], json, false, " tool_use");
  }
  result->probe();
  return result;
}

std::string ChatTemplate::render(const RenderInput& input) const {
  const bool has_tools = !input.tools_json.empty() && input.tools_json != "[]" && input.tools_json != "null";
  const Compiled& compiled = has_tools && tool_use_ ? *tool_use_ : *default_;
  if (!input.mend_messages) return compiled.render(input, input.messages_json);
  const std::string_view untold = has_tools && !caps_.tools ? input.tools_json : std::string_view();
  const std::string mended = mend_messages(input.messages_json, caps_, untold);
  try {
    return compiled.render(input, mended);
  } catch (const Error& refused) {
    if (refused.code() != ErrorCode::kInvalidArgument) throw;
    if (const auto text = render_plainly(compiled, input, mended)) return *text;
    throw;
  }
}

// What probing did not foresee: the same in plainer and plainer shapes, at last with the tools in words.
std::optional<std::string> ChatTemplate::render_plainly(const Compiled& compiled, const RenderInput& input,
                                                        const std::string& mended) const {
  const bool has_tools = !input.tools_json.empty();
  if (has_tools && !nlohmann::ordered_json::accept(input.tools_json)) return std::nullopt;
  const std::string tools = has_tools ? plain_tools(input.tools_json) : "";
  if (has_tools && tools.empty()) return std::nullopt;
  const TemplateCaps plain = plainest(caps_);
  RenderInput attempt = input;
  attempt.tools_json = tools;
  for (int n = has_tools ? 0 : 1; n < (has_tools ? 3 : 2); ++n) {
    const bool in_words = n == 2 || !caps_.tools;
    if (n == 2) attempt.tools_json = {};
    try {
      return (n == 2 ? *default_ : compiled)
          .render(attempt, n == 0 ? mended
                                  : mend_messages(input.messages_json, plain,
                                                  in_words ? std::string_view(tools) : std::string_view()));
    } catch (const Error&) {  // the next one
    }
  }
  return std::nullopt;
}

// Renders short conversations with marks in them and looks which marks appear.
void ChatTemplate::probe() {
  constexpr std::string_view kTools =
      R"([{"type":"function","function":{"name":"tool_mark","description":"d","parameters":)"
      R"({"type":"object","properties":{"p":{"type":"string","description":"d"}},"required":["p"]}}}])";
  const auto shows = [&](std::string_view messages, std::string_view mark, std::string_view tools = {},
                         std::string_view unwanted = {}) {
    RenderInput input{
        .messages_json = messages, .tools_json = tools, .now_unix_s = 0, .mend_messages = false};
    try {
      const std::string text = render(input);
      return text.find(mark) != std::string::npos &&
             (unwanted.empty() || text.find(unwanted) == std::string::npos);
    } catch (const Error&) {
      return false;
    }
  };
  const auto with_call = [](std::string_view content, std::string_view arguments) {
    return R"([{"role":"user","content":"u"},{"role":"assistant","content":)" + std::string(content) +
           R"(,"tool_calls":[{"id":"call00001","type":"function","function":{"name":"tool_mark","arguments":)" +
           std::string(arguments) +
           R"(}}]},{"role":"tool","tool_call_id":"call00001","name":"tool_mark","content":"result_mark"},)"
           R"({"role":"assistant","content":"a"},{"role":"user","content":"u"}])";
  };
  constexpr std::string_view kObject = R"({"p":"argument_mark"})";
  constexpr std::string_view kText = R"("{\"p\":\"argument_mark\"}")";

  caps_.system_role =
      shows(R"([{"role":"system","content":"system_mark"},{"role":"user","content":"u"}])", "system_mark");
  // Some take parts of a user alone, some read the first part alone, some print the array.
  const std::string two_parts = R"([{"type":"text","text":"part_1"},{"type":"text","text":"part_2"}])";
  const std::string user_parts = R"({"role":"user","content":)" + two_parts + "}";
  const std::string with_parts =
      "[" + user_parts + R"(,{"role":"assistant","content":)" + two_parts + "}," + user_parts + "]";
  const std::string system_parts = R"([{"role":"system","content":)" + two_parts + "}," + user_parts + "]";
  const auto shows_parts = [&](const std::string& messages, int n) {
    RenderInput input{.messages_json = messages, .now_unix_s = 0, .mend_messages = false};
    try {
      const std::string text = render(input);
      return occurrences(text, "part_1") == n && occurrences(text, "part_2") == n &&
             occurrences(text, "'text'") + occurrences(text, "\"text\"") == 0;
    } catch (const Error&) {
      return false;
    }
  };
  caps_.text_parts = shows_parts(with_parts, 3) && (!caps_.system_role || shows_parts(system_parts, 2));
  caps_.tools = shows(R"([{"role":"user","content":"u"}])", "tool_mark", kTools);
  caps_.object_arguments = shows(with_call("\"\"", kObject), "argument_mark", kTools);
  caps_.tool_calls = caps_.object_arguments || shows(with_call("\"\"", kText), "argument_mark", kTools);
  if (!caps_.tool_calls) caps_.object_arguments = true;
  const std::string_view arguments = caps_.object_arguments ? kObject : kText;
  caps_.tool_results = shows(with_call("\"\"", arguments), "result_mark", kTools);
  // Some print None, some fail; both mean that "" must stand for null.
  caps_.null_content =
      caps_.tool_calls && shows(with_call("null", arguments), "argument_mark", kTools, "None");
  caps_.reasoning =
      text_.find("reasoning_content") != std::string::npos || text_.find("<think>") != std::string::npos;
  caps_.enable_thinking = text_.find("enable_thinking") != std::string::npos;

  std::string history;
  if (caps_.tool_calls) {
    const std::string messages = with_call("\"\"", arguments);
    history =
        render({.messages_json = messages, .tools_json = kTools, .now_unix_s = 0, .mend_messages = false});
  }
  format_ = detect_output_format(history, text_);

  const auto shows_all = [&](const std::string& messages, std::initializer_list<std::string_view> marks) {
    try {
      const std::string text =
          render({.messages_json = messages, .tools_json = kTools, .now_unix_s = 0, .mend_messages = false});
      return std::all_of(marks.begin(), marks.end(),
                         [&](std::string_view mark) { return text.find(mark) != text.npos; });
    } catch (const Error&) {
      return false;
    }
  };
  const auto say = [](std::string_view role, std::string_view text) {
    return R"({"role":")" + std::string(role) + R"(","content":")" + std::string(text) + R"("})";
  };
  const std::string u = say("user", "user_1"), a = say("assistant", "assistant_1");
  caps_.late_system =
      caps_.system_role && shows_all("[" + say("system", "s_1") + "," + say("system", "s_2") + "," + u + "," +
                                         a + "," + say("system", "s_3") + "," + u + "]",
                                     {"s_1", "s_2", "s_3"});
  caps_.repeated_roles = shows_all("[" + u + "," + say("user", "user_2") + "," + a + "," +
                                       say("assistant", "assistant_2") + "," + say("user", "user_3") + "]",
                                   {"user_1", "user_2", "assistant_1", "assistant_2", "user_3"});
  caps_.assistant_first = shows_all("[" + a + "," + u + "]", {"assistant_1", "user_1"});
  caps_.no_user = shows_all("[" + a + "]", {"assistant_1"}) &&
                  (!caps_.system_role || shows_all("[" + say("system", "s_1") + "]", {"s_1"}));
  if (!caps_.tool_calls) return;

  const auto call = [&](std::string_view id, std::string_view name) {
    return R"({"id":")" + std::string(id) + R"(","type":"function","function":{"name":")" +
           std::string(name) + R"(","arguments":)" + std::string(arguments) + "}}";
  };
  const auto result = [](std::string_view id, std::string_view text) {
    return R"({"role":"tool","tool_call_id":")" + std::string(id) + R"(","content":")" + std::string(text) +
           R"("})";
  };
  const std::string calls = R"({"role":"assistant","content":"","tool_calls":[)";
  const std::string one = calls + call("call00001", "tool_1") + "]}";
  // Mistral's older ones show it only when the user spoke last, as if an agent's turns had none.
  caps_.system_role = caps_.system_role && shows_all("[" + say("system", "s_1") + "," + u + "," + one + "," +
                                                         result("call00001", "result_1") + "]",
                                                     {"s_1", "result_1"});
  caps_.late_system &= caps_.system_role;
  caps_.several_calls =
      shows_all("[" + u + "," + calls + call("call00001", "tool_1") + "," + call("call00002", "tool_2") +
                    "]}," + result("call00001", "result_1") + "," + result("call00002", "result_2") + "]",
                {"tool_1", "tool_2", "result_1", "result_2"});
  caps_.user_after_tool = shows_all(
      "[" + u + "," + one + "," + result("call00001", "result_1") + "," + say("user", "user_2") + "]",
      {"tool_1", "result_1", "user_2"});
  caps_.short_call_ids =
      !shows_all(
          "[" + u + "," + calls + call("toolu_01", "tool_1") + "]}," + result("toolu_01", "result_1") + "]",
          {"tool_1", "result_1"}) &&
      shows_all("[" + u + "," + one + "," + result("call00001", "result_1") + "]", {"tool_1", "result_1"});
  format_.short_call_ids |= caps_.short_call_ids;
}

}  // namespace moraine::chat
