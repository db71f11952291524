// `moraine serve` with a model that says what a scenario has written: for tests with real coding agents,
// whose work no model small enough for a test could do. All of the shipped program but for the engine that
// scripted_engine.h wraps; what it is for and what it proves: docs/testing.md.
//
//   moraine_scripted SCENARIO REPORT serve MODEL.gguf [options]
#include <cstdio>
#include <cstdlib>

#include "app.h"
#include "scripted_engine.h"

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fputs("moraine_scripted SCENARIO REPORT serve MODEL.gguf [options]\n", stderr);
    return 2;
  }
  std::vector<std::string> args = {argv[0]};
  args.insert(args.end(), argv + 3, argv + argc);
  return moraine::app::run_program(
      args, [](const std::string& name) -> const char* { return std::getenv(name.c_str()); },
      [&](const moraine::EngineOptions& options, const moraine::ProgressFn& progress) {
        return moraine::scripted::speak_for(moraine::Engine::load(options, progress), argv[1], argv[2]);
      });
}
