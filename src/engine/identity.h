// Which model this is, and with which arithmetic it runs here: what the bytes of a page and a state depend on
// beside the tokens. Two processes with the same identity may read each other's.
#pragma once

#include <cstdint>
#include <string>

#include "engine/prepared.h"

namespace moraine::engine {

struct ModelIdentity {
  uint64_t hash = 0;
  std::string folder;  // for people and the file system: the file's name and the hash
};

// Of a loaded model: its header, size and time of last change, the backend's numerics, and what a short probe
// leaves in a page, a state and the logits; this tells kernels apart whose numbers differ though their
// names agree. max_rows: of a step. Throws Error{kUnsupported} where the backend's memory cannot outlive the
// process, kIo.
ModelIdentity identify(Prepared& model, int32_t max_rows);

}  // namespace moraine::engine
