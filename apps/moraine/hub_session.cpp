#include "hub_session.h"

#include <fmt/format.h>
#include <signal.h>

#include <chrono>
#include <deque>
#include <filesystem>
#include <thread>

#include "hub/model_name.h"
#include "hub/quantization.h"
#include "hub/remote_header.h"
#include "loading.h"
#include "model_places.h"
#include "signals.h"
#include "version.h"

namespace moraine::app {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

// A live line on a terminal, a plain one now and then elsewhere. The rate is that of the last seconds.
class PullDisplay {
 public:
  explicit PullDisplay(Console& console) : console_(console) {}

  void show(const hub::PullProgress& p) {
    const auto now = Clock::now();
    if (samples_.empty()) resumed_ = p.bytes_done;
    if (samples_.empty() || now - samples_.back().first > 500ms) samples_.emplace_back(now, p.bytes_done);
    while (samples_.size() > 2 && now - samples_.front().first > 10s) samples_.pop_front();
    LoadProgress l;
    l.bytes_done = p.bytes_done;
    l.bytes_total = p.bytes_total;
    const double seconds = std::chrono::duration<double>(now - samples_.front().first).count();
    if (seconds > 1)
      l.bytes_per_second = static_cast<double>(p.bytes_done - samples_.front().second) / seconds;
    if (l.bytes_per_second > 0)
      l.seconds_left = static_cast<double>(p.bytes_total - p.bytes_done) / l.bytes_per_second;
    std::string text = terminal_safe(std::filesystem::path(p.file_name).filename().string()) + ": ";
    if (p.n_files > 1) text = fmt::format("file {} of {}, ", p.file + 1, p.n_files) + text;
    text += p.checking ? "all there; checking its SHA-256" : progress_text(l);
    if (console_.is_terminal()) {
      console_.live(text);
    } else if (now - last_plain_ >= 10s) {
      last_plain_ = now;
      console_.line(text);
    }
  }
  uint64_t resumed() const { return resumed_; }

 private:
  Console& console_;
  std::deque<std::pair<Clock::time_point, uint64_t>> samples_;
  Clock::time_point last_plain_ = Clock::now();
  uint64_t resumed_ = 0;
};

// Sets a flag when Ctrl-C or SIGTERM comes, for as long as it lives.
class StopWatch {
 public:
  explicit StopWatch(std::atomic<bool>& flag)
      : signals_{SIGINT, SIGTERM}, thread_([this, &flag] {
          if (wait_readable({signals_.fd(), done_.fd()}) == 0) flag = true;
        }) {}
  ~StopWatch() {
    done_.raise();
    thread_.join();
    signals_.release();
  }

 private:
  Signals signals_;
  Event done_;
  std::thread thread_;
};

}  // namespace

HubSession::HubSession(Invocation& invocation)
    : invocation_(invocation), cache_(hub_cache(invocation.env).string()) {
  const Settings& s = invocation.settings;
  options_.endpoint = s.hub.endpoint;
  while (options_.endpoint.ends_with('/')) options_.endpoint.pop_back();
  if (hub::origin_of(options_.endpoint).empty())
    throw options::UsageError(fmt::format(
        "--endpoint takes an address such as https://huggingface.co; {} is none", s.hub.endpoint));
  if (cache_.empty())
    throw Error(ErrorCode::kNotFound, "There is no place for models: neither HOME nor HF_HUB_CACHE is set.");
  options_.token = hub_token(s, invocation.env);
  for (const char c : options_.token)  // it becomes a header
    if (c <= ' ' || c == 0x7f)
      throw options::UsageError("the token of the hub holds blanks or control characters");
  options_.transfer.user_agent = "moraine/" + version();
  options_.transfer.ca_file = s.hub.ca_file;
  options_.on_wait = [&console = invocation.console](const std::string& why, std::chrono::milliseconds wait) {
    // Short hiccups are nobody's business.
    if (wait >= 2s)
      console.line(
          fmt::format("waiting {} s for the hub: {}", (wait.count() + 999) / 1000, terminal_safe(why)));
  };
}

hub::Repository HubSession::repository(const hub::RepoName& name) const {
  if (invocation_.settings.hub.offline)
    throw Error(
        ErrorCode::kUnavailable,
        fmt::format(
            "{} is not on this disk, and --offline (or HF_HUB_OFFLINE) keeps the program off the network.",
            name.id()));
  return hub::read_repository(options_, name, invocation_.settings.hub.revision);
}

Fit HubSession::fit_of(const hub::Repository& repository, const hub::Variant& variant, int32_t n_ctx) const {
  Fit fit;
  hub::HubOptions options = options_;
  options.max_attempts = 3;  // it is only advice
  std::atomic<bool> stop = false;
  const StopWatch watch(stop);
  options.transfer.cancelled = &stop;
  try {
    const hub::RemoteHeader header(options, repository, variant, std::filesystem::temp_directory_path());
    EngineOptions o = invocation_.settings.engine;
    o.model_path = header.path().string();
    o.n_ctx = n_ctx;
    fit.memory = Engine::estimate(o);
  } catch (const Error& e) {
    if (e.code() == ErrorCode::kCancelled || e.code() == ErrorCode::kNotFound) throw;  // as fetching would be
    fit.problem = e.what();
    fit.not_seen = e.code() == ErrorCode::kUnavailable || e.code() == ErrorCode::kIo;
    // The file of the header is nothing that a person knows.
    if (const size_t at = fit.problem.find("/moraine-header-"); at != std::string::npos)
      if (const size_t end = fit.problem.find('/', at + 1), begin = fit.problem.rfind(' ', at);
          end != std::string::npos)
        fit.problem.erase(begin == std::string::npos ? 0 : begin + 1,
                          end - (begin == std::string::npos ? 0 : begin));
  }
  return fit;
}

uint64_t HubSession::needed(const Fit& fit, const hub::Variant& measured, const hub::Variant& other) {
  const uint64_t beside = fit.memory.total() - std::min(fit.memory.total(), measured.size_bytes);
  return beside + other.size_bytes;
}

std::string HubSession::fetch(const hub::Repository& repository, const hub::Variant& variant) {
  Console& console = invocation_.console;
  std::atomic<bool> stop = false;
  const StopWatch watch(stop);
  hub::HubOptions options = options_;
  options.transfer.cancelled = &stop;
  PullDisplay display(console);
  hub::PullRequest request{.hub_cache = cache_,
                           .repository = repository,
                           .variant = variant,
                           .revision = invocation_.settings.hub.revision,
                           .n_connections = invocation_.settings.hub.connections,
                           .on_progress = [&](const hub::PullProgress& p) { display.show(p); }};
  const uint64_t to_fetch = hub::bytes_to_fetch(request);
  if (to_fetch > 0)
    console.line(terminal_safe(
        to_fetch < variant.size_bytes
            ? fmt::format("fetching {}:{}: {} of {} are still to come", repository.id, variant.name,
                          size_text(to_fetch), size_text(variant.size_bytes))
            : fmt::format("fetching {}:{}: {}", repository.id, variant.name, size_text(variant.size_bytes))));
  const auto began = Clock::now();
  std::string path;
  try {
    path = hub::pull(options, request).string();
  } catch (const Error& e) {
    console.end_live();
    if (e.code() == ErrorCode::kCancelled)
      console.line("stopped; what came is kept, the same command goes on from there");
    throw;
  }
  console.end_live();
  const double seconds = std::chrono::duration<double>(Clock::now() - began).count();
  if (to_fetch > 0)
    console.line(terminal_safe(fmt::format("{}:{} is here: {} in {:.0f} s, {:.0f} MB/s, SHA-256 checked",
                                           repository.id, variant.name, size_text(to_fetch), seconds,
                                           static_cast<double>(to_fetch) / 1e6 / std::max(seconds, 1e-3))));
  else
    console.line(terminal_safe(fmt::format("{}:{} was here already: {}", repository.id, variant.name,
                                           size_text(variant.size_bytes))));
  return path;
}

std::string path_of_hub_model(Invocation& invocation, const hub::RepoName& name, const std::string& file) {
  const std::vector<hub::LocalModel> all = hub::find_local_models(model_roots(invocation.env));
  std::vector<hub::LocalModel> found =
      hub::find_models(name.quantization.empty() ? name.id() : name.id() + ":" + name.quantization, all);
  std::erase_if(found, [&](const hub::LocalModel& m) {
    return hub::upper(m.name) != hub::upper(name.id()) || m.n_missing > 0 ||
           (!name.quantization.empty() && hub::upper(m.quantization) != hub::upper(name.quantization)) ||
           (!file.empty() && m.path.filename() != std::filesystem::path(file).filename());
  });
  if (found.size() == 1 || (!found.empty() && (invocation.settings.hub.offline || !file.empty())))
    return found.front().path.string();
  for (const hub::LocalModel& m : found)
    if (m.quantization == "Q4_K_M") return m.path.string();

  HubSession session(invocation);
  const hub::Repository repository = session.repository(name);
  const std::vector<hub::Variant> variants = hub::variants_of(repository);
  const std::string wanted = file.empty() ? name.quantization : file;
  const hub::Variant* variant =
      wanted.empty() ? hub::default_variant(variants) : hub::find_variant(variants, wanted);
  if (variant == nullptr) throw no_such_variant(repository, variants, wanted);
  return session.fetch(repository, *variant);
}

Error no_such_variant(const hub::Repository& repository, const std::vector<hub::Variant>& variants,
                      const std::string& wanted) {
  if (variants.empty())
    return Error(
        ErrorCode::kNotFound,
        fmt::format("{} has no GGUF file{}. Repositories that have some often end in -GGUF.", repository.id,
                    repository.refused.empty() ? "" : " with a name that is safe to write to a disk"));
  std::string names;
  for (const hub::Variant& v : variants) names += (names.empty() ? "" : ", ") + v.name;
  return Error(ErrorCode::kNotFound, fmt::format("{} has no {}. It has: {}.", repository.id, wanted, names));
}

}  // namespace moraine::app
