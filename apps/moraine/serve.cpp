// `moraine serve`: opens the port, loads the model behind it, and stays until a signal. The first SIGINT,
// SIGTERM or SIGHUP stops loading, or lets the answers under way finish; the second ends at once.
#include <fmt/format.h>
#include <signal.h>

#include <atomic>
#include <filesystem>
#include <optional>
#include <thread>

#include "app.h"
#include "cache_place.h"
#include "loading.h"
#include "log.h"
#include "model_path.h"
#include "ready_block.h"
#include "runtime_file.h"
#include "signals.h"
#include "usage/writer.h"
#include "usage_place.h"
#include "version.h"

namespace moraine::app {
namespace {

constexpr size_t kMaxKeyFileBytes = 1 << 20;

void read_files(Settings& s) {
  read_chat_files(s);
  if (s.api_key_file.empty()) return;
  const size_t before = s.api.api_keys.size();
  for (std::string& line :
       options::split(read_text_file(s.api_key_file, "--api-key-file", kMaxKeyFileBytes), '\n')) {
    line.erase(line.find_last_not_of(" \t\r") + 1);
    line.erase(0, line.find_first_not_of(" \t"));
    if (!line.empty() && line.front() != '#') s.api.api_keys.push_back(line);
  }
  // A file meant to close the door must not leave it open.
  if (s.api.api_keys.size() == before)
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("The file of --api-key-file, {}, holds no key.", s.api_key_file));
}

// Loads on a thread of its own, so that this one can listen to signals.
class Loader {
 public:
  // on_memory is told what loading will take, once, before anything large is read.
  Loader(const LoadEngine& load, const EngineOptions& options, server::Api& api, LoadingDisplay& display,
         std::function<void(const MemoryEstimate&)> on_memory)
      : thread_([this, &load, options, &api, &display, on_memory] {
          try {
            bool told = false;
            engine_ = load(options, [&](const LoadProgress& progress) {
              if (!told && progress.memory) on_memory(*progress.memory);
              told = told || progress.memory;
              api.set_loading(progress);
              display.show(progress);
              return !cancelled_;
            });
            api.set_ready(engine_);
          } catch (const Error& e) {
            error_ = e;
          } catch (const std::bad_alloc&) {
            error_ = Error(ErrorCode::kOutOfMemory, "There is not enough memory to load the model.");
          } catch (const std::exception& e) {
            error_ = Error(ErrorCode::kInternal, e.what());
          }
          done_.raise();
        }) {}
  ~Loader() {
    cancelled_ = true;
    if (thread_.joinable()) thread_.join();
  }

  int done_fd() const { return done_.fd(); }
  void cancel() { cancelled_ = true; }
  // After done_fd() became readable. Throws Error.
  std::shared_ptr<Engine> result() {
    thread_.join();
    if (error_) throw *error_;
    return engine_;
  }

 private:
  std::atomic<bool> cancelled_ = false;
  Event done_;
  std::shared_ptr<Engine> engine_;
  std::optional<Error> error_;
  std::thread thread_;  // last: it uses the others
};

void print_ready(const Invocation& invocation, const Engine& engine, int port, double seconds) {
  Console& console = invocation.console;
  if (invocation.settings.log_disabled) return;
  for (const ReadyLine& line :
       ready_block({engine.info(), invocation.settings, invocation.parsed, port, seconds})) {
    const std::string label =
        console.styled(fmt::format("{:<8}", line.label), line.is_warning ? Style::kRed : Style::kBold);
    console.line(label + (line.is_warning ? console.styled(line.text, Style::kRed) : line.text));
  }
}

// What others of this user's programs may know of it.
RunningModel running_model(const Settings& s, int port) {
  RunningModel m;
  m.name = s.api.alias.empty() ? std::filesystem::path(s.engine.model_path).filename().string() : s.api.alias;
  m.model_path = s.engine.model_path;
  m.url = base_url(s, port);
  m.needs_key = !s.api.api_keys.empty();
  std::error_code error;
  if (!s.log_file.empty()) m.log_file = std::filesystem::absolute(s.log_file, error).string();
  return m;
}

}  // namespace

int serve(Invocation& invocation) {
  Settings& s = invocation.settings;
  Console& console = invocation.console;
  require_model(invocation, "serve");
  read_files(s);

  // Before any thread, so that all of them leave these to wait_readable().
  Signals signals{SIGINT, SIGTERM, SIGHUP};
  signal(SIGPIPE, SIG_IGN);  // a client that left is no reason to end

  const auto log = make_log(s, console);
  s.engine.cache_disk = cache_folder(s.cache, invocation.env);
  s.engine.on_notice = [log](const std::string& line) { write_log(*log, server::LogLevel::kWarning, line); };
  server::ApiOptions api_options = s.api;
  if (const size_t comma = api_options.alias.find(','); comma != std::string::npos)
    api_options.alias.resize(comma);
  api_options.https = !s.http.tls_certificate_path.empty();
  api_options.build_info =
      commit().empty() ? "moraine-" + version() : fmt::format("moraine-{}-{}", version(), commit());
  api_options.log = [log](server::LogLevel level, const std::string& line) { write_log(*log, level, line); };
  std::optional<usage::Writer> meter;  // outlives the API, which calls it
  if (const std::string file = usage_file(s.usage, invocation.env); !file.empty()) {
    meter.emplace(usage::WriterOptions{.path = file, .on_notice = [log](const std::string& line) {
                                         write_log(*log, server::LogLevel::kWarning, line);
                                       }});
    api_options.on_usage = [&meter](usage::Record record) { meter->add(std::move(record)); };
  }
  server::Api api(std::move(api_options));
  http::Server server(s.http, api.handler());
  server.listen();
  server.start();
  RuntimeFile runtime(invocation.env, running_model(s, server.port()));
  if (!runtime.problem().empty())
    write_log(*log, server::LogLevel::kDebug, "moraine ps will not know this server: " + runtime.problem());
  if (!s.log_disabled)
    console.line(fmt::format("moraine {} on {}; until the model is loaded, requests get 503 and the progress",
                             version(), base_url(s, server.port())));

  const auto began = std::chrono::steady_clock::now();
  std::shared_ptr<Engine> engine;
  {
    LoadingDisplay display(console, std::filesystem::path(s.engine.model_path).filename().string());
    Loader loader(invocation.load_engine, s.engine, api, display, [&](const MemoryEstimate& memory) {
      if (s.log_disabled) return;
      std::string text = memory_text(memory, s.engine.memory_limit_bytes > 0);
      if (!s.engine.cache_disk.empty())
        text += terminal_safe(fmt::format("; on disk {} in {} (--cache-disk)", size_text(s.engine.cache_disk_bytes),
                                          s.engine.cache_disk));
      console.line(console.styled(fmt::format("{:<8}", "memory"), Style::kBold) + text);
    });
    if (wait_readable({loader.done_fd(), signals.fd()}) != 0) {
      console.end_live();
      console.line("stopped while loading");
      signals.release();
      return kOk;
    }
    engine = loader.result();
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  runtime.set_ready(s.api.alias.empty() ? engine->info().file_name : s.api.alias, engine->info().n_ctx);
  print_ready(invocation, *engine, server.port(), seconds);

  wait_readable({signals.fd()});
  signals.release();
  const size_t open = server.stats().open_exchanges;
  if (open > 0 && !s.log_disabled)
    console.line(fmt::format("finishing {} answer{}; again to stop at once", open, open == 1 ? "" : "s"));
  const bool complete = server.drain(std::chrono::seconds(s.drain_timeout_s));
  server.stop();
  if (!complete)
    write_log(*log, server::LogLevel::kWarning,
              fmt::format("answers were cut off after {} s (--drain-timeout)", s.drain_timeout_s));
  if (!s.log_disabled) console.line("stopped");
  return kOk;
}

}  // namespace moraine::app
