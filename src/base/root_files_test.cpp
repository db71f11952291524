// Hostile trees: what a folder given as the root of a system may hold.
#include "base/root_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/system_memory.h"

namespace moraine {
namespace {

namespace fs = std::filesystem;

class RootFilesTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "moraine-root-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder = name;
    fs::create_directories(folder / "proc/self");
    fs::create_directories(folder / "etc");
  }
  void TearDown() override { fs::remove_all(folder); }
  void write(const std::string& path, const std::string& text) { std::ofstream(folder / path) << text; }
  RootFiles files() const { return RootFiles(folder.string() + "/"); }
  fs::path folder;
};

TEST_F(RootFilesTest, ReadsListsAndTellsWhatIsMissing) {
  write("etc/b", "two\n");
  write("etc/a", "one\n");
  EXPECT_EQ(files().read("/etc/a").text, "one\n");
  EXPECT_EQ(files().read("/etc/c").error, ENOENT);
  EXPECT_EQ(files().read("/etc").error, EINVAL);
  EXPECT_THAT(files().list("/etc"), testing::ElementsAre("a", "b"));
  EXPECT_TRUE(files().list("/nowhere").empty());
  EXPECT_TRUE(files().exists("/etc"));
  EXPECT_FALSE(files().exists("/nowhere"));
  EXPECT_FALSE(RootFiles("/nonexistent/tree").exists("/etc"));
}

TEST_F(RootFilesTest, ReadsNoMoreThanItsLimit) {
  write("etc/long", std::string(5000, 'x'));
  const RootFiles::Text text = files().read("/etc/long", 1000);
  EXPECT_EQ(text.text.size(), 1000u);
  EXPECT_TRUE(text.cut);
  EXPECT_FALSE(files().read("/etc/long", 5000).cut);
}

TEST_F(RootFilesTest, LinksStayInTheTreeAndDevicesAndPipesAreNotOpened) {
  write("etc/inside", "inside\n");
  fs::create_symlink("/etc/inside", folder / "etc/absolute");
  fs::create_symlink("../../../../../../../../etc/passwd", folder / "etc/out");
  fs::create_symlink("/dev/zero", folder / "etc/endless");
  fs::create_symlink("loop", folder / "etc/loop");
  ASSERT_EQ(mkfifo((folder / "etc/pipe").c_str(), 0600), 0);
  const RootFiles::Text absolute = files().read("/etc/absolute");
  EXPECT_TRUE(absolute.text == "inside\n" || absolute.error == ELOOP);  // ELOOP: no openat2 here
  for (const char* path : {"/etc/out", "/etc/endless", "/etc/loop", "/etc/pipe"}) {
    EXPECT_NE(files().read(path).error, 0) << path;
    EXPECT_TRUE(files().read(path).text.empty()) << path;
  }
}

TEST_F(RootFilesTest, MemoryOfATree) {
  write("proc/meminfo", "MemTotal: 1000 kB\nMemFree: 5 kB\nMemAvailable: 800 kB\nSwapTotal: 20 kB\n");
  SystemMemory m = read_system_memory(files());
  EXPECT_EQ(m.total, 1000u * 1024);
  EXPECT_EQ(m.available, 800u * 1024);
  EXPECT_EQ(m.swap_total, 20u * 1024);
  EXPECT_EQ(m.limit, UINT64_MAX);

  write("proc/self/cgroup", "0::/\n");
  fs::create_directories(folder / "sys/fs/cgroup");
  write("sys/fs/cgroup/memory.max", "409600\n");
  write("sys/fs/cgroup/memory.current", "204800\n");
  write("sys/fs/cgroup/memory.stat", "anon 5\nactive_file 102400\n");
  m = read_system_memory(files());
  EXPECT_EQ(m.limit, 409600u);
  EXPECT_EQ(m.available, 409600u - 102400u);
}

TEST_F(RootFilesTest, MemoryOfNonsense) {
  write("proc/meminfo", "MemTotal: lots\nMemAvailable: 99999999999999999999 kB\n\xff\xfe\n:::\n");
  const SystemMemory m = read_system_memory(files());
  EXPECT_EQ(m.total, 0u);
  EXPECT_EQ(m.available, UINT64_MAX);
}

}  // namespace
}  // namespace moraine
