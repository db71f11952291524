# The project's build rules: one function for a library, one for a test, one for a fuzzer.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

find_program(MORAINE_CCACHE ccache)
if(MORAINE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${MORAINE_CCACHE})
endif()
find_program(MORAINE_MOLD mold)
if(MORAINE_MOLD AND NOT MORAINE_SANITIZE)
  add_link_options(-fuse-ld=mold)
endif()

# The numerics contract (docs/numerics.md): a*b+c is fused only where the source says fma.
add_compile_options(-Wall -Wextra -Wno-missing-field-initializers -Wno-dangling-else -ffp-contract=off)
set(MORAINE_SANITIZE "" CACHE STRING "address,undefined or thread")
if(MORAINE_SANITIZE)
  add_compile_options(-fsanitize=${MORAINE_SANITIZE} -fno-omit-frame-pointer -g)
  add_link_options(-fsanitize=${MORAINE_SANITIZE})
endif()

if(MORAINE_FUZZ)  # coverage of the libraries too, or the fuzzer is blind beyond its entry
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

find_package(Threads REQUIRED)

# moraine_library(NAME SOURCES a.cpp ... DEPS moraine::base ... [PRIVATE_DEPS ...])
# makes moraine_NAME, alias moraine::NAME. Headers are included as "NAME/file.h" (from src/)
# and <moraine/file.h> (the public API).
function(moraine_library name)
  cmake_parse_arguments(A "" "" "SOURCES;DEPS;PRIVATE_DEPS" ${ARGN})
  if(A_SOURCES)
    add_library(moraine_${name} STATIC ${A_SOURCES})
    set(scope PUBLIC)
    target_link_libraries(moraine_${name} PRIVATE ${A_PRIVATE_DEPS})
  else()
    add_library(moraine_${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  add_library(moraine::${name} ALIAS moraine_${name})
  target_include_directories(moraine_${name} ${scope} ${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(moraine_${name} ${scope} ${A_DEPS} Threads::Threads)
endfunction()

# moraine_test(NAME SOURCES a_test.cpp ... DEPS moraine::x ... [LABELS slow model] [TIMEOUT s])
# A test finds committed data through the environment variable MORAINE_SOURCE_DIR.
# Label `slow` runs in `make test-all` only; `model` needs files in models/.
function(moraine_test name)
  if(NOT MORAINE_TESTS)
    return()
  endif()
  cmake_parse_arguments(A "" "TIMEOUT" "SOURCES;DEPS;LABELS" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  target_link_libraries(${name} PRIVATE ${A_DEPS} GTest::gtest GTest::gmock GTest::gtest_main)
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 300)
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${A_TIMEOUT} LABELS "${A_LABELS}"
                       ENVIRONMENT "MORAINE_SOURCE_DIR=${CMAKE_SOURCE_DIR};MORAINE_BUILD_DIR=${CMAKE_BINARY_DIR}")
endfunction()

# moraine_fuzzer(NAME SOURCES x_fuzz.cpp DEPS ...): one LLVMFuzzerTestOneInput.
# With MORAINE_FUZZ (clang) it is a libFuzzer program; otherwise a small driver replays the
# committed corpus through the same entry as an ordinary test, so every build runs it.
function(moraine_fuzzer name)
  cmake_parse_arguments(A "" "CORPUS" "SOURCES;DEPS" ${ARGN})
  if(MORAINE_FUZZ)
    add_executable(${name} ${A_SOURCES})
    target_link_libraries(${name} PRIVATE ${A_DEPS})
    target_compile_options(${name} PRIVATE -fsanitize=fuzzer)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    # libFuzzer writes what it finds into its first folder: not the committed one.
    set(found ${CMAKE_CURRENT_BINARY_DIR}/${name}_found)
    file(MAKE_DIRECTORY ${found})
    add_test(NAME ${name} COMMAND ${name} -max_total_time=30 -rss_limit_mb=2048 ${found} ${A_CORPUS})
  elseif(MORAINE_TESTS)
    add_executable(${name} ${A_SOURCES} ${CMAKE_SOURCE_DIR}/tests/fuzz/replay_main.cpp)
    target_link_libraries(${name} PRIVATE ${A_DEPS})
    add_test(NAME ${name} COMMAND ${name} ${A_CORPUS})
    set_tests_properties(${name} PROPERTIES TIMEOUT 120)
  endif()
endfunction()
