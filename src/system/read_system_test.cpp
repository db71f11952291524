// Readings that the captured trees (trees_test.cpp) do not pin down.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "system/facts.h"
#include "system/text.h"

namespace moraine::system {
namespace {

namespace fs = std::filesystem;

class ReadSystemTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "moraine-system-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder = name;
  }
  void TearDown() override { fs::remove_all(folder); }
  void write(const std::string& path, const std::string& text) {
    const fs::path file = folder / path.substr(1);
    fs::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << text;
  }
  SystemFacts read() const { return read_system(RootFiles(folder.string())); }
  fs::path folder;
};

TEST_F(ReadSystemTest, AnEmptyFolderIsASystemOfWhichNothingIsKnown) {
  const SystemFacts s = read();
  EXPECT_EQ(s.cpu.n_threads, 0);
  EXPECT_EQ(s.memory.total, 0u);
  EXPECT_EQ(s.installed_memory(), 0u);
  EXPECT_TRUE(s.gpus.empty());
  EXPECT_EQ(s.main_gpu(), nullptr);
  EXPECT_EQ(s.boot.bootloader, Bootloader::kUnknown);
  EXPECT_EQ(s.kernel.version, KernelVersion{});
  EXPECT_TRUE(s.container.empty());
}

TEST_F(ReadSystemTest, WhoBootedCountsForMoreThanWhatIsInstalled) {
  write("/etc/default/grub", "");
  write("/boot/loader/loader.conf", "");
  EXPECT_EQ(read().boot.bootloader, Bootloader::kSystemdBoot);
  EXPECT_EQ(read().boot.also_found, std::vector{Bootloader::kGrub});
  std::string info("\x06\0\0\0", 4);
  for (const char c : std::string("GRUB 2.12")) info += std::string{c, '\0'};
  write("/sys/firmware/efi/efivars/LoaderInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f", info);
  EXPECT_EQ(read().boot.bootloader, Bootloader::kGrub);
}

TEST_F(ReadSystemTest, AFileTooLongToBeReadWholeIsNeverOfferedForEditing) {
  write("/etc/default/grub", std::string(RootFiles::kMaxFileBytes + 1, '#'));
  ASSERT_NE(read().boot.file("/etc/default/grub"), nullptr);
  EXPECT_NE(read().boot.file("/etc/default/grub")->error, 0);
}

TEST_F(ReadSystemTest, FirmwareMemoryIsCountedAsInstalled) {
  write("/proc/meminfo", "MemTotal: 97726464 kB\n");  // 93.2 GiB
  write("/sys/class/drm/card0/device/vendor", "0x1002\n");
  write("/sys/class/drm/card0/device/device", "0x1586\n");
  write("/sys/class/drm/card0/device/mem_info_vram_total", "34359738368\n");
  EXPECT_EQ(read().installed_memory(), uint64_t{128} << 30);
}

TEST(KernelVersions, AreReadAsFarAsTheyGo) {
  EXPECT_EQ(parse_kernel_version("6.18.5-zen1-1-zen"), (KernelVersion{6, 18, 5}));
  EXPECT_EQ(parse_kernel_version("7.0-rc3"), (KernelVersion{7, 0, 0}));
  EXPECT_EQ(parse_kernel_version("6"), (KernelVersion{6, 0, 0}));
  EXPECT_EQ(parse_kernel_version("x6.1"), KernelVersion{});
  EXPECT_EQ(parse_kernel_version("99999999999.1"), KernelVersion{});
  EXPECT_EQ(parse_kernel_version(""), KernelVersion{});
  EXPECT_LT((KernelVersion{6, 9, 12}), (KernelVersion{6, 16, 9}));
}

TEST(Text, IsMadePrintable) {
  EXPECT_EQ(printable(" a\x1b[31m\tb\n"), "a?[31m?b");
  EXPECT_EQ(printable("\xc2\x9b"), "??");
  EXPECT_EQ(printable(std::string(1000, 'x')).size(), 303u);
  EXPECT_EQ(number_of<int>(" 12 \n"), 12);
  EXPECT_EQ(number_of<uint32_t>("0x1586\n", 16), 0x1586u);
  EXPECT_EQ(number_of<int>("12 kB"), std::nullopt);
  EXPECT_EQ(number_of<int>(""), std::nullopt);
  EXPECT_EQ(shell_value("A=1\nID=\"x y\"\n", "ID"), "x y");
  EXPECT_EQ(shell_value("VERSION_ID=1\n", "ID"), "");
}

}  // namespace
}  // namespace moraine::system
