// GPUs and their memory: /sys/class/drm for those with a driver, the PCI bus for the rest, KFD for the
// compiler's name of AMD's.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "system/facts.h"
#include "system/text.h"

namespace moraine::system {
namespace {

struct KnownGpu {
  uint32_t vendor, device;
  GpuKind kind;
  const char* name;
};
// For what people meet most with models: the kind decides which limits count. Public PCI ids.
constexpr KnownGpu kKnown[] = {
    {0x1002, 0x1586, GpuKind::kIntegrated, "AMD Radeon 8060S/8050S (Strix Halo)"},
    {0x1002, 0x150e, GpuKind::kIntegrated, "AMD Radeon 890M/880M (Strix Point)"},
    {0x1002, 0x1114, GpuKind::kIntegrated, "AMD Radeon 860M/840M (Krackan Point)"},
    {0x1002, 0x15bf, GpuKind::kIntegrated, "AMD Radeon 780M (Phoenix)"},
    {0x1002, 0x1900, GpuKind::kIntegrated, "AMD Radeon 780M (Hawk Point)"},
    {0x1002, 0x1681, GpuKind::kIntegrated, "AMD Radeon 680M (Rembrandt)"},
    {0x1002, 0x1638, GpuKind::kIntegrated, "AMD Radeon Graphics (Cezanne)"},
    {0x1002, 0x1636, GpuKind::kIntegrated, "AMD Radeon Graphics (Renoir)"},
    {0x1002, 0x164e, GpuKind::kIntegrated, "AMD Radeon Graphics (Raphael)"},
    {0x1002, 0x13c0, GpuKind::kIntegrated, "AMD Radeon Graphics (Granite Ridge)"},
    {0x1002, 0x744c, GpuKind::kDiscrete, "AMD Radeon RX 7900 (Navi 31)"},
    {0x1002, 0x7550, GpuKind::kDiscrete, "AMD Radeon RX 9070 (Navi 48)"},
};

const char* vendor_name(uint32_t vendor) {
  switch (vendor) {
    case 0x1002:
      return "AMD";
    case 0x10de:
      return "NVIDIA";
    case 0x8086:
      return "Intel";
    default:
      return "GPU";
  }
}

void name_it(GpuFacts& gpu) {
  for (const KnownGpu& known : kKnown)
    if (known.vendor == gpu.vendor && known.device == gpu.device) {
      gpu.name = known.name;
      gpu.kind = known.kind;
      return;
    }
  if (gpu.vendor == 0x8086) {  // Arc cards apart, Intel's are part of the CPU
    const uint32_t family = gpu.device >> 8;
    gpu.kind = family == 0x56 || family == 0xe2 ? GpuKind::kDiscrete : GpuKind::kIntegrated;
  }
  gpu.name = fmt::format("{} {:04x}:{:04x}", vendor_name(gpu.vendor), gpu.vendor, gpu.device);
  if (gpu.vendor == 0x10de) gpu.kind = GpuKind::kDiscrete;
  // An integrated GPU's own memory is a small part of what it may map; a card's is the larger one, mostly.
  if (gpu.is_amd() && gpu.vram_total && gpu.gtt_total)
    gpu.kind = *gpu.vram_total < uint64_t{2} << 30 ? GpuKind::kIntegrated : GpuKind::kDiscrete;
}

std::string uevent_value(std::string_view uevent, std::string_view key) { return shell_value(uevent, key); }

GpuFacts read_gpu(const RootFiles& files, const std::string& device) {
  GpuFacts gpu;
  gpu.vendor = read_number<uint32_t>(files, device + "/vendor", 16).value_or(0);
  gpu.device = read_number<uint32_t>(files, device + "/device", 16).value_or(0);
  const std::string uevent = files.read(device + "/uevent", 4096).text;
  gpu.driver = uevent_value(uevent, "DRIVER");
  gpu.address = uevent_value(uevent, "PCI_SLOT_NAME");
  const auto memory = [&](const char* name) {
    auto bytes = read_number<uint64_t>(files, device + "/" + name);
    return bytes && *bytes > 0 ? bytes : std::nullopt;
  };
  gpu.vram_total = memory("mem_info_vram_total");
  gpu.vram_used = memory("mem_info_vram_used");
  gpu.gtt_total = memory("mem_info_gtt_total");
  gpu.gtt_used = memory("mem_info_gtt_used");
  name_it(gpu);
  return gpu;
}

// 110501 is gfx1151: major, minor and stepping, two digits each, the last in hexadecimal.
void add_targets(const RootFiles& files, std::vector<GpuFacts>& gpus) {
  const std::string nodes = "/sys/class/kfd/kfd/topology/nodes";
  for (const std::string& node : files.list(nodes)) {
    const RootFiles::Text properties = files.read(nodes + "/" + node + "/properties");
    uint32_t device = 0, version = 0;
    for (const std::string_view line : lines_of(properties.text)) {
      const auto words = words_of(line);
      if (words.size() != 2) continue;
      if (words[0] == "device_id") device = number_of<uint32_t>(words[1]).value_or(0);
      if (words[0] == "gfx_target_version") version = number_of<uint32_t>(words[1]).value_or(0);
    }
    if (version == 0 || version > 999999) continue;
    for (GpuFacts& gpu : gpus)
      if (gpu.is_amd() && gpu.device == device)
        gpu.target = fmt::format("gfx{}{}{:x}", version / 10000, version / 100 % 100, version % 100);
  }
}

// "Model: NVIDIA H200", from NVIDIA's own driver; the kernel knows the card's number alone.
void add_nvidia_names(const RootFiles& files, std::vector<GpuFacts>& gpus) {
  for (GpuFacts& gpu : gpus) {
    if (gpu.vendor != 0x10de || gpu.address.empty()) continue;
    const RootFiles::Text t = files.read("/proc/driver/nvidia/gpus/" + gpu.address + "/information", 4096);
    for (const std::string_view line : lines_of(t.text))
      if (line.starts_with("Model:") && !trim(line.substr(6)).empty()) gpu.name = printable(line.substr(6));
  }
}

bool is_card(std::string_view name) {  // "card1", not its connectors "card1-DP-1"
  return name.starts_with("card") && number_of<uint32_t>(name.substr(4)).has_value();
}

}  // namespace

std::vector<GpuFacts> read_gpus(const RootFiles& files) {
  constexpr size_t kMost = 32;
  std::vector<GpuFacts> gpus;
  std::set<std::string> seen;
  for (const std::string& card : files.list("/sys/class/drm")) {
    if (!is_card(card) || gpus.size() == kMost) continue;
    GpuFacts gpu = read_gpu(files, "/sys/class/drm/" + card + "/device");
    if (gpu.vendor == 0) continue;  // a display of the firmware, a virtual one
    if (!gpu.address.empty()) seen.insert(gpu.address);
    gpus.push_back(std::move(gpu));
  }
  for (const std::string& address : files.list("/sys/bus/pci/devices")) {
    const std::string device = "/sys/bus/pci/devices/" + address;
    const auto pci_class = read_number<uint32_t>(files, device + "/class", 16);
    if (!pci_class || *pci_class >> 16 != 0x03 || seen.contains(address) || gpus.size() == kMost) continue;
    GpuFacts gpu = read_gpu(files, device);
    if (gpu.vendor == 0) continue;
    gpu.address = printable(address);
    gpus.push_back(std::move(gpu));
  }
  add_targets(files, gpus);
  add_nvidia_names(files, gpus);
  return gpus;
}

GpuParameters read_gpu_parameters(const RootFiles& files) {
  GpuParameters p;
  for (const char* module : {"amdttm", "ttm"}) {
    const std::string folder = fmt::format("/sys/module/{}/parameters/", module);
    if (!files.exists(folder)) continue;
    p.ttm_module = module;
    p.ttm_pages_limit = read_number<uint64_t>(files, folder + "pages_limit");
    p.ttm_page_pool_size = read_number<uint64_t>(files, folder + "page_pool_size");
    break;
  }
  p.amdgpu_gttsize = read_number<int64_t>(files, "/sys/module/amdgpu/parameters/gttsize");
  if (const RootFiles::Text t = files.read("/sys/module/amdgpu/parameters/lockup_timeout", 256))
    p.amdgpu_lockup_timeout = printable(t.text) == "(null)" ? "" : printable(t.text);
  return p;
}

}  // namespace moraine::system
