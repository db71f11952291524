// GPUs: what they may map, which settings say so and whether those last, driver, kernel, firmware, rights.
// Facts about AMD's APUs: docs/strix-halo.md names where each comes from.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

#include "system/boot_settings.h"
#include "system/judge.h"
#include "system/text.h"

namespace moraine::system {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20, kGiB = uint64_t{1} << 30;
constexpr KernelVersion kRocmSeesAll{6, 16, 9}, kAmdAsksFor{6, 18, 4}, kShortWatchdog{7, 0, 0};

class GpuJudge {
 public:
  GpuJudge(const SystemFacts& facts, const Need& need, const Abilities& abilities, Diagnosis& out)
      : facts_(facts), need_(need), abilities_(abilities), out_(out), gpu_(facts.main_gpu()) {}

  void judge() {
    if (gpu_ == nullptr) {
      none();
      return;
    }
    if (!driver()) return;
    if (gpu_->kind == GpuKind::kIntegrated && gpu_->is_amd())
      shared_memory();
    else if (gpu_->kind == GpuKind::kIntegrated)
      add(Severity::kNote, "gpu-memory",
          "What this GPU may map of the memory is up to its driver: there is nothing to set.");
    else
      own_memory();
    if (gpu_->is_strix_halo()) kernel();
    command_line();
    access();
  }

 private:
  void add(Severity severity, const char* id, std::string title, std::vector<std::string> details = {}) {
    out_.findings.push_back({severity, id, true, std::move(title), std::move(details)});
  }
  // What a GPU engine cannot do without is a problem only to who runs one.
  Severity needed() const { return abilities_.gpu ? Severity::kProblem : Severity::kWarning; }

  void none() {
    if (need_.gpu_bytes > 0)
      add(Severity::kProblem, "gpu",
          fmt::format("No GPU was found, so none can map {}.", gib_text(need_.gpu_bytes)),
          facts_.container.empty()
              ? std::vector<std::string>{}
              : std::vector<std::string>{"Give the container one: docker run --device /dev/dri."});
    else
      out_.findings.push_back(
          {Severity::kNote, "gpu", false, "No GPU was found: models run on the CPU.", {}});
  }

  bool driver() {
    const bool nomodeset = has_word(facts_.kernel.command_line, "nomodeset");
    if (!gpu_->driver.empty() || gpu_->vram_total) return true;
    std::vector<std::string> details;
    if (nomodeset)
      details.emplace_back(
          "nomodeset on the kernel's command line keeps graphics drivers away: take it out.");
    else if (gpu_->is_strix_halo())
      details.push_back(fmt::format("Linux {} is likely too old for it: AMD asks for 6.18.4 or newer.",
                                    facts_.kernel.release));
    else
      details.emplace_back("`sudo dmesg | grep -i -e drm -e amdgpu -e nvidia` says why.");
    add(needed(), "gpu-driver", fmt::format("No driver runs {}.", gpu_->name), details);
    return false;
  }

  // ---- an APU: memory is shared, and limits decide how much of it

  void shared_memory() {
    const GpuParameters& p = facts_.parameters;
    const auto pool = mappable_memory(facts_);
    if (!pool) {
      add(Severity::kWarning, "gpu-memory", "How much memory the GPU can map cannot be read from /sys.",
          {"Looked for: mem_info_gtt_total of the card, /sys/module/ttm/parameters/pages_limit."});
      return;
    }
    const uint64_t installed = facts_.installed_memory();
    const uint64_t ttm = ttm_bytes();
    if (facts_.memory.total > 0 && ttm > facts_.memory.total)
      add(Severity::kWarning, "ttm-nonsense",
          fmt::format("{}.pages_limit is {} pages, {}: more than the {} that Linux has.", p.ttm_module,
                      count_text(*p.ttm_pages_limit), gib_text(ttm), gib_text(facts_.memory.total)),
          {"A limit that cannot be reached protects nothing: the desktop is killed for want of memory "
           "first."});

    const GpuShare share = gpu_share(installed);
    uint64_t wanted = share.accepted, target = share.advised;
    std::string range = gib_text(share.advised);
    if (share.accepted < share.advised) range = fmt::format("{} to {}", share.accepted / kGiB, range);
    std::string wish = fmt::format("{} are advised for a machine with {}", range, gib_text(installed));
    if (need_.gpu_bytes > 0) {
      wanted = target = need_.gpu_bytes;
      wish = fmt::format("{} are asked for", gib_text(wanted));
    } else if (need_.model_bytes > 0) {
      wanted = need_.model_bytes + kGiB;  // what the driver and the display map beside a model
      target = std::max(share.advised, (wanted + kGiB - 1) / kGiB * kGiB);
      wish = fmt::format("{} {} {}, and the display up to 1 GiB", need_.what, takes(need_),
                         gib_text(need_.model_bytes));
    } else if (installed == 0) {
      wish = "how much is advised depends on the memory, which cannot be read";
    }

    Finding f{Severity::kOk, "gpu-memory", true,
              fmt::format("The GPU can map {}; {}.", gib_text(*pool), wish), arithmetic_of_limits(*pool)};
    const bool short_of_it = *pool < wanted;
    const bool too_much = installed > 0 && target > share.most;
    if (short_of_it) {
      const bool nearly = *pool >= wanted / 100 * 95 && !too_much;
      f.severity = nearly                  ? Severity::kWarning
                   : need_.gpu_bytes > 0   ? Severity::kProblem
                   : need_.model_bytes > 0 ? needed()
                                           : Severity::kWarning;
      if (too_much)
        f.details.push_back(
            fmt::format("With {} installed, {} is the most that leaves Linux and a desktop room.",
                        gib_text(installed), gib_text(share.most)));
      else if (need_.model_bytes > 0 && target > wanted)
        f.details.push_back(
            fmt::format("Advised for a machine with {}: {}.", gib_text(installed), gib_text(target)));
    }
    out_.findings.push_back(std::move(f));
    conflict(*pool, wanted);
    if (too_much) target = share.advised;  // what the machine can spare instead
    if (installed == 0) target = need_.gpu_bytes;
    const bool beyond_memory = facts_.memory.total > 0 && ttm > facts_.memory.total;
    const bool is_kept = lasting();
    if (facts_.container.empty() && target > 0) {
      if ((short_of_it && *pool < target) || beyond_memory)
        set_limit(target);
      else if (!is_kept && ttm > 0)
        set_limit(ttm);
    }
    dedicated_memory();
  }

  uint64_t ttm_bytes() const {
    const uint64_t pages = facts_.parameters.ttm_pages_limit.value_or(0);
    return pages > UINT64_MAX / kPageBytes ? UINT64_MAX : pages * kPageBytes;
  }
  uint64_t gttsize_bytes() const {  // 0: not set
    const int64_t mib = facts_.parameters.amdgpu_gttsize.value_or(-1);
    return mib <= 0 || mib > int64_t{1} << 40 ? 0 : static_cast<uint64_t>(mib) * kMiB;
  }

  std::vector<std::string> arithmetic_of_limits(uint64_t pool) const {
    const GpuParameters& p = facts_.parameters;
    std::vector<std::string> lines;
    if (p.ttm_pages_limit)
      lines.push_back(fmt::format("{}.pages_limit = {} pages x 4 KiB = {}.", p.ttm_module, *p.ttm_pages_limit,
                                  gib_text(ttm_bytes())));
    if (gttsize_bytes() > 0)
      lines.push_back(
          fmt::format("amdgpu.gttsize = {} MiB = {}.", *p.amdgpu_gttsize, gib_text(gttsize_bytes())));
    if (gpu_->gtt_total) lines.push_back(fmt::format("The driver's GTT: {}.", gib_text(*gpu_->gtt_total)));
    if (lines.size() > 1) lines.push_back(fmt::format("The smallest counts: {}.", gib_text(pool)));
    return lines;
  }

  // Two parameters for one thing.
  void conflict(uint64_t pool, uint64_t wanted) {
    const uint64_t gtt = gttsize_bytes(), ttm = ttm_bytes();
    if (gtt == 0) return;
    const std::string deprecated =
        "amdgpu.gttsize is deprecated (the kernel says so when it starts): ttm.pages_limit alone is enough.";
    if (ttm == 0 || (gtt > ttm ? gtt - ttm : ttm - gtt) < kGiB / 8) {
      add(Severity::kNote, "gttsize", "amdgpu.gttsize is set, to what TTM allows anyway.", {deprecated});
      return;
    }
    std::vector<std::string> details = {
        fmt::format("amdgpu.gttsize counts MiB: {} MiB = {}; ttm.pages_limit counts pages of 4 KiB: {}.",
                    *facts_.parameters.amdgpu_gttsize, gib_text(gtt), gib_text(ttm)),
        fmt::format("The smaller one, {}, decides: {} is what engines get.",
                    gtt < ttm ? "amdgpu.gttsize" : "ttm.pages_limit", gib_text(std::min(gtt, ttm))),
        deprecated};
    add(pool >= wanted ? Severity::kNote : Severity::kWarning, "gttsize",
        "amdgpu.gttsize and ttm.pages_limit are both set and differ.", details);
  }

  void set_limit(uint64_t target) {
    const uint64_t pages = (target + kPageBytes - 1) / kPageBytes;
    const bool gttsize_in_the_way = gttsize_bytes() > 0 && gttsize_bytes() < target;
    out_.remedy = make_remedy(facts_, pages, gttsize_in_the_way);
    Remedy& r = *out_.remedy;
    if (r.edits.empty() && r.by_hand.empty() && ttm_bytes() < target &&
        !find_settings(facts_.boot, ttm_name()).empty())
      r.notes.insert(r.notes.begin(),
                     "The files say so already: what is missing is the command and the reboot.");
  }

  std::string ttm_name() const {
    const std::string& module = facts_.parameters.ttm_module;
    return (module.empty() ? "ttm" : module) + ".pages_limit";
  }

  // Whether what holds now will hold after the next kernel update, and the next boot. False: the limit will
  // not.
  bool lasting() {
    bool is_kept = true;
    for (const std::string& name : {ttm_name(), std::string("amdgpu.gttsize")}) {
      const auto running = command_line_value(facts_.kernel.command_line, name);
      std::vector<Setting> kept, made;  // made: in files that a tool writes anew
      for (Setting& s : find_settings(facts_.boot, name))
        (is_made(s.path) ? made : kept).push_back(std::move(s));
      if (running && kept.empty() && !made.empty()) {
        add(Severity::kWarning, "settings-not-kept",
            fmt::format("{}={} stands in {} alone, which the next kernel update writes anew.", name,
                        printable(*running), made.front().path));
        is_kept &= name != ttm_name();
      }
      for (const Setting& s : kept)
        if (running && s.value != *running)
          add(Severity::kWarning, "settings-differ",
              fmt::format("{} is {} in {}, but the running kernel was given {}.", name, s.value, s.path,
                          printable(*running)),
              {"Either the bootloader's files were not made anew after the change, or the reboot is missing, "
               "or two "
               "places contradict each other: keep one."});
    }
    return is_kept;
  }

  bool is_made(std::string_view path) const {
    return facts_.boot.bootloader == Bootloader::kLimineEntryTool && path.ends_with("/limine.conf");
  }

  void dedicated_memory() {
    const uint64_t vram = gpu_->vram_total.value_or(0);
    if (vram <= kGiB) return;
    add(vram >= 4 * kGiB ? Severity::kWarning : Severity::kNote, "bios-memory",
        fmt::format("The BIOS keeps {} as the GPU's own memory, which Linux cannot use for anything else.",
                    gib_text(vram)),
        {"Set it to the smallest, 512 MB (in the BIOS: UMA Frame Buffer Size, iGPU Memory or Dedicated "
         "Graphics "
         "Memory); what is given back can be mapped as it is needed.",
         "doctor cannot change it; the way back is the same menu."});
  }

  // ---- a card: its memory is its own

  void own_memory() {
    if (!gpu_->vram_total) {
      add(Severity::kNote, "gpu-memory",
          fmt::format("{}: the kernel does not say how much memory it has.", gpu_->name),
          gpu_->vendor == 0x10de ? std::vector<std::string>{"nvidia-smi does."} : std::vector<std::string>{});
      return;
    }
    const uint64_t vram = *gpu_->vram_total;
    const uint64_t wanted = need_.gpu_bytes > 0 ? need_.gpu_bytes : need_.model_bytes;
    if (wanted <= vram) {
      add(Severity::kOk, "gpu-memory",
          wanted ? fmt::format("{} has {} of its own; {} are wanted.", gpu_->name, gib_text(vram),
                               gib_text(wanted))
                 : fmt::format("{} has {} of its own.", gpu_->name, gib_text(vram)));
      return;
    }
    add(need_.gpu_bytes > 0 ? Severity::kProblem : needed(), "gpu-memory",
        fmt::format("{} has {} of its own; {} are wanted.", gpu_->name, gib_text(vram), gib_text(wanted)),
        {"A card's memory cannot be made larger: let -ngl auto leave what does not fit, experts first, to "
         "the "
         "CPU, or take a smaller model, quantisation or context. What a card maps of the main memory (GTT) "
         "is behind the PCIe bus, too slow for weights."});
  }

  // ---- what else decides

  void kernel() {
    const KernelVersion v = facts_.kernel.version;
    if (v == KernelVersion{}) {
      add(Severity::kNote, "kernel", "The kernel's version cannot be read.");
      return;
    }
    if (v < kRocmSeesAll)
      add(Severity::kWarning, "kernel", fmt::format("Linux {} is old for Strix Halo.", facts_.kernel.release),
          {"Up to 6.15, programs on ROCm see about 15.5 GB whatever the limit is; 6.16.9 mended that.",
           "AMD asks for 6.18.4 or newer. Programs on Vulkan are not concerned by the former."});
    else if (v < kAmdAsksFor)
      add(Severity::kNote, "kernel",
          fmt::format("Linux {} works; AMD asks for 6.18.4 or newer on Strix Halo.", facts_.kernel.release));
    else
      add(Severity::kOk, "kernel",
          fmt::format("Linux {} is recent enough for Strix Halo.", facts_.kernel.release));
    const auto& timeout = facts_.parameters.amdgpu_lockup_timeout;
    if (v >= kShortWatchdog && (!timeout || timeout->empty()))
      add(Severity::kNote, "watchdog",
          "From Linux 7.0 the driver resets the GPU when one piece of work takes over 2 seconds.",
          {"Engines that submit long pieces lose their device in long prompts; the known remedy is "
           "amdgpu.lockup_timeout=10000,60000,10000,10000 beside the parameters below. Without such losses, "
           "leave it."});
    else if (timeout && !timeout->empty())
      add(Severity::kOk, "watchdog", fmt::format("amdgpu.lockup_timeout is set: {}.", *timeout));
  }

  void command_line() {
    if (has_word(facts_.kernel.command_line, "amd_iommu=off"))
      add(Severity::kNote, "iommu", "amd_iommu=off is on the kernel's command line: it disables the NPU.",
          {"It is often recommended for speed; doctor never does, and nothing here needs it."});
    for (const ConfigFile& f : facts_.boot.files)
      if (f.error == EACCES || f.error == EPERM) {
        add(Severity::kNote, "unreadable",
            fmt::format("{} cannot be read by this user: `sudo moraine doctor` sees more.", f.path));
        break;
      }
    if (!facts_.boot.also_found.empty() && gpu_->kind == GpuKind::kIntegrated)
      add(Severity::kNote, "bootloader",
          fmt::format("Traces of {} were found beside {}: what follows is for the latter.",
                      bootloader_name(facts_.boot.also_found.front()),
                      bootloader_name(facts_.boot.bootloader)));
  }

  void access() {
    const bool any_render = std::any_of(facts_.nodes.begin(), facts_.nodes.end(), [](const DeviceNode& n) {
      return n.path.starts_with("/dev/dri/") || n.path.starts_with("/dev/nvidia");
    });
    if (!any_render) {
      add(needed(), "gpu-access",
          "There is no /dev/dri/renderD* for programs to open: they cannot reach the GPU.",
          {facts_.container.empty() ? "The driver makes it; see `sudo dmesg | grep -i drm`."
                                    : "Give the container the device: docker run --device /dev/dri."});
      return;
    }
    std::string refused;
    for (const DeviceNode& n : facts_.nodes)
      if (n.usable && !*n.usable) refused += (refused.empty() ? "" : " and ") + n.path;
    if (!refused.empty()) {
      const bool named = !facts_.user.empty() && !facts_.user.starts_with("uid ");
      add(needed(), "gpu-access",
          fmt::format("{} may not use {}.", named ? facts_.user : "This user", refused),
          {fmt::format(
              "sudo usermod -aG render,video {}   and log in again; back: sudo gpasswd -d {} render.",
              named ? facts_.user : "$USER", named ? facts_.user : "$USER")});
      return;
    }
    const bool told = std::all_of(facts_.nodes.begin(), facts_.nodes.end(),
                                  [](const DeviceNode& n) { return n.usable.has_value(); });
    if (told)
      add(Severity::kOk, "gpu-access", "This user may use the GPU.");
    else
      add(Severity::kNote, "gpu-access", "Whether the user may use the GPU cannot be told from here.");
  }

  const SystemFacts& facts_;
  const Need& need_;
  const Abilities& abilities_;
  Diagnosis& out_;
  const GpuFacts* gpu_;
};

}  // namespace

std::optional<uint64_t> mappable_memory(const SystemFacts& facts) {
  const GpuFacts* gpu = facts.main_gpu();
  std::optional<uint64_t> least;
  const auto limit = [&](std::optional<uint64_t> bytes) {
    if (bytes && *bytes > 0) least = std::min(least.value_or(*bytes), *bytes);
  };
  if (gpu) limit(gpu->gtt_total);
  if (const auto pages = facts.parameters.ttm_pages_limit)
    limit(*pages > UINT64_MAX / kPageBytes ? UINT64_MAX : *pages * kPageBytes);
  if (least && facts.memory.total > 0) least = std::min(*least, facts.memory.total);
  return least;
}

void judge_gpu(const SystemFacts& facts, const Need& need, const Abilities& abilities, Diagnosis& out) {
  GpuJudge(facts, need, abilities, out).judge();
}

}  // namespace moraine::system
