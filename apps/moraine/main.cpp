// The program's entry; it begins in app.cpp.
#include <cstdlib>

#include "app.h"

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv, argv + argc);
  return moraine::app::run_program(
      args, [](const std::string& name) -> const char* { return std::getenv(name.c_str()); });
}
