// For the tests of epics: an environment.
#pragma once

#include <stdlib.h>

#include <string>
#include <vector>

#include "base/testing.h"

namespace moraine::epic {

// A small environment of our own: nothing of the user's git.
inline std::vector<std::string> test_environment(const std::string& home) {
  const char* path = ::getenv("PATH");
  return {std::string("PATH=") + (path ? path : "/usr/bin:/bin"), "HOME=" + home, "GIT_CONFIG_NOSYSTEM=1"};
}

}  // namespace moraine::epic
