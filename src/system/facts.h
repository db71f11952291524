// What there is to know about a system before a model is loaded on it: plain data, read once by
// read_system() from any root, judged in judge.h. What could not be read stays empty; texts are printable
// (no control characters), numbers are as the system gave them, sensible or not.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/root_files.h"
#include "base/system_memory.h"

namespace moraine::system {

struct CpuFacts {
  std::string model;               // "AMD RYZEN AI MAX+ 395 w/ Radeon 8060S"
  int n_threads = 0, n_cores = 0;  // hardware threads and physical cores; 0: not known
  std::optional<double> quota;     // CPUs' worth of time that a control group allows
  bool avx2 = false, avx512_vnni = false, amx_int8 = false;  // with all that goes with them
};

enum class GpuKind : uint8_t { kIntegrated, kDiscrete, kUnknown };

struct GpuFacts {
  std::string address;  // on the PCI bus: "0000:c5:00.0"; may be empty
  uint32_t vendor = 0, device = 0;
  std::string name;    // "AMD Radeon 8060S (Strix Halo)", or "AMD 1002:abcd"
  std::string driver;  // "amdgpu"; empty: no driver took it
  GpuKind kind = GpuKind::kUnknown;
  std::string target;                                                  // "gfx1151", from KFD
  std::optional<uint64_t> vram_total, vram_used, gtt_total, gtt_used;  // bytes
  // By a vendor whose GPUs compute: the displays of servers and virtual machines do not.
  bool computes() const { return vendor == 0x1002 || vendor == 0x10de || vendor == 0x8086; }
  bool is_amd() const { return vendor == 0x1002; }
  bool is_strix_halo() const { return is_amd() && device == 0x1586; }
};

// Of the modules in the running kernel.
struct GpuParameters {
  std::string ttm_module;                            // "ttm" or "amdttm" (DKMS); empty: neither is there
  std::optional<uint64_t> ttm_pages_limit;           // pages of 4 KiB
  std::optional<uint64_t> ttm_page_pool_size;        // pages of 4 KiB
  std::optional<int64_t> amdgpu_gttsize;             // MiB; -1: as TTM allows
  std::optional<std::string> amdgpu_lockup_timeout;  // "" where unset
};

struct DeviceNode {
  std::string path;            // "/dev/dri/renderD128"
  std::optional<bool> usable;  // by this user; empty: cannot be told
};

struct KernelVersion {
  int major = 0, minor = 0, patch = 0;  // 0.0.0: not known
  auto operator<=>(const KernelVersion&) const = default;
};

struct KernelFacts {
  std::string release;  // "6.18.5-zen1-1-zen"
  KernelVersion version;
  std::string command_line;
};

struct DistroFacts {
  std::string id, id_like, name;  // "arch", "", "Omarchy 3.2"
  bool is_omarchy = false;
};

struct FirmwareFacts {
  std::string vendor, product, bios_version, bios_date;
};

enum class Bootloader : uint8_t { kUnknown, kLimine, kLimineEntryTool, kGrub, kSystemdBoot };

// A file that gives parameters to the kernel or its modules.
struct ConfigFile {
  std::string path;
  std::string text;  // byte for byte
  int error = 0;     // errno; not 0: it is there and could not be read
};

struct BootFacts {
  Bootloader bootloader = Bootloader::kUnknown;
  std::vector<Bootloader> also_found;  // others that left traces
  std::vector<ConfigFile> files;
  std::vector<std::string> tools;  // of those that doctor speaks of: "grubby", "limine-mkinitcpio", ...
  bool has_tool(std::string_view name) const;
  const ConfigFile* file(std::string_view path) const;  // null: not there
};

struct SystemFacts {
  CpuFacts cpu;
  SystemMemory memory;
  std::vector<GpuFacts> gpus;
  GpuParameters parameters;
  std::vector<DeviceNode> nodes;
  std::string user;  // its name, "uid 1000", or empty
  KernelFacts kernel;
  DistroFacts distro;
  FirmwareFacts firmware;
  BootFacts boot;
  std::string container;                     // "docker", "podman", ...; empty: none seen
  std::optional<double> measured_bandwidth;  // bytes a second that this CPU reads memory with; by the probe

  const GpuFacts* main_gpu() const;  // a card before an integrated one, then by memory; null: none
  // What the firmware built in: what Linux has, and what it gave to the GPU, rounded up to 8 GiB. 0: unknown.
  uint64_t installed_memory() const;
};

// Never throws for what the system holds.
SystemFacts read_system(const RootFiles& files);

// Parts of the above; each reads its own files.
CpuFacts read_cpu(const RootFiles& files);
std::vector<GpuFacts> read_gpus(const RootFiles& files);
GpuParameters read_gpu_parameters(const RootFiles& files);
BootFacts read_boot(const RootFiles& files);

const char* bootloader_name(Bootloader bootloader) noexcept;  // "Limine"
KernelVersion parse_kernel_version(std::string_view release) noexcept;

}  // namespace moraine::system
