// The options of `bench` and of the commands that measure one thing: `bench agents`, `bench ops`.
#include "base/options/value.h"
#include "option_table.h"

namespace moraine::app {

using namespace options;

void add_bench_options(Table& t, Settings& s) {
  t.section("Measurement", kBench);
  t.add("-p, --n-prompt N", integers(s.bench_prompts, 0, 1 << 24), "tokens of a prompt to read; 0: none")
      .standard("512");
  t.add("-n, --n-gen N", integers(s.bench_tokens, 0, 1 << 24), "tokens to generate; 0: none").standard("128");
  t.add("-d, --n-depth N", integers(s.bench_depths, 0, 1 << 24),
        "tokens of context before what is measured, computed beforehand")
      .standard("0");
  t.add("-t, --threads N", integers(s.bench_threads, 0, 1024),
        "threads; several are measured one after another")
      .standard("the physical cores")
      .env("LLAMA_ARG_THREADS");
  t.add("-r, --repetitions N", integer(s.bench_repetitions, 1, 10000), "how often each is measured")
      .standard("5");
  t.add("-o, --output FORMAT",
        choice<BenchFormat>(s.bench_format, {{"md", BenchFormat::kMarkdown},
                                             {"json", BenchFormat::kJson},
                                             {"jsonl", BenchFormat::kJsonl},
                                             {"csv", BenchFormat::kCsv}}),
        "md, json, jsonl or csv")
      .standard("md");
  t.add("--warmup", toggle(s.bench_warmup), "run each once before measuring")
      .off("--no-warmup")
      .standard("on");

  t.section("Sessions", kBenchAgents);
  t.add("--url URL", text(s.agents.url), "the server: any that speaks OpenAI's API").standard(s.agents.url);
  t.add("--api-key KEY", text(s.agents.api_key), "what the server wants to see");
  t.add("--restart-cmd COMMAND", text(s.agents.restart_command),
        "starts the server again where the file says so; returns once the old one has ended");
  t.add("--json", toggle(s.json), "print JSON");

  t.section("Kernels", kBenchOps);
  t.add("--filter TEXT", text(s.ops.filter), "only ops whose name holds this: matmul q4_K, attention, ...");
  t.add("--isa NAME", text(s.engine.isa), "only the kernels of this instruction set")
      .standard("all that the CPU has");
  t.add("-t, --threads N", integer(s.engine.n_threads, 0, 1024), "threads").standard("the physical cores");
  t.add("-r, --repetitions N", integer(s.ops.rounds, 1, 1000), "how often each is measured").standard("5");
  t.add("--stream-mib MIB", integer(s.ops.stream_mib, 0, 1 << 20),
        "memory that single rows read through: more than caches hold")
      .standard("a quarter of what is free, 256 to 1024");
  t.add("--json", toggle(s.json), "print JSON").command_line_only();
}

}  // namespace moraine::app
