// Streams a model's tensors from its file into a backend (weight_reader.h), progress as it goes. Where
// weights lie afterwards is the backend's affair.
#pragma once

#include <moraine/engine.h>

#include "gguf/reader.h"
#include "model/model.h"
#include "plan/backend.h"

namespace moraine::model {

struct LoadOptions {
  // Matrices are unpacked to float32 at load: the reference for what quantised activations cost.
  bool as_f32 = false;
};

// The model's weights in the formats they will be held in: what to declare to the backend.
std::vector<plan::Weight> weights_as_loaded(const Model& model, const LoadOptions& options = {});

// Fills the weights, which the backend must have been told of. Throws Error (also kCancelled, when
// progress returns false).
void load_weights(const gguf::File& file, const Model& model, plan::Backend& backend,
                  const ProgressFn& progress, const LoadOptions& options = {});

}  // namespace moraine::model
