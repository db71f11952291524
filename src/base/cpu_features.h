// What this CPU and the process's limits allow.
#pragma once

namespace moraine {

struct CpuFeatures {
  bool avx2 = false;         // with FMA and F16C, and the OS saving the registers
  bool avx512_vnni = false;  // F, BW, VL and VNNI
  bool amx_int8 = false;     // present; permission must still be asked for
};
CpuFeatures detect_cpu();

// Physical cores this process may use: affinity and cgroup quota counted, hyper-threads not. >= 1.
int usable_cores();

}  // namespace moraine
