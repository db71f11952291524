// The meter's thread: whatever the disk does, add() returns and the server goes on.
#include "usage/writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <vector>

#include "usage/database.h"
#include "usage/energy.h"
#include "usage/store.h"
#include "usage/testing.h"

namespace moraine::usage {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

int64_t count(const std::string& path) {
  int64_t n = 0;
  Store::open_existing(path).each({}, [&](const Record&) { ++n; });
  return n;
}

struct Notices {
  std::mutex mutex;
  std::vector<std::string> lines;
  std::function<void(const std::string&)> hook() {
    return [this](const std::string& line) {
      const std::lock_guard lock(mutex);
      lines.push_back(line);
    };
  }
};

TEST(Writer, WritesWhatItIsGivenAndTheRestAtItsEnd) {
  TestFolder folder;
  const std::string path = folder / "usage.sqlite";
  {
    Writer writer({.path = path});
    writer.add(record(1, 1));
    writer.flush();
    EXPECT_EQ(count(path), 1);
    for (int i = 0; i < 1000; ++i) writer.add(record(2 + i, 1));
  }
  EXPECT_EQ(count(path), 1001);
}

TEST(Writer, ALockedFileIsTriedAgain) {
  TestFolder folder;
  const std::string path = folder / "u";
  Store::open(path);
  Notices notices;
  {
    Database other(path, Database::Mode::kWrite, 0);
    other.run("BEGIN EXCLUSIVE");
    Writer writer({.path = path,
                   .on_notice = notices.hook(),
                   .retry_after = std::chrono::milliseconds(10),
                   .busy_timeout_ms = 1});
    writer.add(record(1, 1));
    writer.flush();
    writer.add(record(2, 1));
    other.run("COMMIT");
  }
  EXPECT_EQ(count(path), 2);
  ASSERT_FALSE(notices.lines.empty());
  EXPECT_THAT(notices.lines[0], HasSubstr("locked"));
}

TEST(Writer, ADamagedFileCostsCountsAlone) {
  TestFolder folder;
  std::ofstream(folder / "u") << std::string(5000, 'x');
  Notices notices;
  {
    Writer writer({.path = folder / "u",
                   .on_notice = notices.hook(),
                   .max_waiting = 10,
                   .retry_after = std::chrono::milliseconds(1)});
    for (int i = 0; i < 100; ++i) writer.add(record(i, 1));
    writer.flush();
    EXPECT_GE(writer.lost(), 90u);
  }
  EXPECT_THAT(notices.lines, ElementsAre(HasSubstr("Move it away")));  // once, not with every try
}

TEST(Writer, NoRoomOnTheDiskCostsCountsAlone) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "this system has no /dev/full";
  Notices notices;
  {
    Writer writer({.path = "/dev/full/usage", .on_notice = notices.hook()});
    writer.add(record(1, 1));
    writer.flush();
  }
  EXPECT_EQ(notices.lines.size(), 1u);
}

TEST(Energy, CountsPackagesAndTheirWrappingRound) {
  TestFolder folder;
  const auto put = [&](const std::string& name, const std::string& value) {
    const std::filesystem::path path = folder / ("sys/class/powercap/" + name);
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << value << "\n";
  };
  EnergyCounter counter(RootFiles(folder / ""));
  EXPECT_FALSE(counter.joules_since_last());
  put("intel-rapl:0/energy_uj", "1000000");
  put("intel-rapl:0/max_energy_range_uj", "10000000");
  put("intel-rapl:0:0/energy_uj", "1");
  EXPECT_FALSE(counter.joules_since_last());
  put("intel-rapl:0/energy_uj", "4000000");
  put("intel-rapl:0:0/energy_uj", "900000000");  // a part of the package
  EXPECT_EQ(counter.joules_since_last(), 3.0);
  put("intel-rapl:0/energy_uj", "1000000");
  EXPECT_EQ(counter.joules_since_last(), 7.0);
}

}  // namespace
}  // namespace moraine::usage
