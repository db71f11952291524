// Writing a configuration file: backups, rights, and every way it may fail with the old file left whole.
#include "system/write_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <moraine/error.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace moraine::system {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class WriteConfigTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "moraine-write-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder = name;
    fs::create_directories(folder / "etc/default");
  }
  void TearDown() override { fs::remove_all(folder); }
  void write(const std::string& text) { std::ofstream(folder / "etc/default/grub") << text; }
  std::string read(const std::string& path) const {
    std::ifstream in(folder / path);
    return std::string((std::istreambuf_iterator<char>(in)), {});
  }
  RootFiles files() const { return RootFiles(folder.string()); }
  std::string error_of(const FileEdit& edit) const {
    try {
      write_edit(files(), edit);
    } catch (const Error& e) {
      return e.what();
    }
    return "(no error)";
  }
  static FileEdit edit() { return {"/etc/default/grub", false, "old\n", "new\n", {"new"}}; }
  fs::path folder;
};

TEST_F(WriteConfigTest, KeepsACopyAndTheRights) {
  write("old\n");
  fs::permissions(folder / "etc/default/grub", fs::perms(0640));
  const Written written = write_edit(files(), edit());
  EXPECT_EQ(read("etc/default/grub"), "new\n");
  EXPECT_EQ(read("etc/default/grub.before-moraine"), "old\n");
  EXPECT_EQ(written.backup, (folder / "etc/default/grub.before-moraine").string());
  EXPECT_EQ(fs::status(folder / "etc/default/grub").permissions(), fs::perms(0640));
}

TEST_F(WriteConfigTest, TheFirstCopyIsTheOneThatStays) {
  write("old\n");
  write_edit(files(), edit());
  write_edit(files(), {"/etc/default/grub", false, "new\n", "newer\n", {}});
  EXPECT_EQ(read("etc/default/grub.before-moraine"), "old\n");
  EXPECT_EQ(read("etc/default/grub"), "newer\n");
}

TEST_F(WriteConfigTest, ANewFileNeedsNoCopy) {
  const Written written = write_edit(files(), {"/etc/default/limine", true, "", "x\n", {"x"}});
  EXPECT_EQ(read("etc/default/limine"), "x\n");
  EXPECT_TRUE(written.backup.empty());
  EXPECT_EQ(fs::status(folder / "etc/default/limine").permissions(), fs::perms(0644));
}

TEST_F(WriteConfigTest, AFileThatChangedMeanwhileIsLeftAlone) {
  write("someone else's\n");
  EXPECT_THAT(error_of(edit()), HasSubstr("changed since it was read"));
  EXPECT_EQ(read("etc/default/grub"), "someone else's\n");
  fs::remove(folder / "etc/default/grub");
  EXPECT_THAT(error_of(edit()), HasSubstr("changed since"));
  write("now there\n");
  EXPECT_THAT(error_of({"/etc/default/grub", true, "", "x", {}}), HasSubstr("changed since"));
}

TEST_F(WriteConfigTest, LinksAreNotFollowed) {
  std::ofstream(folder / "elsewhere") << "old\n";
  fs::create_symlink(folder / "elsewhere", folder / "etc/default/grub");
  EXPECT_THAT(error_of(edit()), HasSubstr("by hand"));
  EXPECT_EQ(read("elsewhere"), "old\n");
  fs::create_directory_symlink("/tmp", folder / "etc/out");
  EXPECT_THAT(error_of({"/etc/out/x.conf", true, "", "x", {}}), HasSubstr("outside"));
  EXPECT_THAT(error_of({"/nowhere/x.conf", true, "", "x", {}}), HasSubstr("not there"));
}

TEST_F(WriteConfigTest, WithoutRightsNothingChanges) {
  if (geteuid() == 0) GTEST_SKIP() << "root may write everywhere";
  write("old\n");
  fs::permissions(folder / "etc/default", fs::perms(0500));
  EXPECT_THAT(error_of(edit()), HasSubstr("sudo"));
  fs::permissions(folder / "etc/default", fs::perms(0700));
  EXPECT_EQ(read("etc/default/grub"), "old\n");
}

// In a process of its own: limits and mounts are the process's.
template <class Body>
int exit_code_of(const Body& body) {
  const pid_t child = fork();
  if (child == 0) _exit(body());
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_F(WriteConfigTest, AWriteThatStopsHalfwayLeavesTheOldFileAndNoRest) {
  write("old\n");
  const std::string large(100000, 'x');
  const int code = exit_code_of([&] {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{50000, 50000};
    setrlimit(RLIMIT_FSIZE, &limit);
    return error_of({"/etc/default/grub", false, "old\n", large, {}}).find("Make room") != std::string::npos
               ? 0
               : 1;
  });
  EXPECT_EQ(code, 0);
  EXPECT_EQ(read("etc/default/grub"), "old\n");
  for (const auto& entry : fs::directory_iterator(folder / "etc/default"))
    EXPECT_THAT(entry.path().filename().string(), testing::AnyOf("grub", "grub.before-moraine"));
}

TEST_F(WriteConfigTest, AFullDiskAndAReadOnlyOne) {
  const fs::path etc = folder / "etc/default";
  constexpr int kNoMounts = 77;
  const int code = exit_code_of([&] {
    if (unshare(CLONE_NEWNS) != 0 || mount("", "/", "", MS_REC | MS_PRIVATE, "") != 0 ||
        mount("tmpfs", etc.c_str(), "tmpfs", 0, "size=64k") != 0)
      return kNoMounts;
    write("old\n");
    std::ofstream(etc / "filler") << std::string(56000, 'x');
    const std::string full = error_of({"/etc/default/grub", false, "old\n", std::string(30000, 'y'), {}});
    if (full.find("No space left") == std::string::npos || full.find("Make room") == std::string::npos)
      return 1;
    if (read("etc/default/grub") != "old\n") return 2;
    if (mount("", etc.c_str(), "", MS_REMOUNT | MS_RDONLY, "") != 0) return 3;
    if (error_of(edit()).find("read-only") == std::string::npos) return 4;
    return read("etc/default/grub") == "old\n" ? 0 : 5;
  });
  if (code == kNoMounts) GTEST_SKIP() << "this user cannot mount";
  EXPECT_EQ(code, 0);
}

}  // namespace
}  // namespace moraine::system
