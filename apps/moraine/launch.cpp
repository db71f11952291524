// `moraine launch CLIENT [-- arguments]`: runs a coding agent against a running server by its environment and
// arguments. Nothing of the user's is written; what must be a file is one of this process alone.
#include <fmt/format.h>
#include <moraine/error.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "agents/client.h"
#include "app.h"
#include "child_environment.h"
#include "running_server.h"

namespace moraine::app {
namespace {

namespace fs = std::filesystem;

// A folder that only this user reads, gone with the object.
class TemporaryFolder {
 public:
  TemporaryFolder() : path_((fs::temp_directory_path() / "moraine-launch-XXXXXX").string()) {
    if (::mkdtemp(path_.data()) == nullptr)
      throw Error(ErrorCode::kIo, fmt::format("Making a folder in {} failed: {}.",
                                              fs::temp_directory_path().string(), std::strerror(errno)));
  }
  ~TemporaryFolder() {
    std::error_code error;
    fs::remove_all(path_, error);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::string write(const char* name, const std::string& text) const {
    const std::string path = path_ + "/" + name;
    std::ofstream out(path);
    out << text;
    out.close();
    if (!out) throw Error(ErrorCode::kIo, fmt::format("Writing {} failed.", path));
    return path;
  }

 private:
  std::string path_;
};

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (std::string& t : texts) out.push_back(t.data());
  out.push_back(nullptr);
  return out;
}

volatile sig_atomic_t child = 0;
void pass_on(int signal) {
  if (child > 0) ::kill(child, signal);
}

// Its exit code; 128 + N where signal N ended it. Ctrl-C reaches the client from the terminal, and is its to
// answer; what is sent to this process alone is passed on.
int run_and_wait(std::vector<std::string> arguments, std::vector<std::string> environment,
                 const agents::Client& client) {
  struct sigaction ignore{}, forward{};
  ignore.sa_handler = SIG_IGN;
  forward.sa_handler = pass_on;
  for (const int s : {SIGINT, SIGQUIT}) ::sigaction(s, &ignore, nullptr);
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  sigset_t defaults;
  ::sigemptyset(&defaults);
  for (const int s : {SIGINT, SIGQUIT, SIGPIPE}) ::sigaddset(&defaults, s);
  ::posix_spawnattr_setsigdefault(&attributes, &defaults);
  // One that comes before the client is known waits until it can be passed on.
  sigset_t passed_on, before;
  ::sigemptyset(&passed_on);
  for (const int s : {SIGTERM, SIGHUP}) ::sigaddset(&passed_on, s);
  ::sigprocmask(SIG_BLOCK, &passed_on, &before);
  ::posix_spawnattr_setsigmask(&attributes, &before);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  pid_t pid = 0;
  const int error = ::posix_spawnp(&pid, arguments[0].c_str(), nullptr, &attributes,
                                   pointers(arguments).data(), pointers(environment).data());
  ::posix_spawnattr_destroy(&attributes);
  if (error != 0) ::sigprocmask(SIG_SETMASK, &before, nullptr);
  if (error == ENOENT)
    throw Error(ErrorCode::kNotFound,
                fmt::format("{} is not installed: npm install -g {}.", client.title(), client.package()));
  if (error != 0)
    throw Error(ErrorCode::kIo, fmt::format("Starting {} failed: {}.", arguments[0], std::strerror(error)));
  child = pid;
  for (const int s : {SIGTERM, SIGHUP}) ::sigaction(s, &forward, nullptr);
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

int launch(Invocation& invocation) {
  const ConnectSettings& s = invocation.settings.connect;
  const agents::Client& client = client_of(invocation);
  const agents::Server server = ask_running_server(s.url, s.key);
  agents::require_context(server);
  agents::Launch launch = client.launch(server);
  std::optional<TemporaryFolder> folder;
  if (!launch.file_variable.empty()) {
    folder.emplace();
    launch.environment.emplace_back(launch.file_variable, folder->write("settings.json", launch.file_text));
  }
  std::vector<std::string> arguments = {client.name()};
  arguments.insert(arguments.end(), launch.arguments.begin(), launch.arguments.end());
  arguments.insert(arguments.end(), s.arguments.begin(), s.arguments.end());
  invocation.console.line(terminal_safe(
      fmt::format("{} with {} at {}, for this run alone", client.title(), server.model, server.url)));
  return run_and_wait(std::move(arguments), child_environment(launch.environment, launch.unset), client);
}

}  // namespace moraine::app
