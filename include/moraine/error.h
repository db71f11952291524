// The one exception type of moraine. Thrown at load or request time for whatever input or the
// environment can cause; caught once at the request or command boundary, where the code becomes
// an HTTP status or an exit code. Broken invariants are CHECKs (base/check.h), never Errors.
#pragma once

#include <stdexcept>
#include <string>

namespace moraine {

enum class ErrorCode {
  kInvalidArgument,  // a request or option that can never succeed as given
  kNotFound,         // a file, model or endpoint that does not exist
  kCorruptFile,      // a file whose bytes contradict its format; the message names field and offset
  kUnsupported,      // understood, but not something this build runs
  kContextOverflow,  // a prompt longer than the context; the message carries both numbers
  kOutOfMemory,      // host or device memory, with the numbers
  kUnavailable,      // loading, draining or full: try again later
  kCancelled,
  kDeviceLost,
  kIo,  // the operating system refused a read, write, bind or connect
  kInternal,
};

// Messages are whole sentences for a user: what is wrong, where, and what to do about it.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

const char* to_string(ErrorCode code) noexcept;

}  // namespace moraine
