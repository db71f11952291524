// `moraine inspect`: what a model file holds and what running it would take, from its header alone. A
// file whose architecture does not run here is described all the same.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "app.h"
#include "gguf/reader.h"
#include "inspect_prompt.h"
#include "model_path.h"

namespace moraine::app {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr size_t kMaxJsonElements = 64;  // of an array: a vocabulary has a quarter million

struct TypeTotal {
  uint64_t n_tensors = 0, n_values = 0, bytes = 0;
};

std::map<DType, TypeTotal> totals_by_type(const gguf::File& file) {
  std::map<DType, TypeTotal> totals;
  for (const gguf::TensorInfo& t : file.tensors()) {
    TypeTotal& total = totals[t.dtype];
    ++total.n_tensors;
    total.n_values += t.n_values();
    total.bytes += t.size_bytes;
  }
  return totals;
}

// The estimate, or why there is none.
struct Estimate {
  std::optional<MemoryEstimate> memory;
  std::string problem;
};
Estimate estimate(const Settings& s) {
  try {
    return {Engine::estimate(s.engine), ""};
  } catch (const Error& e) {
    return {std::nullopt, e.what()};
  }
}

OrderedJson json_of(const gguf::Value& value);

template <class T>
OrderedJson json_of_elements(const T& elements) {
  OrderedJson out = OrderedJson::array();
  for (size_t i = 0; i < std::min(elements.size(), kMaxJsonElements); ++i) {
    if constexpr (std::is_same_v<T, gguf::StringArray>)
      out.push_back(std::string(elements[i]));
    else if constexpr (std::is_same_v<T, std::vector<gguf::Array>>)
      out.push_back(json_of(gguf::Value(elements[i])));
    else if constexpr (std::is_same_v<T, std::vector<bool>>)
      out.push_back(static_cast<bool>(elements[i]));
    else
      out.push_back(elements[i]);
  }
  return out;
}

OrderedJson json_of(const gguf::Value& value) {
  return std::visit(
      [&](const auto& v) -> OrderedJson {
        using T = std::decay_t<decltype(v)>;
        if constexpr (!std::is_same_v<T, gguf::Array>) {
          return v;
        } else {
          OrderedJson elements = std::visit([](const auto& e) { return json_of_elements(e); }, v.storage());
          if (v.size() <= kMaxJsonElements) return elements;
          return {{"type", gguf::type_name(value)}, {"length", v.size()}, {"first", std::move(elements)}};
        }
      },
      value.storage());
}

OrderedJson memory_json(const MemoryEstimate& m) {
  return {{"weights", m.weights},
          {"kv", m.kv},
          {"state", m.state},
          {"scratch", m.scratch},
          {"other", m.other},
          {"draft", m.draft},
          {"total", m.total()},
          {"available", m.available},
          {"fits", m.fits()},
          {"n_ctx", m.n_ctx},
          {"n_ctx_fits", m.n_ctx_fits},
          {"prefix_cache", m.cache},
          {"device", m.device},
          {"on_device", m.on_device},
          {"device_available", m.device_available}};
}

std::string json_report(const gguf::File& file, const Settings& s) {
  OrderedJson out;
  out["path"] = s.engine.model_path;
  out["format"] = fmt::format("GGUF {}", file.version());
  out["size_bytes"] = file.size_bytes();
  out["shards"] = OrderedJson::array();
  for (const gguf::Shard& shard : file.shards())
    out["shards"].push_back({{"path", shard.path.string()},
                             {"size_bytes", shard.size_bytes},
                             {"data_offset", shard.data_offset}});
  out["architecture"] = file.metadata().find<std::string_view>("general.architecture").value_or("");
  uint64_t n_params = 0;
  for (const gguf::TensorInfo& t : file.tensors()) n_params += t.n_values();
  out["n_params"] = n_params;
  out["metadata"] = OrderedJson::object();
  for (const gguf::MetadataEntry& entry : file.metadata().entries())
    out["metadata"][entry.key] = json_of(entry.value);
  out["tensor_types"] = OrderedJson::object();
  for (const auto& [type, total] : totals_by_type(file))
    out["tensor_types"][info(type).name] = {
        {"tensors", total.n_tensors}, {"values", total.n_values}, {"bytes", total.bytes}};
  out["tensors"] = OrderedJson::array();
  for (const gguf::TensorInfo& t : file.tensors())
    out["tensors"].push_back(
        {{"name", t.name},
         {"type", info(t.dtype).name},
         {"shape", std::vector<uint64_t>(t.shape.begin(), t.shape.begin() + std::max(t.n_dims, 1u))},
         {"bytes", t.size_bytes},
         {"shard", t.shard},
         {"offset", t.offset}});
  const PromptReport prompt = report_prompt(file.metadata());
  out["tokenizer"] = tokenizer_json(prompt);
  out["chat_template"] = chat_template_json(prompt);
  const Estimate e = estimate(s);
  if (e.memory)
    out["memory"] = memory_json(*e.memory);
  else
    out["problem"] = e.problem;
  return out.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

std::string text_report(const gguf::File& file, const Settings& s) {
  std::string out = fmt::format("{}: GGUF {}, {}", terminal_safe(s.engine.model_path), file.version(),
                                size_text(file.size_bytes()));
  if (file.shards().size() > 1) out += fmt::format(" in {} files", file.shards().size());
  out += "\n\nMetadata\n";
  for (const gguf::MetadataEntry& entry : file.metadata().entries())
    out += fmt::format("  {:<44} {}\n", gguf::escape_text(entry.key), gguf::to_display_string(entry.value));
  out += fmt::format("\nTensors: {}\n  {:<8} {:>8} {:>16} {:>10}\n", file.tensors().size(), "type", "tensors",
                     "values", "size");
  for (const auto& [type, total] : totals_by_type(file))
    out += fmt::format("  {:<8} {:>8} {:>16} {:>10}\n", info(type).name, total.n_tensors,
                       count_text(static_cast<int64_t>(total.n_values)), size_text(total.bytes));
  out += prompt_text(report_prompt(file.metadata()));
  const Estimate e = estimate(s);
  if (!e.memory) return out + "\nIt does not run here: " + e.problem + "\n";
  const MemoryEstimate& m = *e.memory;
  out += fmt::format("\nMemory for a context of {} tokens\n", count_text(m.n_ctx));
  const auto row = [&](const char* name, uint64_t bytes) {
    out += fmt::format("  {:<12} {:>10}\n", name, size_text(bytes));
  };
  row("weights", m.weights);
  row("cache", m.kv);
  if (m.state > 0) row("state", m.state);
  row("work space", m.scratch + m.other);
  if (m.draft > 0) row("draft", m.draft);
  row("together", m.total());
  row("prefix cache", m.cache);
  row("free here", m.available);
  if (m.on_device > 0) row("on the GPU", m.on_device), row("free there", m.device_available);
  out += fmt::format("It would run on {}.\n", terminal_safe(m.device));
  if (!m.device_note.empty()) out += terminal_safe(m.device_note) + "\n";
  if (m.fits())
    out += fmt::format("It fits; the longest context that would: {} tokens.\n", count_text(m.n_ctx_fits));
  else if (m.n_ctx_fits > 0)
    out += fmt::format("It does not fit; a context of {} tokens would: -c {}.\n", count_text(m.n_ctx_fits),
                       m.n_ctx_fits);
  else
    out += "It does not fit, with any context.\n";
  return out;
}

}  // namespace

int inspect(Invocation& invocation) {
  Settings& s = invocation.settings;
  require_model(invocation, "inspect");
  const gguf::File file = gguf::File::open(s.engine.model_path);
  const std::string report = s.json ? json_report(file, s) : text_report(file, s);
  std::fwrite(report.data(), 1, report.size(), stdout);
  return kOk;
}

}  // namespace moraine::app
