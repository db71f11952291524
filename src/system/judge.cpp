#include "system/judge.h"

#include <fmt/format.h>

#include <algorithm>

namespace moraine::system {

const char* severity_name(Severity severity) noexcept {
  switch (severity) {
    case Severity::kOk:
      return "ok";
    case Severity::kNote:
      return "note";
    case Severity::kWarning:
      return "warning";
    case Severity::kProblem:
      return "problem";
  }
  return "";
}

std::string gib_text(uint64_t bytes) {
  constexpr double kGiB = 1024.0 * 1024 * 1024;
  const double n = static_cast<double>(bytes);
  std::string text = n >= kGiB ? fmt::format("{:.2f}", n / kGiB) : fmt::format("{:.0f}", n / 1024 / 1024);
  if (text.find('.') != std::string::npos) {
    while (text.back() == '0') text.pop_back();
    if (text.back() == '.') text.pop_back();
  }
  return text + (n >= kGiB ? " GiB" : " MiB");
}

std::string gb_text(uint64_t bytes) {
  const double n = static_cast<double>(bytes);
  return n >= 1e9 ? fmt::format("{:.1f} GB", n / 1e9) : fmt::format("{:.0f} MB", n / 1e6);
}

std::string count_text(uint64_t n) {
  std::string text = std::to_string(n);
  for (int at = static_cast<int>(text.size()) - 3; at > 0; at -= 3)
    text.insert(static_cast<size_t>(at), 1, ',');
  return text;
}

void add_model(Need& need, const KnownModel& model, int32_t n_ctx) {
  n_ctx = n_ctx <= 0 ? model.n_ctx_train : std::min(n_ctx, model.n_ctx_train);
  const uint64_t bytes = memory_of(model, n_ctx);
  need.what += fmt::format("{}{}", need.what.empty() ? "" : " and ", full_name(model));
  need.parts.emplace_back(full_name(model), model.weights);
  need.parts.emplace_back(
      fmt::format("its cache of {} tokens and work space", count_text(static_cast<uint64_t>(n_ctx))),
      bytes - model.weights);
  need.model_bytes += bytes;
}

GpuShare gpu_share(uint64_t installed) {
  constexpr uint64_t kGiB = uint64_t{1} << 30;
  const uint64_t gib = installed / kGiB;
  // What owners settled on: 64 -> 48 (53 at most), 96 -> 80 (86), 128 -> 96 to 100 (108). A desktop, a
  // browser and an editor want 16 GiB or more; what is beside them grows with the machine.
  if (gib >= 256) return {installed * 3 / 4, installed * 4 / 5, installed * 7 / 8};
  if (gib >= 128) return {96 * kGiB, 100 * kGiB, 108 * kGiB};
  if (gib >= 96) return {80 * kGiB, 80 * kGiB, 86 * kGiB};
  if (gib >= 64) return {48 * kGiB, 48 * kGiB, 53 * kGiB};
  if (gib >= 48) return {32 * kGiB, 32 * kGiB, 38 * kGiB};
  if (gib >= 32) return {20 * kGiB, 20 * kGiB, 24 * kGiB};
  return {installed / 2, installed / 2, installed * 5 / 8};
}

std::vector<Suggestion> suggest_models(const SystemFacts& facts, const Diagnosis& diagnosis,
                                       const Abilities& abilities) {
  constexpr size_t kMost = 3;
  constexpr int32_t kUsefulContext = 32000;      // an agent's first request takes half of it
  constexpr double kStrixHaloBandwidth = 256e9;  // 256 bits of LPDDR5X-8000

  // What will be there once the machine is set up: all of this, or all of a card's own.
  const GpuFacts* gpu = facts.main_gpu();
  uint64_t pool = 0;
  std::optional<double> gpu_bandwidth;
  if (gpu && gpu->kind == GpuKind::kIntegrated) {
    pool = mappable_memory(facts).value_or(0);
    if (diagnosis.remedy) pool = std::max(pool, diagnosis.remedy->pages * kPageBytes);
    if (gpu->is_strix_halo()) gpu_bandwidth = kStrixHaloBandwidth;
  } else if (gpu) {
    pool = gpu->vram_total.value_or(0);
  }
  if (facts.nodes.empty()) pool = 0;  // a container without the device
  const uint64_t desktop = std::min(facts.memory.total / 4, uint64_t{8} << 30);
  const uint64_t ram = std::min(facts.memory.total - desktop, facts.memory.limit);

  const auto make = [&](const KnownModel& m) {
    Suggestion s;
    s.model = &m;
    if (gpu_bandwidth && longest_context(m, pool) > 0) s.gpu_speed = expected_speed(m, *gpu_bandwidth);
    if (facts.measured_bandwidth && longest_context(m, ram) > 0)
      s.cpu_speed = expected_speed(m, *facts.measured_bandwidth);
    s.runs_here = std::find(abilities.architectures.begin(), abilities.architectures.end(), m.architecture) !=
                  abilities.architectures.end();
    const bool on_cpu_only = s.runs_here && !abilities.gpu;  // what it says must be true today
    s.n_ctx = std::max(longest_context(m, ram), on_cpu_only ? 0 : longest_context(m, pool));
    return s;
  };
  std::vector<Suggestion> chosen;
  for (const KnownModel& m : known_models()) {
    if (!m.suggest || chosen.size() == kMost) continue;
    Suggestion s = make(m);
    if (s.n_ctx >= std::min(kUsefulContext, m.n_ctx_train)) chosen.push_back(s);
  }
  // One of them should be a model to start with now.
  const bool any_runs =
      std::any_of(chosen.begin(), chosen.end(), [](const Suggestion& s) { return s.runs_here; });
  if (!any_runs && chosen.size() == kMost)
    for (const KnownModel& m : known_models()) {
      Suggestion s = make(m);
      if (!m.suggest || !s.runs_here || s.n_ctx < std::min(kUsefulContext, m.n_ctx_train)) continue;
      chosen.back() = s;
      break;
    }
  return chosen;
}

Diagnosis diagnose(const SystemFacts& facts, const Need& need, const Abilities& abilities) {
  Diagnosis d;
  judge_host(facts, need, abilities, d);
  judge_gpu(facts, need, abilities, d);
  d.models = suggest_models(facts, d, abilities);
  for (const Finding& f : d.findings) d.worst = std::max(d.worst, f.severity);
  return d;
}

}  // namespace moraine::system
