// Which program this is: for --version, the API's build_info and the records of measurements.
#pragma once

#include <string>

namespace moraine::app {

std::string version();          // "0.1.0"
std::string commit();           // "9804c77", "" where built outside a repository
int build_number() noexcept;    // commits up to it
std::string version_line();     // "moraine 0.1.0 (9804c77)\n"
std::string verbose_version();  // with compiler, instruction sets, architectures and libraries

}  // namespace moraine::app
