#include "version.h"

#define PCRE2_CODE_UNIT_WIDTH 8  // before pcre2.h

#include <fmt/format.h>
#include <moraine/engine.h>
#include <openssl/crypto.h>
#include <pcre2.h>
#include <spdlog/version.h>
#include <utf8proc.h>

#include <boost/version.hpp>
#include <nlohmann/detail/abi_macros.hpp>

#include "backend/cpu/backend.h"
#include "base/cpu_features.h"
#include "base/usable_cores.h"
#include "build_info.h"

namespace moraine::app {

std::string version() { return kBuildVersion; }
std::string commit() { return kBuildCommit; }
int build_number() noexcept { return kBuildNumber; }

std::string version_line() {
  return commit().empty() ? fmt::format("moraine {}\n", version())
                          : fmt::format("moraine {} ({})\n", version(), commit());
}

std::string verbose_version() {
  char pcre2[64] = {};
  pcre2_config(PCRE2_CONFIG_VERSION, pcre2);
  const CpuFeatures cpu = detect_cpu();
  std::string has;
  if (cpu.avx2) has += " avx2";
  if (cpu.avx512_vnni) has += " avx512_vnni";
  if (cpu.amx_int8) has += " amx_int8";
  std::string text = version_line();
  text += fmt::format("compiler       {}, {}\n", kBuildCompiler, kBuildType);
  text += fmt::format("kernels        {}\n", fmt::join(cpu::available_isas(), ", "));
  text += fmt::format("this CPU has  {}; {} cores to use\n",
                      has.empty() ? " none of avx2, avx512_vnni, amx_int8" : has, usable_cores());
  text += fmt::format("architectures  {}\n", fmt::join(Engine::architectures(), ", "));
  text += fmt::format(
      "libraries      Boost {}.{}, {}, PCRE2 {}, utf8proc {}, nlohmann/json {}.{}.{}, fmt {}.{}.{}, spdlog "
      "{}.{}.{}\n",
      BOOST_VERSION / 100000, BOOST_VERSION / 100 % 1000, OpenSSL_version(OPENSSL_VERSION), pcre2,
      utf8proc_version(), NLOHMANN_JSON_VERSION_MAJOR, NLOHMANN_JSON_VERSION_MINOR,
      NLOHMANN_JSON_VERSION_PATCH, FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100,
      SPDLOG_VER_MAJOR, SPDLOG_VER_MINOR, SPDLOG_VER_PATCH);
  text += fmt::format("templates      {}\n", kBuildRustCrates);
  return text;
}

}  // namespace moraine::app
