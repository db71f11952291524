// A call written as one JSON object, {"name": ..., "arguments": {...}}, read in pieces: the members in any
// order, `parameters` for `arguments`, arguments as the text of an object, the object within a "function"
// member or a second pair of braces. Hermes, Llama, Mistral and the generic format are built of it.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "chat/formats/arguments_reader.h"
#include "chat/formats/message_writer.h"

namespace moraine::chat {

class JsonCall {
 public:
  enum class Status : uint8_t {
    kMore,
    kDone,    // the call is over; what follows is left in `in`
    kNoCall,  // no call begins here: nothing was taken from `in`
    kBroken,  // the call could not be read to its end; it was closed as valid JSON
  };
  // Of an object that must be read as a whole because its name comes last.
  static constexpr size_t kMaxWhole = 256 << 10;

  // `known_only`: names that no tool has make no call. `tools` may be null and must outlive the reader.
  JsonCall(const ToolTypes* tools, bool known_only, size_t max_whole = kMaxWhole)
      : tools_(tools), known_only_(known_only), max_whole_(max_whole) {}

  // Until a name is certain nothing is taken from `in`; it must be there again with more behind it.
  Status push(std::string_view& in, MessageWriter& out, bool at_end);
  bool begun() const { return phase_ == Phase::kArguments || phase_ == Phase::kTail; }

 private:
  enum class Phase : uint8_t { kPrefix, kWhole, kArguments, kTail };
  struct Prefix;
  Status read_prefix(std::string_view& in, MessageWriter& out, bool at_end);
  Status read_whole(std::string_view& in, MessageWriter& out, bool at_end);
  Status read_tail(std::string_view& in);
  bool begin(MessageWriter& out, std::string_view name, std::string_view id);

  const ToolTypes* const tools_;
  const bool known_only_;
  const size_t max_whole_;
  Phase phase_ = Phase::kPrefix;
  std::unique_ptr<ArgumentsReader> arguments_;
  int depth_ = 0;  // braces around the arguments
  bool tail_in_string_ = false;
  // The object when it must be read as a whole.
  RelaxedJson whole_;
  std::string strict_;
  size_t whole_read_ = 0;
  bool doubled_ = false;
};

// One call in an object as RelaxedJson wrote it. False, and nothing written, if it is none.
bool write_json_call(std::string_view object, const ToolTypes* tools, bool known_only, MessageWriter& out);

}  // namespace moraine::chat
