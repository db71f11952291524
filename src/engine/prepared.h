// A model bound to a backend whose memory is mapped but not yet touched: what loading begins with and
// estimating ends with, so that there is one way to know what a model takes. Used by the engine
// and by whatever else runs a plan; the numbers themselves are memory.h.
#pragma once

#include <moraine/engine.h>

#include <memory>

#include "gguf/reader.h"
#include "model/model.h"
#include "plan/backend.h"

namespace moraine::engine {

constexpr int32_t kMaxContext = 1 << 26;  // tokens

// Throws Error{kInvalidArgument} for numbers outside their range.
void check_options(const EngineOptions& options);

struct Prepared {
  gguf::File file;
  std::unique_ptr<model::Model> model;
  std::unique_ptr<plan::Backend> backend;
  std::string device_note;   // what a user should know of the choice; empty: nothing
  std::string device_split;  // what lies where, of a model on two; else empty
  plan::Plan plan;
  std::unique_ptr<plan::Executable> executable;
  MemoryEstimate memory;

  int32_t max_outputs;    // rows of logits of one step
  int32_t max_tentative;  // drafted rows of one step

  // max_outputs: 0: one for each generation that may run, and for each
  // drafted token. Throws Error for a file that cannot be read or run.
  explicit Prepared(const EngineOptions& o, int32_t max_outputs = 0);

  // Checks that it fits (Error{kOutOfMemory}), reads the weights and makes the executable that runs.
  void load(const EngineOptions& o, const std::string& name, const ProgressFn& progress);
  // After kDeviceLost, when no page and no state is left: the device and the weights once more. Throws Error.
  void recover(const EngineOptions& o);
  plan::StepLimits limits(const EngineOptions& o, int32_t n_ctx) const;
  std::string device() const;  // for people: "CPU (avx2), 2 threads"

 private:
  void prepare(const EngineOptions& o, int32_t n_ctx, uint64_t limit);
  int32_t largest_context(const EngineOptions& o, uint64_t limit);
  uint64_t other_bytes() const;
};

}  // namespace moraine::engine
