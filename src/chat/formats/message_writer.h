// What parsers of this folder write into: content whose white space around calls goes, calls with their
// index, id and name first. Collects a delta until it is taken.
#pragma once

#include <string>
#include <string_view>

#include "chat/output_format.h"

namespace moraine::chat {

class MessageWriter {
 public:
  MessageWriter(const ParserOptions& options, bool short_ids)
      : seed_(options.id_seed), single_call_(options.single_call), short_ids_(short_ids) {}

  // White space at the end is held until something follows: before a call it is the template's, not the
  // message's.
  void content(std::string_view text);
  // `id`: the model's own; used where the format has ids and it is a good one.
  void begin_call(std::string_view name, std::string_view id = {});
  void arguments(std::string_view json);
  void end_call() { in_call_ = false; }
  // The text has ended: white space that nothing followed is content, unless it stands beside calls.
  void end_text();

  bool in_call() const { return in_call_; }
  uint32_t n_calls() const { return n_calls_; }
  MessageDelta take();

 private:
  std::string make_id() const;

  const uint64_t seed_;
  const bool single_call_, short_ids_;
  MessageDelta delta_;
  std::string held_;  // white space
  bool has_content_ = false, in_call_ = false;
  uint32_t n_calls_ = 0;
};

}  // namespace moraine::chat
