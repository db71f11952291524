#include "bench_report.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "version.h"

namespace moraine::app {
namespace {

using OrderedJson = nlohmann::ordered_json;

struct Spread {
  double average = 0, deviation = 0;
};

Spread spread(const std::vector<double>& samples) {
  Spread s;
  for (const double x : samples) s.average += x / static_cast<double>(samples.size());
  if (samples.size() < 2) return s;
  double sum = 0;
  for (const double x : samples) sum += (x - s.average) * (x - s.average);
  s.deviation = std::sqrt(sum / static_cast<double>(samples.size() - 1));
  return s;
}

std::vector<double> rates(const BenchResult& r) {
  std::vector<double> v;
  for (const uint64_t ns : r.samples_ns)
    v.push_back(1e9 * r.n_tokens() / static_cast<double>(std::max<uint64_t>(ns, 1)));
  return v;
}

std::string cpu_name() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("model name")) return line.substr(std::min(line.find(": ") + 2, line.size()));
  return "";
}

// "CPU", "Vulkan" or "CPU,Vulkan", as llama-bench has it.
std::string backends(const ModelInfo& i) {
  const bool gpu = i.device.find("Vulkan") != std::string::npos;
  return !gpu ? "CPU" : i.device.starts_with("CPU") ? "CPU,Vulkan" : "Vulkan";
}

std::string model_type(const ModelInfo& i) {
  return fmt::format("{} {} {}", i.architecture, i.size_label, i.quantization);
}

const char* kv_name(KvType t) {
  switch (t) {
    case KvType::kF16:
      return "f16";
    case KvType::kQ8_0:
      return "q8_0";
    case KvType::kQ4_0:
      return "q4_0";
    case KvType::kF32:
      return "f32";
  }
  return "";
}

OrderedJson record(const BenchResult& r, const Settings& s) {
  const std::vector<double> ts = rates(r);
  const Spread ns = spread({r.samples_ns.begin(), r.samples_ns.end()}), rate = spread(ts);
  const bool on_cpu = backends(r.info) == "CPU";
  return {{"build_commit", commit()},
          {"build_number", build_number()},
          {"cpu_info", cpu_name()},
          {"gpu_info", on_cpu ? "" : r.info.device},
          {"backends", backends(r.info)},
          {"model_filename", r.info.path},
          {"model_type", model_type(r.info)},
          {"model_size", r.info.size_bytes},
          {"model_n_params", r.info.n_params},
          {"n_batch", s.engine.n_batch},
          {"n_ubatch", s.engine.n_ubatch},
          {"n_threads", r.info.n_threads},
          {"cpu_mask", "0x0"},
          {"cpu_strict", false},
          {"poll", 0},
          {"type_k", kv_name(s.engine.kv_type_k)},
          {"type_v", kv_name(s.engine.kv_type_v)},
          {"n_gpu_layers", on_cpu ? 0 : s.engine.device.gpu_layers.value_or(kLayersThatFit)},
          {"split_mode", "none"},
          {"main_gpu", 0},
          {"no_kv_offload", false},
          {"flash_attn", true},
          {"devices", r.info.device},
          {"tensor_split", "0.00"},
          {"use_mmap", false},
          {"embeddings", false},
          {"n_prompt", r.n_prompt},
          {"n_gen", r.n_gen},
          {"n_depth", r.n_depth},
          {"test_time", fmt::format("{:%Y-%m-%dT%H:%M:%SZ}",
                                    fmt::gmtime(std::chrono::system_clock::to_time_t(r.started)))},
          {"avg_ns", static_cast<uint64_t>(ns.average)},
          {"stddev_ns", static_cast<uint64_t>(ns.deviation)},
          {"avg_ts", rate.average},
          {"stddev_ts", rate.deviation},
          {"samples_ns", r.samples_ns},
          {"samples_ts", ts}};
}

std::string dump(const OrderedJson& json, int indent) {
  return json.dump(indent, ' ', false, OrderedJson::error_handler_t::replace);
}

std::string csv(const std::vector<BenchResult>& results, const Settings& s) {
  std::string out;
  for (const BenchResult& r : results) {
    std::string names, values;
    const OrderedJson json = record(r, s);
    for (const auto& [name, value] : json.items()) {
      if (value.is_array()) continue;
      std::string text = value.is_string() ? value.get<std::string>() : dump(value, -1);
      for (size_t at = 0; (at = text.find('"', at)) != std::string::npos; at += 2) text.insert(at, 1, '"');
      names += (names.empty() ? "" : ",") + name;
      values += (values.empty() ? "\"" : ",\"") + text + "\"";
    }
    if (out.empty()) out = names + "\n";
    out += values + "\n";
  }
  return out;
}

std::string table(const std::vector<BenchResult>& results) {
  std::string out = fmt::format("| {:<30} | {:>10} | {:>10} | {:<10} | {:>7} | {:>15} | {:>20} |\n", "model",
                                "size", "params", "backend", "threads", "test", "t/s");
  out +=
      "| ------------------------------ | ---------: | ---------: | ---------- | ------: | --------------: | "
      "-------------------: |\n";
  for (const BenchResult& r : results) {
    const Spread rate = spread(rates(r));
    const auto bytes = static_cast<double>(r.info.size_bytes);
    const auto params = static_cast<double>(r.info.n_params);
    out += fmt::format(
        "| {:<30} | {:>10} | {:>10} | {:<10} | {:>7} | {:>15} | {:>20} |\n", model_type(r.info),
        bytes >= 1 << 30 ? fmt::format("{:.2f} GiB", bytes / (1 << 30))
                         : fmt::format("{:.2f} MiB", bytes / (1 << 20)),
        params >= 1e9 ? fmt::format("{:.2f} B", params / 1e9) : fmt::format("{:.2f} M", params / 1e6),
        backends(r.info), r.info.n_threads, r.test(),
        fmt::format("{:.2f} ± {:.2f}", rate.average, rate.deviation));
  }
  return out + fmt::format("\nbuild: {} ({})\n", commit(), build_number());
}

}  // namespace

std::string BenchResult::test() const {
  const std::string what = n_prompt > 0 ? fmt::format("pp{}", n_prompt) : fmt::format("tg{}", n_gen);
  return n_depth > 0 ? fmt::format("{} @ d{}", what, n_depth) : what;
}

std::string bench_report(const std::vector<BenchResult>& results, const Settings& s) {
  if (s.bench_format == BenchFormat::kMarkdown) return table(results);
  if (s.bench_format == BenchFormat::kCsv) return csv(results, s);
  std::string lines;
  OrderedJson all = OrderedJson::array();
  for (const BenchResult& r : results) {
    lines += dump(record(r, s), -1) + "\n";
    all.push_back(record(r, s));
  }
  return s.bench_format == BenchFormat::kJsonl ? lines : dump(all, 2) + "\n";
}

}  // namespace moraine::app
