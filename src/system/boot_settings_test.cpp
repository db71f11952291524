// Texts of boot configuration before and after, and those nobody should touch.
#include "system/boot_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace moraine::system {
namespace {

const std::vector<Change> kSet = {{"ttm.pages_limit", "26214400"}};
const std::vector<Change> kSetAndDrop = {{"ttm.pages_limit", "26214400"}, {"amdgpu.gttsize", std::nullopt}};

TEST(Grub, AppendsReplacesAndTakesOut) {
  EXPECT_EQ(edit_grub_defaults("A=1\nGRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\nB=2", kSet),
            "A=1\nGRUB_CMDLINE_LINUX_DEFAULT=\"quiet ttm.pages_limit=26214400\"\nB=2");
  EXPECT_EQ(edit_grub_defaults("GRUB_CMDLINE_LINUX_DEFAULT=''\n", kSet),
            "GRUB_CMDLINE_LINUX_DEFAULT='ttm.pages_limit=26214400'\n");
  EXPECT_EQ(edit_grub_defaults("GRUB_CMDLINE_LINUX_DEFAULT=quiet\n", kSet),
            "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet ttm.pages_limit=26214400\"\n");
  EXPECT_EQ(edit_grub_defaults("GRUB_CMDLINE_LINUX_DEFAULT=\"ttm.pages_limit=5 quiet amdgpu.gttsize=7\"\n",
                               kSetAndDrop),
            "GRUB_CMDLINE_LINUX_DEFAULT=\"ttm.pages_limit=26214400 quiet\"\n");
  EXPECT_EQ(
      edit_grub_defaults("GRUB_CMDLINE_LINUX=\"amdgpu.gttsize=7 ttm.pages_limit=5\"\n", kSet),
      "GRUB_CMDLINE_LINUX=\"amdgpu.gttsize=7 ttm.pages_limit=26214400\"\nGRUB_CMDLINE_LINUX_DEFAULT=\"\"\n");
}

TEST(Grub, CommentsDoNotCountAndAMissingLineIsAdded) {
  EXPECT_EQ(edit_grub_defaults("#GRUB_CMDLINE_LINUX_DEFAULT=\"ttm.pages_limit=5\"\n", kSet),
            "#GRUB_CMDLINE_LINUX_DEFAULT=\"ttm.pages_limit=5\"\n"
            "GRUB_CMDLINE_LINUX_DEFAULT=\"ttm.pages_limit=26214400\"\n");
}

TEST(Grub, LeavesAloneWhatItDoesNotUnderstand) {
  for (const char* text :
       {"GRUB_CMDLINE_LINUX_DEFAULT=\"quiet \\\nsplash\"\n", "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet\n",
        "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet\" # mine\n", "GRUB_CMDLINE_LINUX_DEFAULT=\"a\"\"b\"\n",
        "GRUB_CMDLINE_LINUX_DEFAULT=a\\ b\n"})
    EXPECT_EQ(edit_grub_defaults(text, kSet), std::nullopt) << text;
}

TEST(Limine, EveryEntryGetsIt) {
  EXPECT_EQ(
      edit_limine_conf(
          "timeout: 5\n/Linux\n  protocol: linux\n  cmdline: quiet \n/LTS\n  KERNEL_CMDLINE: a\n", kSet),
      "timeout: 5\n/Linux\n  protocol: linux\n  cmdline: quiet ttm.pages_limit=26214400\n/LTS\n"
      "  KERNEL_CMDLINE: a ttm.pages_limit=26214400\n");
  EXPECT_EQ(edit_limine_conf("timeout: 5\n", kSet), std::nullopt);
  EXPECT_EQ(edit_limine_conf("cmdline: ttm.pages_limit=5 a\ncmdline: b\n", kSet),
            "cmdline: ttm.pages_limit=26214400 a\ncmdline: b ttm.pages_limit=26214400\n");
}

TEST(LimineTool, AddsALineOrChangesItsOwn) {
  EXPECT_EQ(edit_limine_tool_conf("A=1", kSet),
            "A=1\nKERNEL_CMDLINE[default]+=\" ttm.pages_limit=26214400\"\n");
  const std::string once = *edit_limine_tool_conf("", kSet);
  EXPECT_EQ(edit_limine_tool_conf(once, kSet), once);
  EXPECT_EQ(edit_limine_tool_conf("KERNEL_CMDLINE[default]=\"amdgpu.gttsize=5 quiet\"\n", kSetAndDrop),
            "KERNEL_CMDLINE[default]=\"quiet\"\nKERNEL_CMDLINE[default]+=\" ttm.pages_limit=26214400\"\n");
}

TEST(SystemdBoot, OptionsAndKernelCommandLine) {
  EXPECT_EQ(edit_loader_entry("title x\noptions root=/dev/sda rw\n", kSet),
            "title x\noptions root=/dev/sda rw ttm.pages_limit=26214400\n");
  EXPECT_EQ(edit_loader_entry("title x\n", kSet), std::nullopt);
  EXPECT_EQ(edit_kernel_cmdline("root=/dev/sda rw", kSet), "root=/dev/sda rw ttm.pages_limit=26214400");
  EXPECT_EQ(edit_kernel_cmdline("# c\nroot=x\nquiet\n", kSet),
            "# c\nroot=x ttm.pages_limit=26214400\nquiet\n");
  EXPECT_EQ(edit_kernel_cmdline("", kSet), std::nullopt);
}

TEST(Modprobe, OptionsOfTheModule) {
  EXPECT_EQ(edit_modprobe_conf("", kSet), "options ttm pages_limit=26214400\n");
  EXPECT_EQ(edit_modprobe_conf("options ttm page_pool_size=7 pages_limit=5\noptions amdgpu gttsize=9 x=1\n",
                               kSetAndDrop),
            "options ttm page_pool_size=7 pages_limit=26214400\noptions amdgpu x=1\n");
}

TEST(Settings, AreFoundWhereTheyStandAndNotInCommentsOrLongerNames) {
  BootFacts boot;
  boot.files = {{"/etc/default/grub", "#ttm.pages_limit=1\nX=\"a ttm.pages_limit=2 xttm.pages_limit=3\"\n"},
                {"/etc/modprobe.d/a.conf", "options ttm pages_limit=4\noptions amdttm pages_limit=5\n"}};
  std::vector<std::string> values;
  for (const Setting& s : find_settings(boot, "ttm.pages_limit")) values.push_back(s.path + " " + s.value);
  EXPECT_THAT(values, testing::ElementsAre("/etc/default/grub 2", "/etc/modprobe.d/a.conf 4"));
}

TEST(Settings, TheLastOfACommandLineCounts) {
  EXPECT_EQ(command_line_value("a=1 ttm.pages_limit=5 ttm.pages_limit=6 b", "ttm.pages_limit"), "6");
  EXPECT_EQ(command_line_value("notttm.pages_limit=5 ttm.pages_limits=6", "ttm.pages_limit"), std::nullopt);
  EXPECT_TRUE(has_word("quiet nomodeset", "nomodeset"));
  EXPECT_FALSE(has_word("quiet nomodeset=1", "nomodeset"));
}

}  // namespace
}  // namespace moraine::system
