// What the meter keeps of a request: counts, times and names, never a word of what was said. The server fills
// it (src/server/api/answer.cpp), writer.h takes it, store.h keeps it, summary.h adds it up.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace moraine::usage {

struct Record {
  int64_t ended_ms = 0;                   // Unix time
  std::string client, model;              // the program that asked; the model as clients see it
  std::string protocol;                   // the endpoint's path
  std::string outcome;                    // "done", "the client left", "failed"
  std::string epic, task;                 // of X-Moraine-Epic and X-Moraine-Task; "" where none
  int64_t n_fresh = 0, n_cached = 0;      // tokens of the prompt: computed, and known already
  int64_t n_generated = 0;                // of all choices
  int64_t n_drafted = 0, n_accepted = 0;  // guessed ahead, and those that held
  double prompt_ms = 0, generated_ms = 0, whole_ms = 0;
};

inline constexpr std::size_t kMaxName = 96;  // bytes of any name that is kept

// `text` where it is a plain name ([A-Za-z0-9._-], at most kMaxName), else "": a header must not become a
// place where text is kept.
std::string plain_name(std::string_view text);

}  // namespace moraine::usage
