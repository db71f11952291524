// The state survives: written whole, read back, refused where damaged.
#include "epic/state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <moraine/error.h>
#include <signal.h>
#include <sys/resource.h>

#include <fstream>

#include "epic/files.h"
#include "epic/testing.h"

namespace moraine::epic {
namespace {

using ::testing::HasSubstr;

TEST(State, ComesBack) {
  TestFolder folder;
  EXPECT_TRUE(load_state(folder / "none").tasks.empty());
  State s;
  s.branch = "main";
  TaskState& t = s.tasks["a"];
  t.status = TaskState::Status::kFailed;
  t.attempts = 2, t.reason = "no \"luck\"", t.feedback = "bytes \xff", t.group = 77,
  t.group_start = 1ull << 40;
  save_state(folder / "s", s);
  const State back = load_state(folder / "s");
  EXPECT_EQ(back.branch, "main");
  const TaskState& b = back.tasks.at("a");
  EXPECT_EQ(b.status, TaskState::Status::kFailed);
  EXPECT_EQ(b.attempts, 2);
  EXPECT_EQ(b.reason, t.reason);
  EXPECT_EQ(b.group_start, 1ull << 40);
}

TEST(State, DamageIsToldWithItsRemedy) {
  TestFolder folder;
  for (const char* text : {"", "{", "[]", R"({"version":1})", R"({"version":1,"tasks":{"a":5}})"}) {
    std::ofstream(folder / "s", std::ios::trunc) << text;
    try {
      load_state(folder / "s");
      ADD_FAILURE() << text;
    } catch (const Error& e) {
      EXPECT_THAT(e.what(), HasSubstr("Remove it")) << text;
    }
  }
}

TEST(Files, WithoutRoomTheOldOneStands) {
  TestFolder folder;
  write_file(folder / "f", "old");
  // A limit on files' sizes refuses writes as a full disk does.
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  rlimit none = before;
  none.rlim_cur = 1000;
  ::setrlimit(RLIMIT_FSIZE, &none);
  EXPECT_THROW(write_file(folder / "f", std::string(5000, 'x')), Error);
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, handler);
  EXPECT_EQ(read_file(folder / "f"), "old");
  EXPECT_FALSE(std::filesystem::exists(folder / "f.new"));
  EXPECT_THROW(read_file(folder / "f", 2), Error);
}

}  // namespace
}  // namespace moraine::epic
