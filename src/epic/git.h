// git, as the epics need it: its commands in one folder, without hooks, signatures or questions, whatever
// repository the environment names.
#pragma once

#include <string>
#include <vector>

namespace moraine::epic {

class Git {
 public:
  // `environment`: of this program; what points git elsewhere is left out.
  Git(std::string folder, const std::vector<std::string>& environment);

  const std::string& folder() const { return folder_; }
  Git at(const std::string& folder) const;  // the same in another folder

  struct Answer {
    int code = 0;
    std::string output;  // both streams; at most 1 MiB
  };
  Answer ask(const std::vector<std::string>& arguments, const std::string& input = "") const;
  // What it prints, without the last line end. Throws Error{kIo} with git's words where it fails.
  std::string run(const std::vector<std::string>& arguments, const std::string& input = "") const;

  std::string head() const { return run({"rev-parse", "--verify", "HEAD"}); }
  // Paths that are not as committed, as `git status --porcelain` has them, but for `except`.
  std::vector<std::string> changes(const std::string& except = "") const;

 private:
  std::string folder_;
  std::vector<std::string> environment_;
};

// The environment without what names another repository.
std::vector<std::string> without_git(const std::vector<std::string>& environment);

// Where a repository is. Throws Error{kNotFound} outside of one, kUnsupported for one without files or
// commits.
struct Repository {
  std::string root;        // of the working tree
  std::string git_folder;  // shared by all its worktrees
};
Repository find_repository(const Git& git);

}  // namespace moraine::epic
