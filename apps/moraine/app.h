// The program: which command is meant, its options, and errors turned into exit codes. The commands are
// serve.cpp, run.cpp, bench.cpp, perplexity.cpp and inspect.cpp; what they may be told is option_table.h.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/options/parser.h"
#include "console.h"
#include "settings.h"

namespace moraine::agents {
class Client;
}

namespace moraine::app {

// Users read of them in docs/cli.md.
enum ExitCode : int {
  kOk = 0,
  kFailure = 1,        // the command was understood but did not succeed
  kUsage = 2,          // the command line cannot be meant as it stands
  kDoctorWarning = 3,  // `doctor` found what should be better
  kDoctorProblem = 4,  // `doctor` found what will not work
  kInterrupted = 130,  // Ctrl-C ended it (128 + SIGINT)
};

// How `serve` comes by its engine. Tests that speak for the model wrap what Engine::load gives
// (tests/agents/scripted_server.cpp).
using LoadEngine = std::function<std::unique_ptr<Engine>(const EngineOptions&, const ProgressFn&)>;

struct Invocation {
  Settings settings;
  options::Parsed parsed;
  std::string prompt;  // of `run`: the arguments after the model
  Console& console;
  const options::Environment& env;
  const LoadEngine& load_engine;
};

int serve(Invocation& invocation);
int run(Invocation& invocation);
int bench(Invocation& invocation);
int bench_agents(Invocation& invocation);
int bench_speculation(Invocation& invocation);
int bench_ops(Invocation& invocation);
int cache(Invocation& invocation);
int perplexity(Invocation& invocation);
int inspect(Invocation& invocation);
int demo(Invocation& invocation);
int doctor(Invocation& invocation);
int list(Invocation& invocation);
int pull(Invocation& invocation);
int rm(Invocation& invocation);
int ps(Invocation& invocation);
int stop(Invocation& invocation);
int logs(Invocation& invocation);
int service(Invocation& invocation);
int self_test(Invocation& invocation);
int usage_command(Invocation& invocation);
int epic_command(Invocation& invocation);
int connect(Invocation& invocation);
int launch(Invocation& invocation);

// connect.cpp: the client that a command line names. Throws options::UsageError.
const agents::Client& client_of(const Invocation& invocation);

// args[0] is the program's name: as "llama-server" it is `serve`. Never throws.
int run_program(const std::vector<std::string>& args, const options::Environment& env,
                const LoadEngine& load_engine = Engine::load) noexcept;

}  // namespace moraine::app
