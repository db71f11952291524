// A task's own copy of the repository, in which alone its agent and its acceptance command work, and the way
// of its edits from there into the branch: one commit, moved forward without a merge.
#pragma once

#include <optional>
#include <string>

#include "epic/git.h"

namespace moraine::epic {

class Worktree {
 public:
  // `plan_path`: of the plan within the repository, which no agent may change.
  Worktree(Git root, std::string folder, std::string plan_path)
      : root_(std::move(root)), git_(root_.at(folder)), plan_path_(std::move(plan_path)) {}

  const std::string& folder() const { return git_.folder(); }
  // Whether it is there, whole, and continues `base`.
  bool is_sound(const std::string& base) const;
  // A new one at `base`, whatever was there; with the edits of `edits`, a commit, where they fit. Throws
  // Error.
  void make(const std::string& base, const std::string& edits = "");
  void remove() noexcept;

  // Puts all that was edited since `base` on one side for keep(): what an acceptance command leaves
  // afterwards does not count. Throws Error, also where the folder is no working tree any more.
  void stage(const std::string& base);
  bool has_edits(const std::string& base) const;  // once staged
  std::string diff_stat(const std::string& base) const;
  // One commit of what is staged on `base`; its name.
  std::string keep(const std::string& base, const std::string& message);
  // `commit` on top of `head` instead: its new name; empty where the two conflict, and then the folder is as
  // it was.
  std::optional<std::string> move_onto(const std::string& head, const std::string& commit);
  // The same commit with the plan's text changed; its new name.
  std::string amend_plan(const std::string& text);

 private:
  Git root_, git_;
  std::string plan_path_;
};

}  // namespace moraine::epic
