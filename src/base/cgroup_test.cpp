#include "base/cgroup.h"

#include <gtest/gtest.h>

#include "base/system_memory.h"

namespace moraine {
namespace {

using Folders = std::vector<std::string>;

TEST(Cgroup, EveryGroupUpToTheRoot) {
  EXPECT_EQ(
      cgroup_folders("0::/user.slice/user-1000.slice/run.scope\n"),
      (Folders{"/sys/fs/cgroup/user.slice/user-1000.slice/run.scope",
               "/sys/fs/cgroup/user.slice/user-1000.slice", "/sys/fs/cgroup/user.slice", "/sys/fs/cgroup"}));
  EXPECT_EQ(cgroup_folders("0::/\n"), Folders{"/sys/fs/cgroup"});
}

TEST(Cgroup, OddTextGivesTheRootAlone) {
  EXPECT_EQ(cgroup_folders(""), Folders{"/sys/fs/cgroup"});
  EXPECT_EQ(cgroup_folders("12:memory:/old\n"), Folders{"/sys/fs/cgroup"});
  EXPECT_EQ(cgroup_folders("0::/../../outside\n"), Folders{"/sys/fs/cgroup"});
}

TEST(SystemMemory, SomeIsFree) {
  EXPECT_GT(available_memory(), 1u << 20);
  EXPECT_LT(available_memory(), UINT64_MAX);
}

}  // namespace
}  // namespace moraine
