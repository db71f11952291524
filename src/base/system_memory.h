// How much memory there is, and how much of it this process may still take.
#pragma once

#include <cstdint>

#include "base/root_files.h"

namespace moraine {

// Bytes. What the system does not say is 0, except `available` and `limit`.
struct SystemMemory {
  uint64_t total = 0;
  uint64_t available = UINT64_MAX;  // MemAvailable, or what the control groups' limits leave, if less
  uint64_t swap_total = 0;
  uint64_t limit = UINT64_MAX;  // the smallest memory.max of this process's control groups
};
SystemMemory read_system_memory(const RootFiles& files);

// Of this machine: SystemMemory::available.
uint64_t available_memory();

}  // namespace moraine
