#include "system/remedy.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "system/boot_settings.h"
#include "system/text.h"

namespace moraine::system {
namespace {

using EditText = std::optional<std::string> (*)(std::string_view, const std::vector<Change>&);

class Maker {
 public:
  Maker(const SystemFacts& facts, uint64_t pages, bool drop_gttsize) : facts_(facts) {
    remedy_.pages = pages;
    const std::string ttm = facts.parameters.ttm_module.empty() ? "ttm" : facts.parameters.ttm_module;
    changes_.push_back({ttm + ".pages_limit", std::to_string(pages)});
    if (drop_gttsize) changes_.push_back({"amdgpu.gttsize", std::nullopt});
  }

  Remedy make() {
    const std::string& name = changes_.front().name;
    const auto in_modprobe = [](const Setting& s) { return s.path.starts_with("/etc/modprobe.d/"); };
    const auto settings = find_settings(facts_.boot, name);
    if (!settings.empty() && std::all_of(settings.begin(), settings.end(), in_modprobe) &&
        !command_line_value(facts_.kernel.command_line, name))
      modprobe(fmt::format("{} sets the limit already, so it is changed there.", settings.front().path));
    else
      by_bootloader();
    clean_modprobe();
    remedy_.commands.emplace_back("sudo reboot");
    if (!remedy_.undo.empty()) remedy_.undo.emplace_back("sudo reboot");
    return std::move(remedy_);
  }

 private:
  void by_bootloader() {
    switch (facts_.boot.bootloader) {
      case Bootloader::kLimineEntryTool:
        limine_entry_tool();
        break;
      case Bootloader::kLimine:
        limine();
        break;
      case Bootloader::kGrub:
        grub();
        break;
      case Bootloader::kSystemdBoot:
        systemd_boot();
        break;
      case Bootloader::kUnknown:
        modprobe("No known bootloader was found, so the module is told by modprobe.d.");
        break;
    }
  }

  // What stands in modprobe.d beside the bootloader's line would contradict it.
  void clean_modprobe() {
    for (const ConfigFile& file : facts_.boot.files) {
      if (!file.path.starts_with("/etc/modprobe.d/") || file.error != 0 || edited(file.path)) continue;
      std::vector<Change> present;
      for (const Change& c : changes_)
        for (const Setting& s : find_settings(facts_.boot, c.name))
          if (s.path == file.path && (present.empty() || present.back().name != c.name)) present.push_back(c);
      if (present.empty()) continue;
      edit(file.path, edit_modprobe_conf, present);
      initramfs();
    }
  }

  bool edited(const std::string& path) const {
    return std::any_of(remedy_.edits.begin(), remedy_.edits.end(),
                       [&](const FileEdit& e) { return e.path == path; });
  }

  // False: the file is there and cannot be edited; by_hand says why.
  bool edit(const std::string& path, EditText change) { return edit(path, change, changes_); }
  bool edit(const std::string& path, EditText change, const std::vector<Change>& changes) {
    const ConfigFile* file = facts_.boot.file(path);
    if (file && file->error != 0) {
      by_hand(path, "it could not be read (run doctor with sudo for more)");
      return false;
    }
    const std::string old_text = file ? file->text : "";
    const auto new_text = change(old_text, changes);
    if (!new_text) {
      by_hand(path, "it is not laid out as expected");
      return false;
    }
    if (*new_text == old_text) return true;  // it says so already
    FileEdit e{path,
               file == nullptr,
               old_text,
               *new_text,
               changed_lines(old_text, *new_text),
               changed_lines(*new_text, old_text)};
    remedy_.undo.push_back(e.is_new ? "sudo rm " + path
                                    : fmt::format("sudo cp {0}.before-moraine {0}", path));
    remedy_.edits.push_back(std::move(e));
    return true;
  }

  void by_hand(const std::string& path, const char* why) {
    std::string text = fmt::format("Add {} to the kernel's command line in {} yourself: {}.",
                                   words_to_add(changes_), path, why);
    if (changes_.size() > 1) text += " Take amdgpu.gttsize out.";
    remedy_.by_hand.push_back(std::move(text));
  }

  void then(const std::string& command) {
    if (std::find(remedy_.commands.begin(), remedy_.commands.end(), command) != remedy_.commands.end())
      return;
    remedy_.commands.push_back(command);
    if (!remedy_.undo.empty()) remedy_.undo.push_back(command);
  }

  // The initramfs carries its own copy of modprobe.d.
  void initramfs() {
    const BootFacts& b = facts_.boot;
    if (b.has_tool("update-initramfs"))
      then("sudo update-initramfs -u");
    else if (b.has_tool("mkinitcpio"))
      then("sudo mkinitcpio -P");
    else if (b.has_tool("dracut"))
      then("sudo dracut -f");
    else
      remedy_.notes.emplace_back("Rebuild the initramfs, which carries a copy of modprobe.d.");
  }

  void limine_entry_tool() {
    const std::string defaults = "/etc/default/limine", drop_in = "/etc/limine-entry-tool.d/moraine.conf";
    // What /etc/default/limine says overrides drop-ins: where it speaks of the command line, so must we.
    const ConfigFile* file = facts_.boot.file(defaults);
    bool overrides = false;
    if (file)
      for (const std::string_view line : lines_of(file->text))
        overrides |= trim(line).starts_with("KERNEL_CMDLINE");
    std::string path = overrides ? defaults : drop_in;
    for (const Setting& s : find_settings(facts_.boot, changes_.front().name))
      if (s.path.starts_with("/etc/limine-entry-tool") && !overrides) path = s.path;
    edit(path, edit_limine_tool_conf);
    if (changes_.size() > 1)
      for (const Setting& s : find_settings(facts_.boot, "amdgpu.gttsize"))
        if (s.path != path && (s.path == defaults || s.path.starts_with("/etc/limine-entry-tool")))
          remedy_.by_hand.push_back(fmt::format("Take amdgpu.gttsize out of {}.", s.path));
    then(facts_.boot.has_tool("limine-mkinitcpio") ? "sudo limine-mkinitcpio" : "sudo limine-update");
    remedy_.notes.push_back(fmt::format(
        "{} is written anew by limine-entry-tool with every kernel update: what is changed in it by hand is "
        "lost then, what stands in {} is kept.",
        limine_conf(), path));
  }

  std::string limine_conf() const {
    for (const ConfigFile& f : facts_.boot.files)
      if (f.path.ends_with("/limine.conf")) return f.path;
    return "/boot/limine.conf";
  }

  void limine() {
    for (const ConfigFile& f : facts_.boot.files)
      if (f.path.ends_with("/limine.conf")) edit(f.path, edit_limine_conf);
    remedy_.notes.emplace_back(
        "Limine reads limine.conf as it stands; kernel updates leave it alone unless a tool of yours writes "
        "it.");
  }

  void grub() {
    const BootFacts& b = facts_.boot;
    if (b.has_tool("grubby")) {  // Fedora and its kin: the entries are files of their own
      std::string args = fmt::format("sudo grubby --update-kernel=ALL --args=\"{}\"", words_to_add(changes_));
      if (changes_.size() > 1) args += " --remove-args=\"amdgpu.gttsize\"";
      remedy_.commands.push_back(args);
      remedy_.undo.push_back(
          fmt::format("sudo grubby --update-kernel=ALL --remove-args=\"{}\"", changes_.front().name));
      remedy_.notes.emplace_back(
          "grubby changes every installed kernel's entry, and new kernels take the arguments over; an edit "
          "of "
          "/etc/default/grub alone would change nothing.");
      return;
    }
    edit("/etc/default/grub", edit_grub_defaults);
    if (b.has_tool("update-grub"))
      then("sudo update-grub");
    else
      then(b.has_tool("grub2-mkconfig") ? "sudo grub2-mkconfig -o /boot/grub2/grub.cfg"
                                        : "sudo grub-mkconfig -o /boot/grub/grub.cfg");
    remedy_.notes.emplace_back(
        "/etc/default/grub is yours and kept; /boot/grub/grub.cfg is made from it with every kernel update: "
        "what is changed in that one by hand is lost then.");
  }

  void systemd_boot() {
    const BootFacts& b = facts_.boot;
    // Entries that kernel-install writes carry the machine's id; those without were written by hand and stay.
    const auto is_own_entry = [](const ConfigFile& f) {
      return f.path.find("/loader/entries/") != std::string::npos &&
             f.text.find("machine-id") == std::string::npos;
    };
    if (b.file("/etc/kernel/cmdline") && std::none_of(b.files.begin(), b.files.end(), is_own_entry)) {
      edit("/etc/kernel/cmdline", edit_kernel_cmdline);
      then(b.has_tool("mkinitcpio") ? "sudo mkinitcpio -P" : "sudo kernel-install add-all");
      remedy_.notes.emplace_back(
          "Entries and unified kernel images are made from /etc/kernel/cmdline with every kernel update: "
          "what "
          "is changed in loader/entries by hand is lost then.");
      return;
    }
    bool any = false;
    for (const ConfigFile& f : b.files) {
      if (f.path.find("/loader/entries/") == std::string::npos) continue;
      any = true;
      edit(f.path, edit_loader_entry);
    }
    if (any)
      remedy_.notes.emplace_back(
          "Each entry has its own options line; an entry that a new kernel brings needs it too.");
    else
      modprobe("systemd-boot's entries could not be read, so the module is told by modprobe.d.");
  }

  void modprobe(const std::string& why) {
    remedy_.notes.push_back(why);
    std::string path = "/etc/modprobe.d/moraine-ttm.conf";
    for (const Setting& s : find_settings(facts_.boot, changes_.front().name))
      if (s.path.starts_with("/etc/modprobe.d/")) path = s.path;
    edit(path, edit_modprobe_conf);
    initramfs();
    remedy_.notes.emplace_back("Files in /etc/modprobe.d are yours: updates keep them.");
  }

  const SystemFacts& facts_;
  std::vector<Change> changes_;
  Remedy remedy_;
};

}  // namespace

std::vector<std::string> changed_lines(const std::string& before, const std::string& after) {
  std::multiset<std::string_view> old_lines;
  for (const std::string_view line : lines_of(before)) old_lines.insert(line);
  std::vector<std::string> changed;
  for (const std::string_view line : lines_of(after)) {
    const auto at = old_lines.find(line);
    if (at == old_lines.end())
      changed.emplace_back(line);
    else
      old_lines.erase(at);
  }
  return changed;
}

Remedy make_remedy(const SystemFacts& facts, uint64_t pages, bool drop_gttsize) {
  return Maker(facts, pages, drop_gttsize).make();
}

}  // namespace moraine::system
