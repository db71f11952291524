// What a command line comes to: the settings of the libraries, and those that only the program has.
// Filled by the table of options (option_table.h); read by the commands.
#pragma once

#include <moraine/engine.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "server/api/api.h"
#include "server/http/server.h"
#include "settings_speculation.h"
#include "settings_workflow.h"

namespace moraine::app {

enum class BenchFormat : uint8_t { kMarkdown, kJson, kJsonl, kCsv };

// Of `doctor`.
struct DoctorSettings {
  uint64_t gpu_memory_bytes = 0;  // that the GPU shall map; 0: what the machine can spare
  std::string draft_model;        // a file or a known name; empty: none
  std::string root = "/";
  bool probe = false, write = false, yes = false;
};

// Of models by name: which one, and the hub that has it.
struct HubSettings {
  std::string repo, file;  // -hf, -hff: as typed
  std::string draft_repo;  // -hfd
  std::string name;        // of `list`, `pull` and `rm`: the argument
  std::string endpoint = "https://huggingface.co", token, revision = "main", ca_file;
  int32_t connections = 8;
  bool offline = false, yes = false;
};

// Of `ps`, `stop` and `logs`; `own` of `run`.
struct ServersSettings {
  std::string name;  // a process, port or part of a model's name; empty: the only one
  int32_t lines = 50;
  bool all = false, now = false, follow = false, own = false;
};

// Of `service`.
struct ServiceSettings {
  std::string command, model;
  bool start = true;
};

// Of `bench agents`.
struct AgentsSettings {
  std::string file, url = "http://127.0.0.1:8080", api_key, restart_command;
};

// Of `bench ops`.
struct OpsSettings {
  std::string filter;
  int32_t rounds = 5, stream_mib = 0;
};

// Of the cache on disk.
struct CacheSettings {
  std::string disk;  // a folder, or "off"; empty: the user's cache folder
  bool clear = false;
};

// Of `connect` and `launch`.
struct ConnectSettings {
  std::string client, url, key;  // url empty: where servers usually are on this machine
  std::string file;              // the settings file; empty: where the client looks
  std::string plan;              // PROVIDER/MODEL for OpenCode's agent `plan`
  bool write = false, undo = false, make_default = false, global = false;
  std::vector<std::string> arguments;  // of `launch`: for the client
};

struct Settings {
  EngineOptions engine;    // model_path as typed
  server::ApiOptions api;  // sampling and n_predict hold for `run` too
  http::ServerOptions http;

  bool help = false, version = false, list_devices = false;

  std::string chat_template_file, api_key_file, grammar_file, json_schema_file;
  int32_t drain_timeout_s = 30;

  int32_t verbosity = 3;  // llama-server's: 1 errors, 2 warnings, 3 info, 4 and more: everything
  bool log_disabled = false;
  bool log_timestamps = true;
  std::string log_file;
  std::optional<bool> colors;  // empty: on a terminal, unless NO_COLOR is set

  std::string prompt, prompt_file, system_prompt;
  std::optional<bool> timings;  // empty: on a terminal

  std::vector<int32_t> bench_prompts = {512}, bench_tokens = {128}, bench_threads = {0}, bench_depths = {0};
  int32_t bench_repetitions = 5;
  BenchFormat bench_format = BenchFormat::kMarkdown;
  bool bench_warmup = true;

  std::string perplexity_file;    // empty: the program's own text
  int32_t perplexity_chunks = 0;  // 0: all

  bool json = false;

  DoctorSettings doctor;
  ConnectSettings connect;
  AgentsSettings agents;
  SpeculationBenchSettings bench_speculation;
  DemoSettings demo;
  OpsSettings ops;
  CacheSettings cache;
  HubSettings hub;
  ServersSettings servers;
  ServiceSettings service;
  UsageSettings usage;
  EpicSettings epic;
};

}  // namespace moraine::app
