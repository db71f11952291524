// The line that every request leaves in the log, and why it had to compute what it did.
#pragma once

#include <moraine/engine.h>
#include <moraine/tokenizer.h>

#include <span>
#include <string>

#include "server/http/http.h"
#include "usage/record.h"

namespace moraine::server {

// Of all choices of an answer together. Times by the clock of this machine.
struct RequestTotals {
  int64_t n_prompt = 0, n_cached = 0, n_generated = 0;
  double prompt_ms = 0, generated_ms = 0;
  double first_token_ms = -1;  // since the request came; < 0: there was none
  double whole_ms = 0;
  int64_t n_read = -1;  // of the prompt, where the request ended before all was; < 0: all
  int64_t n_drafted = 0, n_accepted = 0;
};

// "POST PATH ...": always these fields in this order, so that a line can be read by a program.
std::string request_line(const http::Request& request, const char* how, const RequestTotals& totals);

// The same for the meter, without the client's address and version. `model`: as clients see it.
usage::Record usage_record(const http::Request& request, const char* how, const RequestTotals& totals,
                           const std::string& model);

// Where the cache knew less of a prompt than its whole: the first token that was another before, its place,
// and the message it lies in; or that a state was missing. And what came from disk. "": there is nothing to
// tell.
std::string cache_note(std::span<const TokenId> prompt, const GenerationStats& stats,
                       const Tokenizer& tokenizer);

}  // namespace moraine::server
