// Runs one generation to its end on this thread, its events handed on here rather than on the engine's
// thread; a signal cancels it.
#pragma once

#include <moraine/engine.h>

#include <functional>

#include "signals.h"

namespace moraine::app {

struct Outcome {
  FinishReason reason = FinishReason::kStop;
  GenerationStats stats;
  bool interrupted = false;  // by a signal
};

// Throws Error, whether before any work or from within.
Outcome generate(Engine& engine, GenerationRequest request, Signals& signals,
                 const std::function<void(const TokenEvent&)>& on_token = {});

}  // namespace moraine::app
