// Any text as a file of the system: reading survives it, and an edit of a boot configuration keeps every
// promise: what it sets is found again, and a second edit changes nothing.
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "system/boot_settings.h"
#include "system/facts.h"
#include "system/text.h"

namespace {

using namespace moraine::system;

void check(bool holds) {
  if (!holds) std::abort();
}

using Edit = std::optional<std::string> (*)(std::string_view, const std::vector<Change>&);

void check_edit(const char* path, Edit edit, const std::string& text) {
  const std::vector<Change> changes = {{"ttm.pages_limit", "26214400"}, {"amdgpu.gttsize", std::nullopt}};
  const auto once = edit(text, changes);
  if (!once) return;
  BootFacts boot;
  boot.files = {{path, *once, 0}};
  const auto set = find_settings(boot, "ttm.pages_limit");
  check(!set.empty());
  for (const Setting& s : set) check(s.value == "26214400");
  check(find_settings(boot, "amdgpu.gttsize").empty());
  check(edit(*once, changes) == once);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 65536) return 0;
  const std::string text(reinterpret_cast<const char*>(data), size);
  check_edit("/etc/default/grub", edit_grub_defaults, text);
  check_edit("/boot/limine.conf", edit_limine_conf, text);
  check_edit("/etc/default/limine", edit_limine_tool_conf, text);
  check_edit("/etc/kernel/cmdline", edit_kernel_cmdline, text);
  check_edit("/boot/loader/entries/a.conf", edit_loader_entry, text);
  check_edit("/etc/modprobe.d/a.conf", edit_modprobe_conf, text);
  command_line_value(text, "ttm.pages_limit");
  parse_kernel_version(text);
  for (const char c : printable(text)) check(c >= 0x20 && c < 0x7f);
  return 0;
}
