// CPU, memory and containers: what holds for every engine, with a GPU or without.
#include <fmt/format.h>

#include <algorithm>

#include "system/judge.h"

namespace moraine::system {
namespace {

void judge_cpu(const CpuFacts& cpu, Diagnosis& out) {
  if (cpu.n_threads == 0) {
    out.findings.push_back(
        {Severity::kNote, "cpu", false, "What CPU this is cannot be read from /proc/cpuinfo.", {}});
    return;
  }
  if (!cpu.avx2)
    out.findings.push_back(
        {Severity::kWarning,
         "cpu",
         false,
         "This CPU has no AVX2 with FMA and F16C: the scalar kernels run, many times slower.",
         {}});
  else
    out.findings.push_back(
        {Severity::kOk, "cpu", false, "The CPU has what the fast kernels need (AVX2).", {}});
  if (cpu.quota && *cpu.quota < cpu.n_cores)
    out.findings.push_back(
        {Severity::kNote,
         "cpu-quota",
         false,
         fmt::format("A control group allows {:.4g} CPUs' worth of time; the machine has {} cores.",
                     *cpu.quota, cpu.n_cores),
         {}});
}

void judge_memory(const SystemFacts& facts, const Need& need, const Abilities& abilities, Diagnosis& out) {
  const SystemMemory& m = facts.memory;
  if (m.total == 0) {
    out.findings.push_back({Severity::kWarning,
                            "memory",
                            false,
                            "How much memory there is cannot be read from /proc/meminfo.",
                            {}});
    return;
  }
  const uint64_t usable = std::min(m.total, m.limit);
  if (m.limit < m.total)
    out.findings.push_back(
        {Severity::kNote,
         "memory-limit",
         false,
         fmt::format("A control group limits this process to {} of the machine's {}.", gib_text(m.limit),
                     gib_text(m.total)),
         {"Whoever started it raises it: docker run --memory, MemoryMax= of a systemd unit."}});
  if (need.model_bytes == 0) return;

  std::string sum;
  for (const auto& [name, bytes] : need.parts)
    sum += fmt::format("{}{} {}", sum.empty() ? "" : " + ", name, gib_text(bytes));
  std::vector<std::string> details;
  if (need.parts.size() > 1) details.push_back(fmt::format("{} = {}.", sum, gib_text(need.model_bytes)));
  const uint64_t available = std::min(m.available, usable);
  Finding f{Severity::kOk, "model-memory", false, "", details};
  if (need.model_bytes <= available) {
    f.title = fmt::format("{} {} {}; {} are free in memory.", need.what, takes(need),
                          gib_text(need.model_bytes), gib_text(available));
  } else if (need.model_bytes <= usable) {
    f.severity = Severity::kWarning;
    f.title = fmt::format("{} {} {}; {} are free now, of {}.", need.what, takes(need),
                          gib_text(need.model_bytes), gib_text(available), gib_text(usable));
    f.details.push_back(fmt::format("Close programs that hold {} or more, or take a shorter context (-c).",
                                    gib_text(need.model_bytes - available)));
  } else {
    // A card has memory of its own; without a GPU build nothing else will do.
    const GpuFacts* gpu = facts.main_gpu();
    const bool on_card = abilities.gpu && gpu && gpu->kind == GpuKind::kDiscrete;
    f.severity = on_card ? Severity::kNote : Severity::kProblem;
    f.title = fmt::format("{} {} {}, more than the {} of memory that there are.", need.what, takes(need),
                          gib_text(need.model_bytes), gib_text(usable));
    f.details.emplace_back("Take a smaller model or quantisation, or a shorter context (-c).");
  }
  out.findings.push_back(std::move(f));
}

}  // namespace

void judge_host(const SystemFacts& facts, const Need& need, const Abilities& abilities, Diagnosis& out) {
  judge_cpu(facts.cpu, out);
  judge_memory(facts, need, abilities, out);
  for (const std::string& remark : need.remarks)
    out.findings.push_back({Severity::kNote, "estimate", false, remark, {}});
  if (!facts.container.empty())
    out.findings.push_back(
        {Severity::kNote,
         "container",
         false,
         fmt::format("This is inside a container ({}): the kernel and its limits are the host's.",
                     facts.container),
         {"What concerns the kernel, the bootloader or the BIOS is changed on the host; run doctor there."}});
}

}  // namespace moraine::system
