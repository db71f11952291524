#include "server/api/sampling_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>

#include "server/api/errors.h"

namespace moraine::server {
namespace {

constexpr std::size_t kMaxBiasedTokens = 16384;
constexpr int64_t kMaxInt = std::numeric_limits<int32_t>::max();

struct FloatField {
  const char* name;
  float SamplingParams::* value;
  std::optional<float> SamplingOverrides::* flag;
  std::optional<float> ModelInfo::Sampling::* file;  // null: general.sampling.* has no such value
  double min, max;
};
constexpr FloatField kFloats[] = {
    {"temperature", &SamplingParams::temperature, &SamplingOverrides::temperature,
     &ModelInfo::Sampling::temperature, -1e6, 1e6},  // llama-server takes a negative one as greedy
    {"top_p", &SamplingParams::top_p, &SamplingOverrides::top_p, &ModelInfo::Sampling::top_p, 0, 1e6},
    {"min_p", &SamplingParams::min_p, &SamplingOverrides::min_p, &ModelInfo::Sampling::min_p, 0, 1},
    {"typical_p", &SamplingParams::typical_p, &SamplingOverrides::typical_p, nullptr, 0, 1e6},
    {"repeat_penalty", &SamplingParams::repeat_penalty, &SamplingOverrides::repeat_penalty,
     &ModelInfo::Sampling::repeat_penalty, 1e-3, 1e6},
    {"presence_penalty", &SamplingParams::presence_penalty, &SamplingOverrides::presence_penalty,
     &ModelInfo::Sampling::presence_penalty, -1e6, 1e6},
    {"frequency_penalty", &SamplingParams::frequency_penalty, &SamplingOverrides::frequency_penalty,
     &ModelInfo::Sampling::frequency_penalty, -1e6, 1e6},
};

struct IntField {
  const char* name;
  int32_t SamplingParams::* value;
  std::optional<int32_t> SamplingOverrides::* flag;
  std::optional<int32_t> ModelInfo::Sampling::* file;
  int64_t min, max;
};
constexpr IntField kInts[] = {
    {"top_k", &SamplingParams::top_k, &SamplingOverrides::top_k, &ModelInfo::Sampling::top_k, -kMaxInt,
     kMaxInt},
    {"min_keep", &SamplingParams::min_keep, &SamplingOverrides::min_keep, nullptr, 0, kMaxInt},
    {"repeat_last_n", &SamplingParams::repeat_last_n, &SamplingOverrides::repeat_last_n,
     &ModelInfo::Sampling::repeat_last_n, -1, kMaxInt},
};

// Whether a value that is ignored would have done anything: clients send neutral ones all the time.
bool asks_for_something(const Json& value) {
  if (value.is_number()) return value.get<double>() > 0;
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_string()) return !value.get_ref<const std::string&>().empty();
  return !value.empty();
}

// Fields of llama-server that have no effect here.
constexpr const char* kIgnored[] = {
    "mirostat", "dry_multiplier", "xtc_probability",  "top_n_sigma",         "dynatemp_range",
    "samplers", "lora",           "t_max_predict_ms", "post_sampling_probs", "adaptive_target",
};

// One entry of logit_bias: a token by its id or by a text, and a number or `false` (a ban).
void add_bias(const Fields& body, const Json& token, const Json& bias, const Tokenizer& tokenizer,
              std::vector<std::pair<TokenId, float>>& out) {
  const auto refuse = [&](const std::string& what) {
    return bad_request(body.path("logit_bias"), "'logit_bias' " + what);
  };
  float value;
  if (bias.is_number()) {
    value = static_cast<float>(std::clamp(bias.get<double>(), -1e6, 1e6));
  } else if (bias.is_boolean() && !bias.get<bool>()) {
    value = -std::numeric_limits<float>::infinity();
  } else {
    throw refuse(fmt::format("must give each token a number or false, not {}.", kind_of(bias)));
  }
  const auto add_id = [&](int64_t id) {
    if (id < 0 || id >= static_cast<int64_t>(tokenizer.size())) {
      throw refuse(
          fmt::format("names token {}, but this model's tokens are 0 to {}.", id, tokenizer.size() - 1));
    }
    out.emplace_back(static_cast<TokenId>(id), value);
  };
  if (token.is_number_integer()) {
    if (token.is_number_unsigned() && token.get<uint64_t>() > INT64_MAX) add_id(-1);
    return add_id(token.get<int64_t>());
  }
  if (!token.is_string())
    throw refuse(fmt::format("must name tokens by id or text, not by {}.", kind_of(token)));
  const auto& text = token.get_ref<const std::string&>();
  int64_t id = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (ec == std::errc() && end == text.data() + text.size()) return add_id(id);
  for (const TokenId t : tokenizer.encode(text, {.add_special = false, .parse_special = true})) {
    out.emplace_back(t, value);
  }
}

std::vector<std::pair<TokenId, float>> logit_bias_from(const Fields& body, const Json& value,
                                                       const Tokenizer& tokenizer) {
  if (!value.is_object() && !value.is_array())
    body.wrong_type("logit_bias", "an object or an array of pairs");
  std::vector<std::pair<TokenId, float>> out;
  const auto check = [&] {  // at each entry: many texts of many tokens are not collected first
    if (out.size() <= kMaxBiasedTokens) return;
    throw bad_request("logit_bias", fmt::format("'logit_bias' names more than {} tokens.", kMaxBiasedTokens));
  };
  if (value.is_object()) {  // OpenAI's: {"1234": -100}
    for (const auto& [token, bias] : value.items()) {
      add_bias(body, Json(token), bias, tokenizer, out);
      check();
    }
  } else {  // llama-server's: [[1234, -100], [" word", false]]
    for (const Json& pair : value) {
      if (!pair.is_array() || pair.size() != 2)
        body.wrong_type("logit_bias", "an array of [token, bias] pairs");
      add_bias(body, pair[0], pair[1], tokenizer, out);
      check();
    }
  }
  return out;
}

uint64_t fresh_seed() {
  std::random_device device;
  return device();  // 32 bits: a seed that any JSON client can send back unchanged
}

}  // namespace

const char* to_string(Source source) {
  switch (source) {
    case Source::kBuiltIn:
      return "built-in";
    case Source::kFile:
      return "file";
    case Source::kFlags:
      return "flags";
    case Source::kRequest:
      return "request";
  }
  return "";
}

SamplingChoice sampling_defaults(const ModelInfo::Sampling& file, const SamplingOverrides& flags) {
  SamplingChoice choice;
  const auto settle = [&](const auto& field) {
    Source& source = choice.sources[field.name];
    source = Source::kBuiltIn;
    if (field.file != nullptr && (file.*field.file).has_value()) {
      const auto value = *(file.*field.file);
      // A file is as hostile as a request: a value out of range counts as none.
      if (value >= field.min && value <= field.max) {
        choice.params.*field.value = value;
        source = Source::kFile;
      }
    }
    if ((flags.*field.flag).has_value()) {
      choice.params.*field.value = *(flags.*field.flag);
      source = Source::kFlags;
    }
  };
  for (const FloatField& field : kFloats) settle(field);
  for (const IntField& field : kInts) settle(field);
  choice.sources["seed"] = choice.sources["ignore_eos"] = choice.sources["logit_bias"] = Source::kBuiltIn;
  if (flags.seed) {
    choice.params.seed = *flags.seed;
    choice.random_seed = false;
    choice.sources["seed"] = Source::kFlags;
  }
  if (flags.ignore_eos) {
    choice.params.ignore_eos = *flags.ignore_eos;
    choice.sources["ignore_eos"] = Source::kFlags;
  }
  if (!flags.logit_bias.empty()) {
    choice.params.logit_bias = flags.logit_bias;
    choice.sources["logit_bias"] = Source::kFlags;
  }
  return choice;
}

SamplingChoice sampling_from(const Fields& body, const SamplingChoice& defaults, const Tokenizer& tokenizer,
                             Log& log) {
  SamplingChoice choice = defaults;
  for (const FloatField& field : kFloats) {
    if (const auto value = body.number(field.name, field.min, field.max)) {
      choice.params.*field.value = static_cast<float>(*value);
      choice.sources[field.name] = Source::kRequest;
    }
  }
  for (const IntField& field : kInts) {
    if (const auto value = body.integer(field.name, field.min, field.max)) {
      choice.params.*field.value = static_cast<int32_t>(*value);
      choice.sources[field.name] = Source::kRequest;
    }
  }
  if (const auto seed = body.integer("seed")) {
    // llama-server's "any": -1, also as the unsigned 32 bits it becomes there.
    choice.random_seed = *seed < 0 || *seed == 0xFFFFFFFF;
    choice.params.seed = static_cast<uint64_t>(*seed);
    choice.sources["seed"] = Source::kRequest;
  }
  if (choice.random_seed) choice.params.seed = fresh_seed();
  if (const auto ignore = body.boolean("ignore_eos")) {
    choice.params.ignore_eos = *ignore;
    choice.sources["ignore_eos"] = Source::kRequest;
  }
  if (const Json* bias = body.find("logit_bias")) {
    choice.params.logit_bias = logit_bias_from(body, *bias, tokenizer);
    choice.sources["logit_bias"] = Source::kRequest;
  }
  for (const char* name : kIgnored) {
    const Json* value = body.find(name);
    if (value != nullptr && asks_for_something(*value)) {
      log.warn_once(
          name, fmt::format("A request sets '{}', which this version does not have; it is ignored.", name));
    }
  }
  return choice;
}

Json params_json(const SamplingChoice& choice) {
  Json json = Json::object();
  const SamplingParams& p = choice.params;
  json["seed"] = p.seed;
  for (const FloatField& field : kFloats) {
    // Through its shortest decimal text: 0.8f as a double would print as 0.800000011920929.
    json[field.name] = Json::parse(fmt::format("{}", p.*field.value), nullptr, false);
  }
  for (const IntField& field : kInts) json[field.name] = p.*field.value;
  json["ignore_eos"] = p.ignore_eos;
  Json bias = Json::array();
  for (const auto& [token, value] : p.logit_bias) {
    bias.push_back({{"token", token}, {"bias", std::isfinite(value) ? Json(value) : Json(false)}});
  }
  json["logit_bias"] = std::move(bias);
  return json;
}

Json sources_json(const SamplingChoice& choice) {
  Json json = Json::object();
  for (const auto& [name, source] : choice.sources) json[name] = to_string(source);
  return json;
}

}  // namespace moraine::server
