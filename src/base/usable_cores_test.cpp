#include "base/usable_cores.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/testing.h"

namespace moraine {
namespace {

// A machine made of files.
class UsableCores : public testing::Test {
 protected:
  void write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(folder / path).parent_path());
    std::ofstream(folder / path) << text;
  }
  void core(const std::vector<int>& cpus, const std::string& list,
            const std::string& name = "core_cpus_list") {
    for (const int cpu : cpus)
      write("sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/" + name, list + "\n");
  }
  int cores(const std::vector<int>& cpus) const { return usable_cores(RootFiles(folder.path()), cpus); }
  std::optional<double> quota() const { return cpu_quota(RootFiles(folder.path())); }
  TestFolder folder;
};

TEST_F(UsableCores, HyperThreadsAreOneCore) {
  core({0, 4}, "0,4"), core({1, 5}, "1,5"), core({2, 6}, "2,6"), core({3, 7}, "3,7");
  EXPECT_EQ(cores({0, 1, 2, 3, 4, 5, 6, 7}), 4);
  EXPECT_EQ(cores({2, 6}), 1);  // taskset
  EXPECT_EQ(cores({6, 7}), 2);
  EXPECT_FALSE(quota());
}

TEST_F(UsableCores, OldKernelsAndContainersWithoutTopology) {
  core({0, 1}, "0-1", "thread_siblings_list"), core({2, 3}, "2-3", "thread_siblings_list");
  EXPECT_EQ(cores({0, 1, 2, 3}), 2);
  EXPECT_EQ(cores({8, 9, 10}), 3);
  EXPECT_EQ(cores({}), 1);
}

// Two fast cores with two threads each, four slow ones.
TEST_F(UsableCores, SlowCoresOfAMixedCpuCount) {
  core({0, 1}, "0-1"), core({2, 3}, "2-3"), core({4}, "4"), core({5}, "5"), core({6}, "6"), core({7}, "7");
  EXPECT_EQ(cores({0, 1, 2, 3, 4, 5, 6, 7}), 6);
}

TEST_F(UsableCores, AQuotaOfAnyGroupAboveCounts) {
  write("proc/self/cgroup", "0::/box/inner\n");
  write("sys/fs/cgroup/box/inner/cpu.max", "max 100000\n");
  EXPECT_FALSE(quota());
  write("sys/fs/cgroup/box/cpu.max", "350000 100000\n");
  EXPECT_EQ(quota(), 3.5);
  EXPECT_EQ(cores({0, 1, 2, 3, 4, 5, 6, 7}), 3);
  EXPECT_EQ(cores({0, 1}), 2);
  write("sys/fs/cgroup/cpu.max", "50000 100000\n");
  EXPECT_EQ(cores({0, 1}), 1);  // never none
}

TEST_F(UsableCores, GroupsOfVersionOne) {
  write("proc/self/cgroup", "12:memory:/m\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/x\n");
  write("sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us", "-1\n");
  write("sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us", "100000\n");
  EXPECT_FALSE(quota());
  // A container sees its own group as the root.
  write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "200000\n");
  write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(quota(), 2.0);
  EXPECT_EQ(cores({0, 1, 2, 3}), 2);
}

TEST_F(UsableCores, SenselessFilesLimitNothing) {
  write("proc/self/cgroup", "0::/a\n:\n4:cpuset:/b\n::\n7:cpu\n");
  for (const char* text :
       {"", "100000", "x y\n", "100000 0\n", "0 100000\n", "-5 100000\n", "99999999999999999999 1\n"}) {
    write("sys/fs/cgroup/a/cpu.max", text);
    EXPECT_FALSE(quota()) << text;
    EXPECT_EQ(cores({0, 1, 2}), 3) << text;
  }
  write("sys/fs/cgroup/a/cpu.max", "9223372036854775807 1\n");
  EXPECT_EQ(cores({0, 1, 2}), 3);
}

TEST(UsableCoresHere, AtLeastOne) { EXPECT_GE(usable_cores(), 1); }

}  // namespace
}  // namespace moraine
