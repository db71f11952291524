// Small files, whole: read with a bound, written all or not at all.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace moraine::epic {

// Throws Error: kNotFound, kIo, kInvalidArgument for one that is larger than `most_bytes`.
std::string read_file(const std::string& path, size_t most_bytes = 4 << 20);
// Through a file beside it that takes its place once it is on the disk: after a crash or with a full disk the
// old one stands. Throws Error{kIo}.
void write_file(const std::string& path, std::string_view text);

}  // namespace moraine::epic
