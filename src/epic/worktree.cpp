#include "epic/worktree.h"

#include <fmt/format.h>
#include <moraine/error.h>

#include <filesystem>

#include "epic/files.h"

namespace moraine::epic {
namespace {

namespace fs = std::filesystem;

// What interpreters leave beside the sources, where no .gitignore names it.
const char* const kLeftovers[] = {":(exclude,glob)**/__pycache__/**", ":(exclude,glob)**/*.pyc",
                                  ":(exclude,glob)**/.pytest_cache/**"};

}  // namespace

bool Worktree::is_sound(const std::string& base) const {
  std::error_code error;
  if (base.empty() || !fs::is_directory(folder(), error)) return false;
  const Git::Answer top = git_.ask({"rev-parse", "--show-toplevel"});
  return top.code == 0 && fs::equivalent(top.output, folder(), error) &&
         git_.ask({"merge-base", "--is-ancestor", base, "HEAD"}).code == 0;
}

void Worktree::make(const std::string& base, const std::string& edits) {
  remove();
  std::error_code error;
  fs::create_directories(fs::path(folder()).parent_path(), error);
  root_.run({"worktree", "add", "--force", "--quiet", "--detach", folder(), base});
  if (edits.empty()) return;
  if (git_.ask({"cherry-pick", "--no-commit", edits}).code != 0)
    git_.run({"reset", "--quiet", "--hard", base});
  else
    git_.run({"reset", "--quiet"});
  git_.ask({"cherry-pick", "--quit"});
}

void Worktree::remove() noexcept {
  try {
    root_.ask({"worktree", "remove", "--force", "--force", folder()});
    std::error_code error;
    fs::remove_all(folder(), error);
    root_.ask({"worktree", "prune"});
  } catch (const std::exception&) {  // what is left is made anew or pruned the next time
  }
}

void Worktree::stage(const std::string& base) {
  if (!is_sound(base))
    throw Error(ErrorCode::kNotFound, fmt::format("{} is no working tree of git any more.", folder()));
  // An agent that was ended while git ran.
  std::error_code error;
  fs::path lock = git_.run({"rev-parse", "--git-path", "index.lock"});
  fs::remove(lock.is_absolute() ? lock : fs::path(folder()) / lock, error);
  git_.run({"reset", "--quiet", "--soft", base});  // commits that the agent made are one with the rest
  std::vector<std::string> add = {"add", "--all", "--", "."};
  add.insert(add.end(), std::begin(kLeftovers), std::end(kLeftovers));
  git_.run(add);
  git_.run({"reset", "--quiet", base, "--", plan_path_});
  git_.run({"checkout", "--quiet", base, "--", plan_path_});
}

bool Worktree::has_edits(const std::string& base) const {
  return git_.ask({"diff", "--cached", "--quiet", base}).code != 0;
}

std::string Worktree::diff_stat(const std::string& base) const {
  return git_.run({"diff", "--cached", "--stat", base});
}

std::string Worktree::keep(const std::string& base, const std::string& message) {
  git_.run({"reset", "--quiet", "--soft", base});
  git_.run({"commit", "--quiet", "--no-verify", "--allow-empty", "--file", "-"}, message);
  return git_.head();
}

std::optional<std::string> Worktree::move_onto(const std::string& head, const std::string& commit) {
  git_.run({"reset", "--quiet", "--hard", commit});
  git_.run({"clean", "--quiet", "--force", "-d"});
  git_.run({"checkout", "--quiet", "--detach", head});
  const Git::Answer moved = git_.ask({"cherry-pick", "--allow-empty", "--keep-redundant-commits", commit});
  if (moved.code == 0) return git_.head();
  git_.ask({"cherry-pick", "--abort"});
  git_.run({"reset", "--quiet", "--hard", commit});
  return std::nullopt;
}

std::string Worktree::amend_plan(const std::string& text) {
  write_file(folder() + "/" + plan_path_, text);
  git_.run({"add", "--force", "--", plan_path_});
  git_.run({"commit", "--quiet", "--no-verify", "--allow-empty", "--amend", "--no-edit"});
  return git_.head();
}

}  // namespace moraine::epic
