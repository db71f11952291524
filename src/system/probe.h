// Measures how fast this CPU reads memory, for about half a second: what bounds the tokens of one answer.
#pragma once

namespace moraine::system {

// Bytes a second, the best of a few passes of n_threads reading disjoint parts of a buffer larger than the
// caches. Throws Error{kOutOfMemory} where there is no room for the buffer.
double measure_read_bandwidth(int n_threads);

}  // namespace moraine::system
