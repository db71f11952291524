// The meter's file: what goes in comes out, who may read it, and whose files are refused.
#include "usage/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <moraine/error.h>
#include <sys/stat.h>

#include <fstream>
#include <vector>

#include "usage/database.h"
#include "usage/testing.h"

namespace moraine::usage {
namespace {

using ::testing::HasSubstr;

std::vector<Record> all(const Store& store, const Store::Filter& filter = {}) {
  std::vector<Record> out;
  store.each(filter, [&](const Record& r) { out.push_back(r); });
  return out;
}

template <class Fn>
Error error_of(Fn&& fn) {
  try {
    fn();
  } catch (const Error& e) {
    return e;
  }
  return Error(ErrorCode::kInternal, "nothing was thrown");
}

mode_t mode_of(const std::string& path) {
  struct stat s{};
  EXPECT_EQ(::stat(path.c_str(), &s), 0);
  return s.st_mode & 07777;
}

TEST(Store, GivesBackWhatItWasGiven) {
  TestFolder folder;
  Record r = record(1'700'000'000'000, 1500.5, "a'; DROP TABLE requests; --");
  r.epic = "mend", r.task = "parser";
  {
    Store store = Store::open(folder / "a/b/usage.sqlite");
    store.add(std::vector{r, record(1'700'000'001'000, 2)});
  }
  const Store store = Store::open_existing(folder / "a/b/usage.sqlite");
  const auto rows = all(store);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].model, r.model);
  EXPECT_EQ(rows[0].task, "parser");
  EXPECT_EQ(rows[0].n_cached, 900);
  EXPECT_EQ(rows[0].n_accepted, 7);
  EXPECT_EQ(rows[0].whole_ms, 1500.5);
  EXPECT_EQ(all(store, {.since_ms = 1'700'000'000'001}).size(), 1u);
  EXPECT_EQ(all(store, {.epic = "mend"}).size(), 1u);
  EXPECT_EQ(all(store, {.epic = "other"}).size(), 0u);
}

TEST(Store, IsThisUsersAlone) {
  TestFolder folder;
  Store::open(folder / "data/usage.sqlite");
  EXPECT_EQ(mode_of(folder / "data"), 0700u);
  EXPECT_EQ(mode_of(folder / "data/usage.sqlite"), 0600u);
  ::chmod((folder / "data/usage.sqlite").c_str(), 0644);
  Store::open(folder / "data/usage.sqlite");
  EXPECT_EQ(mode_of(folder / "data/usage.sqlite"), 0600u);
}

TEST(Store, TwoMayWriteAndAThirdReads) {
  TestFolder folder;
  const std::string path = folder / "usage.sqlite";
  Store a = Store::open(path), b = Store::open(path);
  a.add(std::vector{record(1, 1)});
  b.add(std::vector{record(2, 1)});
  EXPECT_EQ(all(Store::open_existing(path)).size(), 2u);
}

TEST(Store, SumsEnergy) {
  TestFolder folder;
  Store store = Store::open(folder / "u");
  store.add({}, std::vector<Energy>{{1000, 50, 2}, {2000, 70, 3}});
  EXPECT_EQ(store.energy(0).joules, 120);
  EXPECT_EQ(store.energy(1500).seconds, 3);
  EXPECT_EQ(store.energy(5000).joules, 0);
}

TEST(Store, NamesAreCutAndHeadersOfTextAreNone) {
  TestFolder folder;
  Store store = Store::open(folder / "u");
  store.add(std::vector{record(1, 1, std::string(5000, 'x'))});
  EXPECT_EQ(all(store)[0].model.size(), kMaxName);
  EXPECT_EQ(plain_name("mend-the_parser.2"), "mend-the_parser.2");
  EXPECT_EQ(plain_name("please read this"), "");
  EXPECT_EQ(plain_name(std::string(kMaxName + 1, 'a')), "");
}

TEST(Store, WhatIsNotOursIsRefusedAndLeftAlone) {
  TestFolder folder;
  EXPECT_EQ(error_of([&] { Store::open_existing(folder / "none"); }).code(), ErrorCode::kNotFound);
  std::ofstream(folder / "empty");  // of a server that ended just then
  EXPECT_EQ(error_of([&] { Store::open_existing(folder / "empty"); }).code(), ErrorCode::kNotFound);
  std::ofstream(folder / "text") << std::string(5000, 'x');
  const Error damaged = error_of([&] { Store::open(folder / "text"); });
  EXPECT_EQ(damaged.code(), ErrorCode::kCorruptFile);
  EXPECT_THAT(damaged.what(), HasSubstr("Move it away"));

  std::ofstream(folder / "other");
  Database(folder / "other", Database::Mode::kWrite, 0).run("CREATE TABLE t(a); PRAGMA user_version = 1");
  EXPECT_THAT(error_of([&] { Store::open(folder / "other"); }).what(), HasSubstr("another program"));

  Store::open(folder / "newer");
  Database(folder / "newer", Database::Mode::kWrite, 0).run("PRAGMA user_version = 99");
  EXPECT_THAT(error_of([&] { Store::open(folder / "newer"); }).what(), HasSubstr("newer moraine"));
}

TEST(Store, AFailedWriteLeavesNothingBehind) {
  TestFolder folder;
  Store store = Store::open(folder / "u", 10);
  Database other(folder / "u", Database::Mode::kWrite, 10);
  other.run("BEGIN IMMEDIATE");
  EXPECT_EQ(error_of([&] { store.add(std::vector{record(1, 1)}); }).code(), ErrorCode::kIo);
  other.run("COMMIT");
  store.add(std::vector{record(2, 1)});
  EXPECT_EQ(all(store).size(), 1u);
}

}  // namespace
}  // namespace moraine::usage
