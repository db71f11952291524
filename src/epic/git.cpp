#include "epic/git.h"

#include <fmt/format.h>
#include <moraine/error.h>

#include <algorithm>
#include <filesystem>

#include "epic/process.h"

namespace moraine::epic {
namespace {

constexpr std::chrono::minutes kPatience{10};  // a large checkout on a slow disk

}  // namespace

std::vector<std::string> without_git(const std::vector<std::string>& environment) {
  std::vector<std::string> out;
  for (const std::string& e : environment) {
    const std::string name = e.substr(0, e.find('='));
    if (name.starts_with("GIT_") && name != "GIT_SSH" && name != "GIT_SSH_COMMAND" &&
        !name.starts_with("GIT_AUTHOR_") && !name.starts_with("GIT_COMMITTER_") &&
        !name.starts_with("GIT_CONFIG"))
      continue;
    out.push_back(e);
  }
  return out;
}

Git::Git(std::string folder, const std::vector<std::string>& environment)
    : folder_(std::move(folder)), environment_(without_git(environment)) {
  std::erase_if(environment_,
                [](const std::string& e) { return e.starts_with("LC_ALL=") || e.starts_with("PWD="); });
  environment_.emplace_back("LC_ALL=C");
  environment_.emplace_back("GIT_TERMINAL_PROMPT=0");
  environment_.emplace_back("GIT_EDITOR=true");
}

Git Git::at(const std::string& folder) const {
  Git other = *this;
  other.folder_ = folder;
  return other;
}

Git::Answer Git::ask(const std::vector<std::string>& arguments, const std::string& input) const {
  ProcessOptions o;
  // Nobody is there to be asked for a passphrase, and a hook may take any time: neither has a place at night.
  o.command = {"git",
               "-c",
               "core.hooksPath=/dev/null",
               "-c",
               "commit.gpgSign=false",
               "-c",
               "core.quotePath=false",
               "-c",
               "advice.detachedHead=false",
               "-c",
               "gc.auto=0"};
  o.command.insert(o.command.end(), arguments.begin(), arguments.end());
  o.folder = folder_;
  o.environment = environment_;
  o.input = input;
  o.timeout = kPatience;
  o.kept_bytes = 1 << 20;
  ProcessResult r;
  try {
    r = run_process(o);
  } catch (const Error& e) {
    if (e.code() != ErrorCode::kNotFound || !std::filesystem::exists(folder_)) throw;
    throw Error(ErrorCode::kNotFound, "git is not installed, and epics need it.");
  }
  while (r.output.ends_with('\n')) r.output.pop_back();
  return {r.good() ? 0 : std::max(r.code, 1), std::move(r.output)};
}

std::string Git::run(const std::vector<std::string>& arguments, const std::string& input) const {
  Answer a = ask(arguments, input);
  if (a.code != 0)
    throw Error(ErrorCode::kIo,
                fmt::format("`git {}` in {} failed: {}", arguments.at(0), folder_, a.output.substr(0, 2000)));
  return std::move(a.output);
}

std::vector<std::string> Git::changes(const std::string& except) const {
  std::vector<std::string> out;
  const std::string text = run({"status", "--porcelain", "--untracked-files=all"});
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, end - at);
    if (line.size() > 3 && line.substr(3) != except) out.push_back(line);
    at = end + 1;
  }
  return out;
}

Repository find_repository(const Git& git) {
  const Git::Answer root = git.ask({"rev-parse", "--show-toplevel"});
  if (root.code != 0)
    throw Error(
        ErrorCode::kNotFound,
        fmt::format("{} is in no git repository; epics are worked through in one: git init.", git.folder()));
  if (git.ask({"rev-parse", "--verify", "HEAD"}).code != 0)
    throw Error(ErrorCode::kUnsupported, fmt::format("{} has no commit yet; make a first one.", root.output));
  const std::string common = git.run({"rev-parse", "--git-common-dir"});
  const std::filesystem::path path(common);
  return {
      root.output,
      (path.is_absolute() ? path : std::filesystem::path(git.folder()) / path).lexically_normal().string()};
}

}  // namespace moraine::epic
