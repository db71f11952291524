#include <fmt/format.h>

#include "base/options/render.h"
#include "system/report.h"
#include "system/text.h"

namespace moraine::system {
namespace {

// Configuration lines come from files: what is shown of them must not act on a terminal.
std::string shown(std::string_view line) {
  std::string out;
  for (const char c : line) out += (c >= 0x20 && c != 0x7f) || static_cast<signed char>(c) < 0 ? c : '?';
  return out;
}

class Report {
 public:
  Report(const SystemFacts& facts, const Need& need, const Diagnosis& d, const Abilities& abilities,
         const ReportStyle& style)
      : facts_(facts), need_(need), d_(d), abilities_(abilities), style_(style) {}

  std::string make() {
    system();
    findings();
    remedy();
    models();
    next();
    return std::move(out_);
  }

 private:
  static constexpr int kNameColumn = 14, kFindingColumn = 10;

  void heading(std::string_view title) {
    if (!out_.empty()) out_ += '\n';
    out_ += (style_.heading ? style_.heading(title) : std::string(title)) + "\n";
  }
  void row(std::string_view name, std::string_view text) {
    out_ +=
        fmt::format("  {:<{}}{}\n", name, kNameColumn - 2, options::wrap(text, style_.width, kNameColumn));
  }
  void indented(std::string_view text, int indent) {
    out_ += std::string(static_cast<size_t>(indent), ' ') + options::wrap(text, style_.width, indent) + "\n";
  }

  void system() {
    heading("System");
    const CpuFacts& c = facts_.cpu;
    std::string isa;
    for (const auto& [has, name] :
         {std::pair(c.avx2, "AVX2"), {c.avx512_vnni, "AVX-512 VNNI"}, {c.amx_int8, "AMX"}})
      if (has) isa += (isa.empty() ? "; " : ", ") + std::string(name);
    row("CPU", c.n_threads == 0
                   ? "unknown"
                   : fmt::format("{}, {} cores, {} threads{}", c.model.empty() ? "unnamed" : c.model,
                                 c.n_cores, c.n_threads, isa));
    const SystemMemory& m = facts_.memory;
    std::string memory = m.total ? gib_text(m.total) : "unknown";
    if (m.total && m.available != UINT64_MAX) memory += fmt::format(", {} free", gib_text(m.available));
    if (m.total) memory += m.swap_total ? fmt::format("; swap {}", gib_text(m.swap_total)) : "; no swap";
    if (facts_.measured_bandwidth)
      memory += fmt::format("; read at {:.0f} GB/s, measured", *facts_.measured_bandwidth / 1e9);
    row("Memory", memory);
    for (const GpuFacts& g : facts_.gpus) row("GPU", gpu_text(g));
    if (facts_.gpus.empty()) row("GPU", "none");
    row("Kernel", facts_.kernel.release.empty() ? "unknown" : "Linux " + facts_.kernel.release);
    std::string distro = facts_.distro.name.empty() ? "unknown" : facts_.distro.name;
    if (facts_.distro.is_omarchy && distro.find("Omarchy") == std::string::npos) distro += " (Omarchy)";
    if (!facts_.container.empty()) distro += fmt::format(", in a container ({})", facts_.container);
    row("System", distro);
    if (facts_.container.empty()) row("Bootloader", bootloader_name(facts_.boot.bootloader));
    const FirmwareFacts& f = facts_.firmware;
    if (!f.product.empty() || !f.bios_version.empty()) {
      std::string machine = trim_join(f.vendor, f.product);
      if (!f.bios_version.empty()) machine += fmt::format("; BIOS {}", f.bios_version);
      if (!f.bios_date.empty()) machine += fmt::format(" of {}", f.bios_date);
      row("Machine", machine);
    }
  }

  static std::string trim_join(const std::string& a, const std::string& b) {
    return a.empty() ? b : b.empty() ? a : a + " " + b;
  }

  static std::string gpu_text(const GpuFacts& g) {
    std::string text = g.name;
    if (!g.target.empty()) text += ", " + g.target;
    text += g.driver.empty() ? ", no driver" : ", " + g.driver;
    if (g.vram_total) text += fmt::format("; {} of its own", gib_text(*g.vram_total));
    if (g.gtt_total) text += fmt::format(", GTT {}", gib_text(*g.gtt_total));
    return text;
  }

  static std::string speed_text(double tokens_per_second) {
    return fmt::format(fmt::runtime(tokens_per_second < 10 ? "{:.1f}" : "{:.0f}"), tokens_per_second);
  }

  void findings() {
    heading("Findings");
    bool any_gpu_only = false;
    for (const Finding& f : d_.findings) {
      const std::string word = severity_name(f.severity);
      out_ += "  " + (style_.severity ? style_.severity(word, f.severity) : word) +
              std::string(static_cast<size_t>(kFindingColumn) - 2 - word.size(), ' ');
      const bool marked = f.gpu_only && !abilities_.gpu && f.severity != Severity::kOk;
      any_gpu_only |= marked;
      out_ += options::wrap((marked ? "[GPU] " : "") + f.title, style_.width, kFindingColumn) + "\n";
      for (const std::string& detail : f.details) indented(detail, kFindingColumn + 2);
    }
    if (abilities_.gpu || facts_.main_gpu() == nullptr) return;
    std::string text =
        "No GPU answers moraine through Vulkan: it computes on the CPU, and -ngl is answered with a line.";
    if (any_gpu_only)
      text += " [GPU] is for engines that use the GPU, and for moraine once its driver answers.";
    indented(text, 2);
  }

  void remedy() {
    if (!d_.remedy) return;
    const Remedy& r = *d_.remedy;
    heading(fmt::format("To let the GPU map {}", gib_text(r.pages * kPageBytes)));
    const uint64_t bytes = r.pages * kPageBytes;
    if (bytes % (uint64_t{1} << 30) == 0)
      indented(fmt::format("{0} GiB = {0} x 262144 pages of 4 KiB = {1} pages.", bytes >> 30, r.pages), 2);
    else
      indented(fmt::format("{} = {} pages of 4 KiB.", gib_text(bytes), r.pages), 2);
    int step = 0;
    for (const FileEdit& e : r.edits) {
      indented(fmt::format("{}. {} {}:", ++step, e.is_new ? "A new file" : "In", e.path), 2);
      for (const std::string& line : e.lines) out_ += "       " + shown(line) + "\n";
      if (e.lines.empty())
        for (const std::string& line : e.removed) out_ += "       take out: " + shown(line) + "\n";
    }
    for (const std::string& sentence : r.by_hand) indented(fmt::format("{}. {}", ++step, sentence), 2);
    for (const std::string& command : r.commands) out_ += fmt::format("  {}. {}\n", ++step, shown(command));
    for (const std::string& note : r.notes) indented(note, 2);
    if (!r.undo.empty()) {
      std::string undo;
      for (const std::string& command : r.undo) undo += (undo.empty() ? "" : "; ") + command;
      indented("The way back: " + shown(undo), 2);
    }
    if (!r.edits.empty())
      indented(
          "`sudo moraine doctor --write`, with the options of this run, makes the edits after asking, each "
          "with a "
          "backup beside it (.before-moraine), and leaves the commands to you.",
          2);
  }

  void models() {
    heading("Models that fit");
    if (d_.models.empty()) {
      indented("None of those that moraine knows by name.", 2);
      return;
    }
    bool any_gpu_speed = false;
    for (const Suggestion& s : d_.models) {
      std::string speed;
      if (s.gpu_speed) speed += fmt::format("about {} tok/s on the GPU", speed_text(*s.gpu_speed));
      if (s.cpu_speed)
        speed +=
            fmt::format("{}{} tok/s on the CPU", speed.empty() ? "about " : ", ", speed_text(*s.cpu_speed));
      if (!s.runs_here) speed += speed.empty() ? "not in this build yet" : "; not in this build yet";
      any_gpu_speed |= s.gpu_speed.has_value();
      out_ +=
          fmt::format("  {:<36}{:>9}   context {:>7}{}{}\n", full_name(*s.model), gb_text(s.model->weights),
                      count_text(static_cast<uint64_t>(s.n_ctx)), speed.empty() ? "" : "   ", speed);
    }
    std::string text;
    if (any_gpu_speed || facts_.measured_bandwidth)
      text = "Speeds are of one answer, from the memory's bandwidth and the share of it that engines reach. ";
    if (!facts_.measured_bandwidth) text += "--probe measures the CPU's bandwidth and adds its speeds.";
    indented(text, 2);
  }

  void next() {
    heading("Next");
    if (d_.remedy) {
      indented(d_.remedy->edits.empty()
                   ? "The commands above; then `moraine doctor` again."
                   : "`sudo moraine doctor --write`, the commands above, then `moraine doctor` "
                     "again.",
               2);
      return;
    }
    if (!need_.serve.empty()) {
      out_ += "  " + need_.serve + "\n";
      return;
    }
    for (const Suggestion& s : d_.models)
      if (s.runs_here) {
        indented(fmt::format("With that file here: moraine serve {}-{}.gguf -c {}", s.model->name,
                             s.model->quantization, std::min(s.n_ctx, 65536)),
                 2);
        return;
      }
    indented("moraine run MODEL.gguf", 2);
  }

  const SystemFacts& facts_;
  const Need& need_;
  const Diagnosis& d_;
  const Abilities& abilities_;
  const ReportStyle& style_;
  std::string out_;
};

}  // namespace

std::string text_report(const SystemFacts& facts, const Need& need, const Diagnosis& diagnosis,
                        const Abilities& abilities, const ReportStyle& style) {
  return Report(facts, need, diagnosis, abilities, style).make();
}

}  // namespace moraine::system
