// Which bootloader starts the kernel, and the files that give it parameters. What to write into them is
// boot_settings.h.
#include <cerrno>

#include "system/facts.h"
#include "system/text.h"

namespace moraine::system {
namespace {

constexpr const char* kTools[] = {"limine-mkinitcpio", "limine-update",  "grubby",           "update-grub",
                                  "grub2-mkconfig",    "grub-mkconfig",  "mkinitcpio",       "dracut",
                                  "update-initramfs",  "kernel-install", "reinstall-kernels"};

constexpr const char* kLimineConfigs[] = {
    "/boot/limine.conf",           "/boot/limine/limine.conf",          "/boot/EFI/limine/limine.conf",
    "/boot/EFI/BOOT/limine.conf",  "/boot/EFI/arch-limine/limine.conf", "/efi/limine.conf",
    "/efi/EFI/limine/limine.conf", "/efi/EFI/BOOT/limine.conf"};

constexpr const char* kLoaders[] = {"/efi/loader", "/boot/loader", "/boot/efi/loader"};

class Reader {
 public:
  explicit Reader(const RootFiles& files) : files_(files) {}

  void file(const std::string& path) {
    RootFiles::Text t = files_.read(path);
    if (t.error == ENOENT || t.error == ENOTDIR || boot.files.size() == kMostFiles) return;
    if (t.cut) t.error = EFBIG;  // half a file must never be written back
    boot.files.push_back({path, std::move(t.text), t.error});
  }
  void folder(const std::string& path) {
    for (const std::string& name : files_.list(path))
      // A name with control characters in it is nobody's configuration.
      if (name.ends_with(".conf") && printable(name) == name) file(path + "/" + name);
  }

  BootFacts boot;

 private:
  static constexpr size_t kMostFiles = 200;
  const RootFiles& files_;
};

// "systemd-boot 257.3-1": who loaded the kernel, as it told the firmware. UTF-16 behind four bytes.
std::string loader_info(const RootFiles& files) {
  const std::string raw =
      files.read("/sys/firmware/efi/efivars/LoaderInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f", 4096).text;
  std::string text;
  for (size_t i = 4; i + 1 < raw.size() && (raw[i] || raw[i + 1]); i += 2) text += raw[i + 1] ? '?' : raw[i];
  return text;
}

}  // namespace

bool BootFacts::has_tool(std::string_view name) const {
  for (const std::string& tool : tools)
    if (tool == name) return true;
  return false;
}

const ConfigFile* BootFacts::file(std::string_view path) const {
  for (const ConfigFile& f : files)
    if (f.path == path) return &f;
  return nullptr;
}

const char* bootloader_name(Bootloader bootloader) noexcept {
  switch (bootloader) {
    case Bootloader::kLimine:
      return "Limine";
    case Bootloader::kLimineEntryTool:
      return "Limine with limine-entry-tool";
    case Bootloader::kGrub:
      return "GRUB";
    case Bootloader::kSystemdBoot:
      return "systemd-boot";
    case Bootloader::kUnknown:
      break;
  }
  return "unknown";
}

BootFacts read_boot(const RootFiles& files) {
  Reader r(files);
  for (const char* tool : kTools)
    for (const char* folder : {"/usr/bin/", "/usr/sbin/", "/sbin/", "/usr/lib/kernel/"})
      if (files.exists(folder + std::string(tool))) {
        r.boot.tools.emplace_back(tool);
        break;
      }

  std::vector<Bootloader> found;
  const bool entry_tool = files.exists("/etc/limine-entry-tool.d") ||
                          files.exists("/etc/limine-entry-tool.conf") ||
                          files.exists("/etc/default/limine") || r.boot.has_tool("limine-mkinitcpio") ||
                          r.boot.has_tool("limine-update");
  r.file("/etc/default/limine");
  r.file("/etc/limine-entry-tool.conf");
  r.folder("/etc/limine-entry-tool.d");
  const size_t before_limine = r.boot.files.size();
  for (const char* path : kLimineConfigs) r.file(path);
  if (entry_tool)
    found.push_back(Bootloader::kLimineEntryTool);
  else if (r.boot.files.size() > before_limine)
    found.push_back(Bootloader::kLimine);

  bool systemd_boot = false;
  for (const std::string loader : kLoaders) systemd_boot |= files.exists(loader + "/loader.conf");
  const bool grub = files.exists("/etc/default/grub") || files.exists("/boot/grub/grub.cfg") ||
                    files.exists("/boot/grub2/grub.cfg");
  if (systemd_boot) found.push_back(Bootloader::kSystemdBoot);
  if (grub) found.push_back(Bootloader::kGrub);
  r.file("/etc/default/grub");
  r.file("/etc/kernel/cmdline");
  r.folder("/etc/cmdline.d");
  if (systemd_boot && !grub)  // GRUB's own entries lie in the same place on Fedora: grubby changes those
    for (const std::string loader : kLoaders) r.folder(loader + "/entries");
  r.folder("/etc/modprobe.d");

  // Who really booted counts for more than what is installed.
  const std::string info = loader_info(files);
  const auto booted = [&](Bootloader b) {
    const char* word = b == Bootloader::kGrub          ? "GRUB"
                       : b == Bootloader::kSystemdBoot ? "systemd-boot"
                                                       : "imine";
    return info.find(word) != std::string::npos;
  };
  size_t chosen = 0;
  for (size_t i = 0; i < found.size(); ++i)
    if (booted(found[i])) chosen = i;
  for (size_t i = 0; i < found.size(); ++i) {
    if (i == chosen)
      r.boot.bootloader = found[i];
    else
      r.boot.also_found.push_back(found[i]);
  }
  return std::move(r.boot);
}

}  // namespace moraine::system
