// The system as a whole: kernel, distribution, firmware, who the user is, and the parts of read_*.cpp.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "system/facts.h"
#include "system/text.h"

namespace moraine::system {
namespace {

KernelFacts read_kernel(const RootFiles& files) {
  KernelFacts k;
  k.release = read_line(files, "/proc/sys/kernel/osrelease");
  if (k.release.empty()) {  // "Linux version 6.18.5-zen1-1-zen (...) ..."
    const std::string version = read_line(files, "/proc/version");
    const auto words = words_of(version);
    if (words.size() > 2 && words[0] == "Linux" && words[1] == "version") k.release = words[2];
  }
  k.version = parse_kernel_version(k.release);
  const std::string line = files.read("/proc/cmdline", 8192).text;
  for (const char c : trim(line)) k.command_line += c < 0x20 || c > 0x7e ? '?' : c;
  return k;
}

DistroFacts read_distro(const RootFiles& files) {
  RootFiles::Text t = files.read("/etc/os-release", 16384);
  if (!t) t = files.read("/usr/lib/os-release", 16384);
  DistroFacts d{shell_value(t.text, "ID"), shell_value(t.text, "ID_LIKE"),
                shell_value(t.text, "PRETTY_NAME")};
  d.is_omarchy = d.id == "omarchy" ||
                 shell_value(files.read("/etc/default/limine").text, "TARGET_OS_NAME") == "Omarchy" ||
                 files.exists("/usr/share/omarchy");
  return d;
}

FirmwareFacts read_firmware(const RootFiles& files) {
  const std::string dmi = "/sys/class/dmi/id/";
  return {read_line(files, dmi + "sys_vendor"), read_line(files, dmi + "product_name"),
          read_line(files, dmi + "bios_version"), read_line(files, dmi + "bios_date")};
}

std::string read_container(const RootFiles& files) {
  if (files.exists("/run/.containerenv")) return "podman";
  if (files.exists("/.dockerenv")) return "docker";
  const std::string manager = read_line(files, "/run/systemd/container");
  if (!manager.empty()) return manager;
  return files.exists("/run/host/container-manager") ? "a container" : "";
}

struct User {
  std::optional<uint32_t> uid;
  std::set<uint32_t> groups;
};
User read_user(const RootFiles& files) {
  User user;
  const RootFiles::Text status = files.read("/proc/self/status", 65536);
  for (const std::string_view line : lines_of(status.text)) {
    const auto words = words_of(line);
    if (words.size() > 2 && words[0] == "Uid:") user.uid = number_of<uint32_t>(words[2]);  // effective
    if (words.size() > 2 && words[0] == "Gid:")
      if (const auto gid = number_of<uint32_t>(words[2])) user.groups.insert(*gid);
    if (!words.empty() && words[0] == "Groups:")
      for (size_t i = 1; i < words.size(); ++i)
        if (const auto gid = number_of<uint32_t>(words[i])) user.groups.insert(*gid);
  }
  return user;
}

// The number in the third field of the line of /etc/passwd or /etc/group that `name` begins.
std::optional<uint32_t> id_of(std::string_view database, std::string_view name) {
  for (const std::string_view line : lines_of(database)) {
    if (!line.starts_with(name) || line.size() <= name.size() || line[name.size()] != ':') continue;
    const size_t second = line.find(':', name.size() + 1);
    if (second == std::string_view::npos) continue;
    const std::string_view rest = line.substr(second + 1);
    return number_of<uint32_t>(rest.substr(0, rest.find(':')));
  }
  return std::nullopt;
}

// Live, the system itself answers (modes, groups, ACLs); in a captured tree, the groups that own the nodes
// on every distribution: render, and video before it. NVIDIA's are open to all.
std::vector<DeviceNode> read_nodes(const RootFiles& files, const User& user) {
  std::vector<std::string> paths;
  for (const std::string& name : files.list("/dev/dri"))
    if (name.starts_with("renderD") && printable(name) == name) paths.push_back("/dev/dri/" + name);
  for (const char* path : {"/dev/kfd", "/dev/nvidiactl", "/dev/nvidia0"})
    if (files.exists(path)) paths.emplace_back(path);
  const std::string groups = files.read("/etc/group").text;
  std::vector<DeviceNode> nodes;
  for (const std::string& path : paths) {
    DeviceNode node{path, std::nullopt};
    if (files.is_live()) {
      node.usable = ::access(path.c_str(), R_OK | W_OK) == 0;
    } else if (user.uid) {
      bool in_group = *user.uid == 0 || path.starts_with("/dev/nvidia");
      for (const char* group : {"render", "video"})
        if (const auto gid = id_of(groups, group)) in_group |= user.groups.contains(*gid);
      node.usable = in_group;
    }
    nodes.push_back(std::move(node));
  }
  return nodes;
}

std::string user_name(const RootFiles& files, const User& user) {
  if (!user.uid) return "";
  const std::string passwd = files.read("/etc/passwd").text;
  for (const std::string_view line : lines_of(passwd)) {
    const std::string_view name = line.substr(0, line.find(':'));
    if (!name.empty() && id_of(line, name) == user.uid) return printable(name);
  }
  return fmt::format("uid {}", *user.uid);
}

}  // namespace

KernelVersion parse_kernel_version(std::string_view release) noexcept {
  KernelVersion v;
  for (int* part : {&v.major, &v.minor, &v.patch}) {
    const auto [end, error] = std::from_chars(release.data(), release.data() + release.size(), *part);
    if (error != std::errc() || *part < 0) return part == &v.major ? KernelVersion{} : v;
    release.remove_prefix(static_cast<size_t>(end - release.data()));
    if (release.empty() || release.front() != '.') break;
    release.remove_prefix(1);
  }
  return v;
}

const GpuFacts* SystemFacts::main_gpu() const {
  const GpuFacts* best = nullptr;
  const auto rank = [](const GpuFacts& g) {
    return std::pair(g.kind != GpuKind::kIntegrated, g.vram_total.value_or(0));
  };
  for (const GpuFacts& g : gpus)
    if (g.computes() && (best == nullptr || rank(*best) < rank(g))) best = &g;
  return best;
}

uint64_t SystemFacts::installed_memory() const {
  constexpr uint64_t kStep = uint64_t{8} << 30;
  uint64_t bytes = memory.total;
  for (const GpuFacts& g : gpus)
    if (g.kind == GpuKind::kIntegrated) bytes += std::min(g.vram_total.value_or(0), uint64_t{1} << 40);
  if (memory.total == 0 || bytes > uint64_t{1} << 50) return memory.total;
  return (bytes + kStep - 1) / kStep * kStep;
}

SystemFacts read_system(const RootFiles& files) {
  SystemFacts s;
  const User user = read_user(files);
  s.cpu = read_cpu(files);
  s.memory = read_system_memory(files);
  s.gpus = read_gpus(files);
  s.parameters = read_gpu_parameters(files);
  s.nodes = read_nodes(files, user);
  s.user = user_name(files, user);
  s.kernel = read_kernel(files);
  s.distro = read_distro(files);
  s.firmware = read_firmware(files);
  s.boot = read_boot(files);
  s.container = read_container(files);
  return s;
}

}  // namespace moraine::system
