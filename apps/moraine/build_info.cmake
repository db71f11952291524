# Writes build_info.h: run at each build, but the file is touched only where something changed.
# cmake -DSOURCE_DIR=... -DOUTPUT=... -DVERSION=... -DCOMPILER=... -DTYPE=... -P build_info.cmake
find_package(Git QUIET)
set(commit "")
set(number 0)
if(GIT_FOUND AND EXISTS ${SOURCE_DIR}/.git)
  execute_process(COMMAND ${GIT_EXECUTABLE} -C ${SOURCE_DIR} rev-parse --short=8 HEAD
                  OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  execute_process(COMMAND ${GIT_EXECUTABLE} -C ${SOURCE_DIR} rev-list --count HEAD
                  OUTPUT_VARIABLE number OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
if(NOT number MATCHES "^[0-9]+$")
  set(number 0)
endif()

# The crates that matter, as the lock file has them.
file(READ ${SOURCE_DIR}/rust/Cargo.lock lock)
set(crates "")
foreach(crate minijinja minijinja-contrib)
  if(lock MATCHES "name = \"${crate}\"\nversion = \"([^\"]+)\"")
    list(APPEND crates "${crate} ${CMAKE_MATCH_1}")
  endif()
endforeach()
list(JOIN crates ", " crates)

set(text "// Made by build_info.cmake.
#pragma once
inline constexpr const char* kBuildVersion = \"${VERSION}\";
inline constexpr const char* kBuildCommit = \"${commit}\";
inline constexpr int kBuildNumber = ${number};
inline constexpr const char* kBuildCompiler = \"${COMPILER}\";
inline constexpr const char* kBuildType = \"${TYPE}\";
inline constexpr const char* kBuildRustCrates = \"${crates}\";
")
set(old "")
if(EXISTS ${OUTPUT})
  file(READ ${OUTPUT} old)
endif()
if(NOT text STREQUAL old)
  file(WRITE ${OUTPUT} "${text}")
endif()
