#include "runtime_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

namespace moraine::app {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr size_t kMaxFileBytes = 64 << 10, kMaxFiles = 256;

std::string read_small_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::string text(kMaxFileBytes, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(in.gcount()));
  return text;
}

// When the process began, in clock ticks since the machine did: with the pid, no other process has both. 0:
// it is not there.
uint64_t start_ticks(pid_t pid) {
  const std::string stat = read_small_file(fmt::format("/proc/{}/stat", pid));
  size_t at = stat.rfind(')');  // the name may hold anything
  if (at == std::string::npos) return 0;
  for (int field = 2; field < 22 && at != std::string::npos; ++field) at = stat.find(' ', at + 1);
  return at == std::string::npos ? 0 : std::strtoull(stat.c_str() + at, nullptr, 10);
}

// "moraine.service" of "0::/user.slice/.../app.slice/moraine.service"; empty outside of a service.
std::string own_unit() {
  std::string group = read_small_file("/proc/self/cgroup");
  group.resize(std::min(group.size(), group.find('\n')));
  const std::string last = group.substr(group.rfind('/') + 1);
  return last.ends_with(".service") && !last.starts_with("user@") ? last : "";
}

template <class T>
T value(const json& j, const char* key, T otherwise) {
  const auto at = j.find(key);
  if (at == j.end()) return otherwise;
  if constexpr (std::is_same_v<T, std::string>)
    return at->is_string() ? at->get<T>() : otherwise;
  else if constexpr (std::is_same_v<T, bool>)
    return at->is_boolean() ? at->get<T>() : otherwise;
  else
    return at->is_number_integer() ? at->get<T>() : otherwise;
}

std::string path_of(const std::string& folder, pid_t pid) { return fmt::format("{}/{}.json", folder, pid); }

}  // namespace

std::string runtime_folder(const options::Environment& env) {
  const char* runtime = env("XDG_RUNTIME_DIR");
  return runtime && *runtime == '/' ? std::string(runtime) + "/moraine"
                                    : fmt::format("/tmp/moraine-{}", ::getuid());
}

RuntimeFile::RuntimeFile(const options::Environment& env, RunningModel model)
    : model_(std::move(model)), folder_(runtime_folder(env)) {
  model_.pid = ::getpid();
  model_.started = std::time(nullptr);
  model_.unit = own_unit();
  std::error_code error;
  model_.model_path = fs::weakly_canonical(model_.model_path, error).string();
  struct stat s{};
  if (::mkdir(folder_.c_str(), 0700) != 0 && errno != EEXIST)
    problem_ = fmt::format("{} cannot be made: {}", folder_, std::strerror(errno));
  else if (::lstat(folder_.c_str(), &s) != 0 || !S_ISDIR(s.st_mode) || s.st_uid != ::getuid())
    problem_ = folder_ + " belongs to somebody else";
  if (problem_.empty()) write();
}

RuntimeFile::~RuntimeFile() {
  if (problem_.empty()) ::unlink(path_of(folder_, model_.pid).c_str());
}

void RuntimeFile::set_ready(const std::string& name, int32_t n_ctx) {
  model_.name = name;
  model_.n_ctx = n_ctx;
  model_.ready = true;
  if (problem_.empty()) write();
}

void RuntimeFile::write() {
  const json j = {{"pid", model_.pid},
                  {"start_ticks", start_ticks(model_.pid)},
                  {"name", model_.name},
                  {"model_path", model_.model_path},
                  {"url", model_.url},
                  {"ready", model_.ready},
                  {"needs_key", model_.needs_key},
                  {"n_ctx", model_.n_ctx},
                  {"started", model_.started},
                  {"log_file", model_.log_file},
                  {"unit", model_.unit}};
  const std::string text = j.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
  const std::string path = path_of(folder_, model_.pid), temporary = path + ".tmp";
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  const bool good = fd >= 0 && ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  if (fd >= 0) ::close(fd);
  if (!good || ::rename(temporary.c_str(), path.c_str()) != 0)
    problem_ = fmt::format("{} cannot be written: {}", path, std::strerror(errno));
}

bool still_runs(const RunningModel& model) {
  // A zombie has ended; only its parent has not looked yet.
  const std::string stat = read_small_file(fmt::format("/proc/{}/stat", model.pid));
  const size_t at = stat.rfind(')');
  return at != std::string::npos && at + 2 < stat.size() && stat[at + 2] != 'Z';
}

std::vector<RunningModel> running_models(const options::Environment& env) {
  const std::string folder = runtime_folder(env);
  struct stat s{};
  if (::lstat(folder.c_str(), &s) != 0 || !S_ISDIR(s.st_mode) || s.st_uid != ::getuid()) return {};
  std::vector<RunningModel> out;
  std::error_code error;
  size_t seen = 0;
  for (fs::directory_iterator it(folder, error), end; !error && it != end && seen < kMaxFiles;
       it.increment(error), ++seen) {
    if (it->path().extension() != ".json") continue;
    const json j = json::parse(read_small_file(it->path().string()), nullptr, false);
    if (!j.is_object()) continue;
    RunningModel m;
    m.pid = value<int32_t>(j, "pid", 0);
    if (m.pid <= 1 || it->path().stem() != std::to_string(m.pid)) continue;
    const uint64_t ticks = start_ticks(m.pid);
    if (ticks == 0 || ticks != value<uint64_t>(j, "start_ticks", 0)) {
      fs::remove(it->path(), error);
      continue;
    }
    m.name = value<std::string>(j, "name", "");
    m.model_path = value<std::string>(j, "model_path", "");
    m.url = value<std::string>(j, "url", "");
    m.ready = value<bool>(j, "ready", false);
    m.needs_key = value<bool>(j, "needs_key", true);
    m.n_ctx = value<int32_t>(j, "n_ctx", 0);
    m.started = value<int64_t>(j, "started", 0);
    m.log_file = value<std::string>(j, "log_file", "");
    m.unit = value<std::string>(j, "unit", "");
    out.push_back(std::move(m));
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) {
    return std::tuple(a.started, a.pid) < std::tuple(b.started, b.pid);
  });
  return out;
}

}  // namespace moraine::app
