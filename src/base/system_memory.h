// How much memory this process may still take.
#pragma once

#include <cstdint>

namespace moraine {

// Bytes: the system's MemAvailable or what the cgroup's limit leaves, whichever is less.
uint64_t available_memory();

}  // namespace moraine
