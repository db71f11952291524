#include "agents/settings_file.h"

#include <gtest/gtest.h>
#include <moraine/error.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace moraine::agents {
namespace {

namespace fs = std::filesystem;

class SettingsFileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "moraine-settings-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = fs::canonical(name);
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string at(const char* name) const { return (folder_ / name).string(); }
  static void put(const std::string& path, const std::string& text) { std::ofstream(path) << text; }
  static std::string get(const std::string& path) {
    std::stringstream s;
    s << std::ifstream(path).rdbuf();
    return s.str();
  }
  fs::path folder_;
};

TEST_F(SettingsFileTest, TheFirstCopyIsKept) {
  put(at("a.json"), "one");
  write_settings(read_settings(at("a.json")), "two");
  write_settings(read_settings(at("a.json")), "three");
  EXPECT_EQ(get(at("a.json")), "three");
  EXPECT_EQ(get(at("a.json.before-moraine")), "one");
  const SettingsFile now = read_settings(at("a.json"));
  restore_settings(now, read_backup(now), "one");
  EXPECT_EQ(get(at("a.json")), "one");
  EXPECT_FALSE(fs::exists(at("a.json.before-moraine")));
  EXPECT_THROW(read_backup(now), Error);
}

TEST_F(SettingsFileTest, ANewFileIsItsOwnersAndGoesAgain) {
  const std::string path = at("deep/folder/a.json");
  write_settings(read_settings(path), "two");
  struct stat status{};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  const SettingsFile now = read_settings(path);
  restore_settings(now, read_backup(now), "");
  EXPECT_FALSE(fs::exists(path));
}

TEST_F(SettingsFileTest, LinksStayLinks) {
  put(at("real.json"), "one");
  fs::create_symlink("real.json", at("link.json"));
  write_settings(read_settings(at("link.json")), "two");
  EXPECT_TRUE(fs::is_symlink(at("link.json")));
  EXPECT_EQ(get(at("real.json")), "two");
}

TEST_F(SettingsFileTest, WhatChangedMeanwhileIsNotOverwritten) {
  put(at("a.json"), "one");
  const SettingsFile read = read_settings(at("a.json"));
  put(at("a.json"), "mine");
  EXPECT_THROW(write_settings(read, "two"), Error);
  EXPECT_EQ(get(at("a.json")), "mine");
  EXPECT_FALSE(fs::exists(at("a.json.before-moraine")));
}

TEST_F(SettingsFileTest, OnlyFilesAreRead) {
  fs::create_directory(at("folder"));
  EXPECT_THROW(read_settings(at("folder")), Error);
  ASSERT_EQ(::mkfifo(at("pipe").c_str(), 0600), 0);
  EXPECT_THROW(read_settings(at("pipe")), Error);
  EXPECT_FALSE(read_settings(at("none")).exists);
}

}  // namespace
}  // namespace moraine::agents
