// The options of every command, declared once. Rows that do something are in option_table.cpp, those of
// llama-server whose machinery is to come or has no place here in option_table_compat.cpp.
#pragma once

#include <string>
#include <string_view>

#include "base/options/option.h"
#include "settings.h"

namespace moraine::app {

enum Command : unsigned {
  kServe = 1,
  kRun = 2,
  kBench = 4,
  kInspect = 8,
  kPerplexity = 16,
  kDoctor = 32,
  kBenchAgents = 64,
  kConnect = 128,
  kLaunch = 256,
  kList = 512,
  kPull = 1024,
  kRm = 2048,
  kCache = 4096,
  kPs = 8192,
  kStop = 16384,
  kLogs = 32768,
  kService = 65536,
  kSelfTest = 131072,
  kBenchOps = 262144,
  kMeter = 524288,
  kEpic = 1048576,
  kBenchSpeculation = 2097152,
  kDemo = 4194304
};
constexpr unsigned kEveryCommand = ~0u;               // those to come as well
const char* command_name(unsigned command) noexcept;  // "serve"; "" for other bits

// The rows write into `settings`, which must outlive the table.
options::Table option_table(Settings& settings);

// Of a cached number, and what is said where the cache has no such type.
options::Value kv_type(KvType& place);
std::string kv_note(std::string_view type);

// docs/options.md, all of it.
std::string options_page();

// Each in a file of its own, option_table_NAME.cpp.
void add_bench_options(options::Table& table, Settings& settings);
void add_cache_options(options::Table& table, Settings& settings);
void add_compat_options(options::Table& table);
void add_connect_options(options::Table& table, Settings& settings);
void add_doctor_options(options::Table& table, Settings& settings);
void add_drafter_options(options::Table& table, Settings& settings);
void add_gpu_options(options::Table& table, Settings& settings);
void add_hub_options(options::Table& table, Settings& settings);
void add_epic_options(options::Table& table, Settings& settings);
void add_servers_options(options::Table& table, Settings& settings);
void add_speculation_options(options::Table& table, Settings& settings);
void add_usage_options(options::Table& table, Settings& settings);

}  // namespace moraine::app
