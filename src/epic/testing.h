// For the tests of epics: a folder that goes with its object.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <string>
#include <vector>

namespace moraine::epic {

class TestFolder {
 public:
  TestFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "moraine-epic-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TestFolder() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

// A small environment of our own: nothing of the user's git.
inline std::vector<std::string> test_environment(const std::string& home) {
  const char* path = ::getenv("PATH");
  return {std::string("PATH=") + (path ? path : "/usr/bin:/bin"), "HOME=" + home, "GIT_CONFIG_NOSYSTEM=1"};
}

}  // namespace moraine::epic
