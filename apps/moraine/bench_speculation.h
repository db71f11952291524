// What `moraine bench speculation` measures, what it makes of that, and the reports. The runs themselves:
// bench_speculation.cpp.
#pragma once

#include <moraine/engine.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace moraine::app {

// What a step of so many rows takes: measured for some numbers of rows, a line between them, and never less
// than for fewer rows.
class StepCosts {
 public:
  void set(int32_t rows, double seconds);
  double at(int32_t rows) const;  // seconds; beyond what was measured: in proportion to the rows
  bool measured(int32_t rows) const;

 private:
  std::vector<double> seconds_;  // by rows; 0: not measured
};

// Of each token of `output`, how many from it on the request's own text would have drafted rightly, at most
// max_draft: what the longest earlier match of the tokens before it went on with.
std::vector<int32_t> held_lengths(std::span<const TokenId> prompt, std::span<const TokenId> output,
                                  int32_t max_draft);

// The least time in which the output can be made if nothing is ever drafted in vain: the best choice of
// lengths, each at most what holds there. No controller can be faster with these drafts.
double least_seconds(std::span<const int32_t> held, const StepCosts& costs);

// A drafter that knows the answer and is right with a set probability: whether a position is guessed rightly
// depends on the seed and the position alone, so that all lengths meet the same luck.
class ScriptedDrafter {
 public:
  // What is generated after `prompt_size` tokens of `truth`.
  void set_truth(std::vector<TokenId> truth, size_t prompt_size);
  void set(double acceptance, int32_t length) { acceptance_ = acceptance, length_ = length; }
  // Appends at most `room` tokens that follow `tokens`. The first token of an answer is never drafted: it
  // belongs to the prompt's time.
  void draft(std::span<const TokenId> tokens, int32_t room, std::vector<TokenId>& out) const;
  bool is_right(size_t position) const;

 private:
  TokenId wrong(size_t position) const;

  std::vector<TokenId> truth_;
  size_t prompt_size_ = 0;
  double acceptance_ = 1;
  int32_t length_ = 0;
};

// The middle one, of an even number the mean of two; 0 of none.
double median(std::vector<double> values);

// One task, off and on in turn: sample i of both are of one round.
struct TaskResult {
  std::string name;
  int32_t n_prompt = 0, n_generated = 0;
  uint64_t hash = 0;  // of the tokens
  std::vector<double> off_seconds, on_seconds;
  int64_t n_drafted = 0, n_accepted = 0;  // in all rounds
  std::vector<DrafterStats> drafters;     // the same by who guessed
  double bound = 1;                       // times as fast as off, at most

  std::vector<double> ratios() const;
  double ratio() const { return median(ratios()); }
};

// Drafts of one acceptance: every fixed length and the controller, in turn.
struct AcceptanceResult {
  double acceptance = 0;
  std::vector<int32_t> lengths;              // 0: none drafted
  std::vector<std::vector<double>> seconds;  // by length, then round
  std::vector<double> controller_seconds;
  double mean_length = 0;  // tokens the controller drafted a step

  size_t best() const;   // index of the fastest length
  double share() const;  // of its speed, that the controller reached: median over rounds
};

struct CostResult {
  int32_t n_context = 0;
  std::vector<std::vector<double>> seconds;  // of a step, by rows - 1, then round
};

struct SpeculationReport {
  ModelInfo info;
  int32_t n_tokens = 0, rounds = 0, max_draft = 0;
  std::vector<TaskResult> tasks;
  std::vector<AcceptanceResult> acceptances;
  std::vector<CostResult> costs;
};
std::string speculation_report(const SpeculationReport& report);
std::string speculation_json(const SpeculationReport& report);

uint64_t hash_tokens(std::span<const TokenId> tokens);  // FNV-1a over their ids

}  // namespace moraine::app
