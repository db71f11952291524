// Commands that hang, flood, fork and die.
#include "epic/process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <moraine/error.h>
#include <signal.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "epic/testing.h"

namespace moraine::epic {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

ProcessOptions shell(const std::string& command) {
  ProcessOptions o;
  o.command = {"/bin/sh", "-c", command};
  o.environment = test_environment("/tmp");
  return o;
}

// Dead ones may stay as entries where nobody asks for them.
bool runs(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(file, text);
  return !text.empty() && text[text.rfind(')') + 2] != 'Z';
}

bool is_alive(pid_t pid) { return ::kill(pid, 0) == 0 && start_of(pid) != 0; }

TEST(Process, TellsOutputAndCode) {
  ProcessOptions o = shell("read line; echo \"got $line\"; echo wrong >&2; pwd; exit 3");
  o.input = "words\n";
  o.folder = "/";
  const ProcessResult r = run_process(o);
  EXPECT_EQ(r.code, 3);
  EXPECT_EQ(r.output, "got words\nwrong\n/\n");
  EXPECT_THAT(r.ending(), StartsWith("ended with code 3"));
  EXPECT_EQ(run_process(shell("kill -9 $$")).code, 128 + SIGKILL);
}

TEST(Process, WhoHangsIsEnded) {
  ProcessOptions o = shell("trap '' TERM; echo begun; while :; do sleep 1; done");
  o.timeout = std::chrono::milliseconds(200);
  const ProcessResult r = run_process(o);
  EXPECT_TRUE(r.timed_out);
  EXPECT_FALSE(r.good());
  EXPECT_EQ(r.output, "begun\n");
}

TEST(Process, WhoFloodsIsEnded) {
  ProcessOptions o = shell("echo first; yes");
  o.most_bytes = 1 << 20;
  o.kept_bytes = 4096;
  const ProcessResult r = run_process(o);
  EXPECT_TRUE(r.flooded);
  EXPECT_LT(r.output.size(), 5000u);
  EXPECT_THAT(r.output, StartsWith("first\n"));
  EXPECT_THAT(r.output, HasSubstr("left out"));
}

TEST(Process, WhatItLeftRunningEndsWithIt) {
  const ProcessResult r = run_process(shell("sleep 1000 & echo $!"));
  const pid_t left = std::stoi(r.output);
  for (int i = 0; i < 200 && runs(left); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_FALSE(runs(left));
}

TEST(Process, ADescriptorStopsIt) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ASSERT_EQ(::write(ends[1], "x", 1), 1);
  ProcessOptions o = shell("sleep 100");
  o.stop_fd = ends[0];
  EXPECT_TRUE(run_process(o).stopped);
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST(Process, WhatIsNotThereIsSaid) {
  ProcessOptions o = shell("");
  o.command = {"/no/such/program"};
  EXPECT_THROW(run_process(o), Error);
}

TEST(Process, AGroupIsEndedOnlyWhereItIsStillThatOne) {
  ProcessOptions o = shell("sleep 5; echo survived");
  bool wrong_one_lived = false;
  o.on_start = [&](pid_t group) {
    end_group(group, start_of(group) + 1);
    wrong_one_lived = is_alive(group);
    end_group(group, start_of(group));
  };
  EXPECT_EQ(run_process(o).code, 128 + SIGTERM);
  EXPECT_TRUE(wrong_one_lived);
}

}  // namespace
}  // namespace moraine::epic
