// `moraine run`: a conversation on the terminal, or one answer to an argument, a file or standard input.
// Answers go to standard output, everything else to standard error.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <optional>

#include "app.h"
#include "chat_session.h"
#include "loading.h"
#include "model_path.h"
#include "remote_chat.h"
#include "runtime_file.h"
#include "signals.h"

namespace moraine::app {
namespace {

constexpr size_t kMaxPromptBytes = 64 << 20;

// Bytes from standard input while signals are listened to. nullopt: a signal came.
class Input {
 public:
  explicit Input(Signals& signals) : signals_(signals) {}

  enum class Result { kLine, kEnd, kSignal };
  Result line(std::string& out) {
    for (;;) {
      if (const size_t end = buffer_.find('\n'); end != std::string::npos) {
        out = buffer_.substr(0, end);
        buffer_.erase(0, end + 1);
        return Result::kLine;
      }
      const Result r = fill();
      if (r == Result::kSignal) {
        buffer_.clear();  // the terminal drops the line typed so far, too
        return r;
      }
      if (r == Result::kEnd) {
        out = std::exchange(buffer_, {});
        return out.empty() ? Result::kEnd : Result::kLine;
      }
    }
  }
  Result all(std::string& out) {
    for (;;) {
      const Result r = fill();
      if (r == Result::kLine) {
        if (buffer_.size() > kMaxPromptBytes)
          throw Error(ErrorCode::kInvalidArgument,
                      "Standard input holds more than 64 MB; no context is that long.");
        continue;
      }
      out = std::exchange(buffer_, {});
      return r;
    }
  }

 private:
  Result fill() {
    if (wait_readable({signals_.fd(), STDIN_FILENO}) == 0 && signals_.take()) return Result::kSignal;
    char bytes[4096];
    const ssize_t n = read(STDIN_FILENO, bytes, sizeof bytes);
    if (n <= 0) return Result::kEnd;
    buffer_.append(bytes, static_cast<size_t>(n));
    return Result::kLine;
  }

  Signals& signals_;
  std::string buffer_;
};

std::string speed(int32_t n, double ms, const char* done) {
  return fmt::format("{} {} in {:.2f} s ({:.0f} tok/s)", n, done, ms / 1000, ms > 0 ? n / ms * 1000 : 0.0);
}

class Runner {
 public:
  Runner(Invocation& invocation, Signals& signals)
      : invocation_(invocation),
        settings_(invocation.settings),
        console_(invocation.console),
        signals_(signals),
        input_(signals) {}

  int one_answer(std::string prompt) {
    load();
    return answer(prompt).interrupted ? kInterrupted : kOk;
  }

  int conversation() {
    load();
    if (!remote_) {
      const ModelInfo& info = engine_->info();
      console_.line(console_.styled(
          fmt::format("{}, {} {}, on {}; {} tokens of context.", terminal_safe(info.name), info.size_label,
                      info.quantization, info.device, count_text(info.n_ctx)),
          Style::kDim));
    }
    console_.line(
        console_.styled("Ctrl-C stops an answer, /clear begins anew, /exit or Ctrl-D leaves.", Style::kDim));
    for (bool warned = false;;) {
      std::fputs(console_.styled("> ", Style::kBold).c_str(), stdout);
      std::fflush(stdout);
      std::string text;
      switch (input_.line(text)) {
        case Input::Result::kEnd:
          std::fputs("\n", stdout);
          return kOk;
        case Input::Result::kSignal:
          std::fputs("\n", stdout);
          if (std::exchange(warned, true)) return kOk;
          console_.line(console_.styled("Ctrl-C again leaves.", Style::kDim));
          continue;
        case Input::Result::kLine:
          break;
      }
      if (text.find_first_not_of(" \t\r") == std::string::npos) continue;
      if (text == "/exit" || text == "/quit" || text == "/bye") return kOk;
      if (text == "/clear") {
        remote_ ? remote_->clear() : session_->clear();
        console_.line("What was said is forgotten.");
        continue;
      }
      if (text == "/help" || text == "/?") {
        console_.line("/clear begins a new conversation, /exit leaves; anything else goes to the model.");
        continue;
      }
      try {
        warned = answer(text).interrupted;  // the second Ctrl-C in a row leaves
      } catch (const Error& e) {
        console_.error(e.what());
        if (e.code() == ErrorCode::kContextOverflow) console_.line("/clear begins a new conversation.");
      }
    }
  }

  Input& input() { return input_; }

 private:
  void load() {
    if (const auto server = server_that_has_it()) {
      console_.line(
          console_.styled(terminal_safe(fmt::format("{} is loaded already: {} answers (--own loads it here)",
                                                    server->name, server->url)),
                          Style::kDim));
      remote_ = std::make_unique<RemoteChat>(*server, settings_);
      return;
    }
    EngineOptions options = settings_.engine;
    options.n_parallel = 1;
    LoadingDisplay display(console_, std::filesystem::path(options.model_path).filename().string());
    engine_ = Engine::load(options, [&](const LoadProgress& progress) {
      display.show(progress);
      return !signals_.take();
    });
    session_ = std::make_unique<ChatSession>(engine_, settings_);
    const bool plain = !wants_gpu(options.device) && options.speculation.model.path.empty();
    if (!plain && settings_.verbosity >= 2 && !settings_.log_disabled)
      for (const std::string& note : engine_->info().notes) console_.warn(note);
    if (!session_->note().empty() && settings_.verbosity >= 2 && !settings_.log_disabled)
      console_.warn(session_->note());
  }

  // A server of this user that holds the same file, where nothing on the command line asks for another
  // engine.
  std::optional<RunningModel> server_that_has_it() const {
    for (const char* ours : {"--own",
                             "-c",
                             "-ctk",
                             "-ctv",
                             "-t",
                             "-tb",
                             "-b",
                             "-ub",
                             "--isa",
                             "--memory-limit",
                             "-ngl",
                             "-dev",
                             "-ot",
                             "-cmoe",
                             "-ncmoe",
                             "-md",
                             "-hfd",
                             "--spec-type",
                             "--chat-template",
                             "--chat-template-file",
                             "--chat-template-kwargs",
                             "--ignore-eos",
                             "--logit-bias",
                             "--typical",
                             "--repeat-last-n"})
      if (const options::Given* g = invocation_.parsed.find(ours); g && !g->from_env && g->value != "off")
        return {};
    std::error_code error;
    const std::string path = std::filesystem::weakly_canonical(settings_.engine.model_path, error).string();
    for (const RunningModel& m : running_models(invocation_.env))
      if (m.ready && !m.needs_key && m.model_path == path && m.url.starts_with("http://")) return m;
    return {};
  }

  Outcome answer(const std::string& prompt) {
    const bool terminal = is_terminal(STDOUT_FILENO);
    const auto show = [&](std::string_view text) {
      const std::string shown = terminal ? terminal_safe(text) : std::string(text);
      std::fwrite(shown.data(), 1, shown.size(), stdout);
      std::fflush(stdout);
    };
    const Outcome outcome =
        remote_ ? remote_->ask(prompt, signals_, show) : session_->ask(prompt, signals_, show);
    std::fputs("\n", stdout);
    std::fflush(stdout);
    if (settings_.timings.value_or(console_.is_terminal())) {
      const GenerationStats& s = outcome.stats;
      std::string line = speed(s.n_prompt - s.n_cached, s.prompt_ms, "tokens read") + ", " +
                         speed(s.n_generated, s.generated_ms, "written");
      if (outcome.interrupted) line += "; stopped";
      console_.line(console_.styled(line, Style::kDim));
    }
    if (outcome.stats.context_full)
      console_.warn("the context is full; the answer ends here (-c sets its size)");
    return outcome;
  }

  const Invocation& invocation_;
  const Settings& settings_;
  Console& console_;
  Signals& signals_;
  Input input_;
  std::unique_ptr<RemoteChat> remote_;  // in place of the two below
  std::shared_ptr<Engine> engine_;
  std::unique_ptr<ChatSession> session_;
};

}  // namespace

int run(Invocation& invocation) {
  Settings& s = invocation.settings;
  require_model(invocation, "run");
  read_chat_files(s);
  const int given = !invocation.prompt.empty() + !s.prompt.empty() + !s.prompt_file.empty();
  if (given > 1)
    throw options::UsageError("the prompt was given twice: as an argument, by --prompt or by --file");

  Signals signals{SIGINT};
  Runner runner(invocation, signals);
  std::string prompt = s.prompt_file.empty() ? invocation.prompt + s.prompt
                                             : read_text_file(s.prompt_file, "--file", kMaxPromptBytes);
  const bool piped = prompt == "-" || (given == 0 && !is_terminal(STDIN_FILENO));
  if (given == 0 && !piped) return runner.conversation();
  if (piped && runner.input().all(prompt) == Input::Result::kSignal) return kInterrupted;
  if (prompt.find_first_not_of(" \t\r\n") == std::string::npos)
    throw options::UsageError("the prompt is empty");
  return runner.one_answer(std::move(prompt));
}

}  // namespace moraine::app
