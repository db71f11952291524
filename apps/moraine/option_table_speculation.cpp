// The options of `bench speculation` and `demo`. Those of guessing ahead itself are in
// option_table_drafters.cpp.
#include "base/options/value.h"
#include "option_table.h"

namespace moraine::app {

using namespace options;

namespace {

Value probabilities(std::vector<double>& place) {
  return {"numbers from 0 to 1, separated by commas", [&place](std::string_view text) {
            std::vector<double> values;
            for (const std::string& piece : split(text, ',')) {
              const auto v = parse_real(piece);
              if (!v || *v < 0 || *v > 1) return false;
              values.push_back(*v);
            }
            place = std::move(values);
            return !place.empty();
          }};
}

}  // namespace

void add_speculation_options(Table& t, Settings& s) {
  t.section("Measurement of speculation", kBenchSpeculation);
  t.add("-n, --n-gen N", integer(s.bench_speculation.n_tokens, 2, 1 << 20), "most tokens of an answer")
      .standard("256");
  t.add("-r, --repetitions N", integer(s.bench_speculation.rounds, 1, 1000),
        "rounds, in each of which everything has its turn")
      .standard("5");
  t.add("-f, --file FILE", text(s.bench_speculation.file),
        "a task of your own: the question and, behind a line ---, how its answer begins")
      .standard("four of the program's own");
  t.add("--acceptance LIST", probabilities(s.bench_speculation.acceptances),
        "instead: scripted drafts that hold with these probabilities, the controller beside fixed lengths");
  t.add("--cost", toggle(s.bench_speculation.cost), "instead: what steps of 1 to 32 rows take")
      .command_line_only();
  t.add("-d, --depth N,...", integers(s.bench_speculation.depths, 16, 1 << 24),
        "tokens before the steps of --cost")
      .standard("512,4096");
  t.add("--json", toggle(s.json), "print JSON").command_line_only();

  t.section("Demonstration", kDemo);
  t.add("--peer PROGRAM|URL", text(s.demo.peer), "a llama-server to run or ask beside it")
      .standard("the one on PATH, if any");
  t.add("--json", toggle(s.json), "print JSON").command_line_only();
}

}  // namespace moraine::app
