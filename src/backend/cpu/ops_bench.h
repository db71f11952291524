// How fast the kernels are, as shares of what this machine can do: each is measured in turn with a probe of
// the same instruction set, thread by thread the same work, and the shares are medians of those pairs, so
// that what else runs on the machine weighs on both. `moraine bench ops` prints it.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace moraine::cpu {

struct OpsBenchOptions {
  int n_threads = 0;   // 0: usable_cores()
  std::string isa;     // "": all that this CPU runs, the best first
  std::string filter;  // only ops whose name holds this
  int rounds = 5;
  int64_t stream_bytes = 0;  // weights a decode row reads, more than caches hold; 0: chosen
};

struct OpSpeed {
  std::string isa, op;  // "matmul q4_K"
  int rows = 0;         // of activations; queries of an attention; tokens of a delta rule
  double gops = 0;      // 1e9 operations a second, a multiply-add being two
  double gb_per_s = 0;  // of weights read; 0: not of interest
  double share = 0;     // of the probe
  std::string probe;    // "read", "int8", "float32"
};

// What the probes gave, medians.
struct MachineSpeed {
  std::string isa;
  double read_gb_per_s = 0, int8_gops = 0, float_gops = 0;
};

struct OpsBenchReport {
  int n_threads = 0;
  int64_t stream_bytes = 0;
  std::vector<MachineSpeed> machine;
  std::vector<OpSpeed> ops;
};

// progress: what is measured next; false ends it (Error{kCancelled}). Throws Error{kUnsupported} for an
// instruction set that is not there, {kOutOfMemory}.
OpsBenchReport bench_ops(const OpsBenchOptions& options,
                         const std::function<bool(const std::string&)>& progress);

}  // namespace moraine::cpu
