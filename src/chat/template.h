// Chat templates: messages and tools in, the text of a prompt out. Owns which template of a file is
// used and what it can do; the Jinja engine is rust/ (behind moraine_rust.h), the mending of message
// shapes is messages.h. Messages, tools and variables travel as JSON text, so that no JSON library
// shows here. Parsing what a model answers is not here.
#pragma once

#include <moraine/tokenizer.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "chat/output_format.h"

namespace moraine::chat {

// What a model file and the command line say about templates.
struct TemplateSource {
  // The file's templates, [0] the default one (tokenizer.chat_template), and their names: a further
  // one comes from tokenizer.chat_template.NAME. Empty: the file has none, and ChatML is used.
  std::vector<std::string> texts;
  std::vector<std::string> names;
  // In place of the file's: Jinja text, or the name "chatml". Empty: the file's.
  std::string override_text;
  // As templates see them (bos_token, eos_token): the tokens' texts, empty where there is none.
  std::string bos_token, eos_token, unk_token, pad_token;
};

// One with the texts of the special tokens, everything else to be filled in.
TemplateSource template_source(const Tokenizer& tokenizer);

// What rendering short conversations showed about a template.
struct TemplateCaps {
  bool system_role = false;       // a system message is accepted and appears in the prompt
  bool tools = false;             // tools appear in the prompt
  bool tool_calls = false;        // calls of the assistant appear in the prompt
  bool tool_results = false;      // messages of role "tool" appear in the prompt
  bool object_arguments = false;  // arguments of calls may be objects; else they are JSON text
  bool text_parts = false;        // content may be an array of text parts
  bool null_content = false;      // content may be null beside tool calls
  bool reasoning = false;         // the text of the template speaks of reasoning_content or <think>
  bool enable_thinking = false;   // it looks at the variable enable_thinking
  // Conversations it takes as they are; see repair.h for the others.
  bool late_system = false;      // system messages behind others appear in the prompt
  bool repeated_roles = false;   // two messages of a user, or of the assistant, one after the other
  bool several_calls = false;    // of one message
  bool assistant_first = false;  // before any message of a user
  bool no_user = false;          // nothing of a user at all
  bool user_after_tool = false;  // a user who speaks before the assistant answered to a result
  bool short_call_ids = false;   // ids of calls must be 9 letters and digits
};

struct RenderInput {
  std::string_view messages_json;   // an array of messages as the OpenAI API has them
  std::string_view tools_json;      // an array of tools; empty: none
  std::string_view variables_json;  // an object (chat_template_kwargs); empty: none
  bool add_generation_prompt = true;
  std::optional<int64_t> now_unix_s;  // for strftime_now, shown in UTC; empty: the local clock
  bool mend_messages = true;          // false: the template sees the messages exactly as they are
};

// Immutable and safe to use from any number of threads.
class ChatTemplate {
 public:
  // Throws Error{kUnsupported} for a template that does not compile, with its line and the remedy,
  // and {kInvalidArgument} where that template is the override.
  static std::shared_ptr<const ChatTemplate> compile(const TemplateSource& source);

  ~ChatTemplate();
  ChatTemplate(const ChatTemplate&) = delete;
  ChatTemplate& operator=(const ChatTemplate&) = delete;

  // The prompt, special tokens spelled out. Throws Error{kInvalidArgument} where the template refuses
  // the messages (with its own words), fails on them or goes beyond its limits, and where the JSON is
  // not what it should be.
  std::string render(const RenderInput& input) const;

  const TemplateCaps& caps() const noexcept { return caps_; }
  // How the model writes its tool calls and its reasoning, as its history of calls is rendered.
  const OutputFormat& output_format() const noexcept { return format_; }
  const std::string& text() const noexcept { return text_; }  // Jinja text of the default template
  // A sentence for the user where something is not as the file says; else empty.
  const std::string& note() const noexcept { return note_; }

 private:
  struct Compiled;
  ChatTemplate();
  void probe();
  std::optional<std::string> render_plainly(const Compiled& compiled, const RenderInput& input,
                                            const std::string& mended) const;

  std::string text_, note_;
  std::unique_ptr<Compiled> default_, tool_use_;  // tool_use_: null where the file has no such variant
  TemplateCaps caps_;
  OutputFormat format_;
};

}  // namespace moraine::chat
