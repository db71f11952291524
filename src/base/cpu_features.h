// What this CPU can compute with.
#pragma once

namespace moraine {

struct CpuFeatures {
  bool avx2 = false;         // with FMA and F16C, and the OS saving the registers
  bool avx512_vnni = false;  // F, BW, DQ, VL and VNNI
  bool amx_int8 = false;     // present; permission must still be asked for
};
CpuFeatures detect_cpu();

// Asks the system for AMX's tile registers, for all threads of this process. False: this CPU has none, or
// the system refuses them (Linux before 5.16, a sandbox). May be asked again.
bool allow_amx();

}  // namespace moraine
