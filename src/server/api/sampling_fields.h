// Where each sampling value of a generation comes from: the request, else the command line, else the
// model file's general.sampling.*, else llama-server's default. What the values do is src/sampling.
#pragma once

#include <moraine/engine.h>
#include <moraine/tokenizer.h>

#include <cstdint>
#include <map>
#include <string>

#include "server/api/api.h"
#include "server/api/fields.h"
#include "server/api/log.h"

namespace moraine::server {

enum class Source : uint8_t { kBuiltIn, kFile, kFlags, kRequest };
const char* to_string(Source source);  // "built-in", "file", "flags", "request"

struct SamplingChoice {
  SamplingParams params;
  std::map<std::string, Source> sources;  // by the field's name in a request
  bool random_seed = true;                // no seed was given: draw one for each request
};

SamplingChoice sampling_defaults(const ModelInfo::Sampling& file, const SamplingOverrides& flags);

// Throws ApiError 400 for wrong types and ranges. Sampler fields of llama-server that this version
// does not have are ignored, with one warning in the log for each; constraints (grammar,
// json_schema, response_format) are refused: an answer that ignores them would be wrong.
SamplingChoice sampling_from(const Fields& body, const SamplingChoice& defaults, const Tokenizer& tokenizer,
                             Log& log);

// {"temperature":0.8,...} as in llama-server's generation_settings, and {"temperature":"flags",...}.
Json params_json(const SamplingChoice& choice);
Json sources_json(const SamplingChoice& choice);

}  // namespace moraine::server
