// The table of options against real command lines; the ready block; texts for people.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>

#include "app.h"
#include "gpu.h"
#include "loading.h"
#include "log.h"
#include "model_path.h"
#include "option_table.h"
#include "ready_block.h"

namespace moraine::app {
namespace {

using options::UsageError;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// A command line parsed: its settings and what was given.
struct Line {
  Settings settings;
  options::Table table = option_table(settings);
  options::Parsed parsed;

  explicit Line(const std::string& text, Command command = kServe,
                std::map<std::string, std::string> env = {}) {
    std::istringstream in(text);
    std::vector<std::string> args;
    for (std::string word; in >> word;) args.push_back(word);
    parsed = options::parse(table, command, args, [&](const std::string& name) -> const char* {
      const auto it = env.find(name);
      return it == env.end() ? nullptr : it->second.c_str();
    });
  }
  options::Support support(const char* name) const { return parsed.find(name)->option->support; }
};

std::string usage_error(const std::string& text, Command command = kServe) {
  try {
    Line line(text, command);
  } catch (const UsageError& e) {
    return e.what();
  }
  return "(no error)";
}

constexpr const char* kMissionLine =
    "-m Qwen3-Coder-Next-Q4_K_M.gguf -md Qwen3-1.7B-Q8_0.gguf -c 128000 -fa on -ngl 999 -ngld 999 --no-mmap "
    "-b 4096 --ubatch-size 2048 --host 0.0.0.0 --port 8081";

TEST(OptionTable, TheLineOfLlamaServerMeansWhatItSays) {
  const Line l(kMissionLine);
  EXPECT_EQ(l.settings.engine.model_path, "Qwen3-Coder-Next-Q4_K_M.gguf");
  EXPECT_EQ(l.settings.engine.n_ctx, 128000);
  EXPECT_EQ(l.settings.engine.n_batch, 4096);
  EXPECT_EQ(l.settings.engine.n_ubatch, 2048);
  EXPECT_EQ(l.settings.http.host, "0.0.0.0");
  EXPECT_EQ(l.settings.http.port, 8081);
  EXPECT_EQ(l.parsed.find("-md")->value, "Qwen3-1.7B-Q8_0.gguf");
  EXPECT_EQ(l.settings.engine.speculation.model.path, "Qwen3-1.7B-Q8_0.gguf");
  EXPECT_EQ(l.support("-md"), options::Support::kFull);
  EXPECT_EQ(l.settings.engine.device.gpu_layers, 999);
  EXPECT_EQ(l.settings.engine.speculation.model.device.gpu_layers, 999);
  EXPECT_EQ(l.support("-fa"), options::Support::kAlready);
  EXPECT_EQ(l.support("--mmap"), options::Support::kAlready);
  EXPECT_EQ(l.parsed.find("--mmap")->value, "off");
  EXPECT_EQ(l.parsed.given.size(), 11u);
  EXPECT_TRUE(l.parsed.positionals.empty());
}

TEST(OptionTable, WhoMayGuessAhead) {
  const auto who = [](const std::string& list) {
    const Line l("--spec-type " + list);
    const SpeculationOptions& s = l.settings.engine.speculation;
    return std::string(s.from_request ? "r" : "") + (s.from_history ? "h" : "") +
           (s.from_grammar ? "g" : "") + (s.from_model ? "d" : "");
  };
  EXPECT_EQ(who("default"), "rhgd");
  EXPECT_EQ(who("none"), "");
  EXPECT_EQ(who("draft-simple,ngram-mod"), "rhd");
  EXPECT_EQ(who("draft"), "d");
  EXPECT_EQ(who("NGRAM-SIMPLE"), "r");
  EXPECT_EQ(who("request,grammar"), "rg");
  EXPECT_EQ(who("draft-mtp,history"), "h");
  for (const char* bad : {"maybe", "none,draft", "default,request", ","})
    EXPECT_THROW(Line("--spec-type " + std::string(bad)), UsageError) << bad;
}

TEST(OptionTable, DraftsHaveLimits) {
  EXPECT_EQ(Line("--draft-max 0").settings.engine.speculation.max_draft, 0);
  for (const char* bad :
       {"--draft-max 10000", "--draft 65", "--draft-n -1", "--draft-p-min 1.5", "-cd -1", "-td 0x2"})
    EXPECT_THROW(Line{bad}, UsageError) << bad;
  const Line l("-md x.gguf -cd 4096 -ctkd q8_0 -ctvd f32 --spec-draft-p-min 0.25 -td 3");
  const DraftModelOptions& d = l.settings.engine.speculation.model;
  EXPECT_EQ(d.n_ctx, 4096);
  EXPECT_EQ(d.kv_type_k, KvType::kQ8_0);
  EXPECT_EQ(d.kv_type_v, KvType::kF32);
  EXPECT_FLOAT_EQ(d.p_min, 0.25f);
  EXPECT_EQ(d.n_threads, 3);
}

TEST(OptionTable, GpuOptions) {
  const auto device = [](const char* line) { return Line(line).settings.engine.device; };
  EXPECT_FALSE(device("").gpu_layers.has_value());
  EXPECT_EQ(device("-ngl auto").gpu_layers, kLayersThatFit);
  EXPECT_EQ(device("-ngl -1").gpu_layers, kLayersThatFit);
  EXPECT_EQ(device("-ngl all").gpu_layers, kAllLayers);
  EXPECT_EQ(device("-dev Vulkan1,Vulkan0").name, "Vulkan1");
  EXPECT_EQ(device("-dev none").name, "none");
  EXPECT_EQ(device("-cmoe").cpu_expert_layers, kAllLayers);
  EXPECT_EQ(device("-ncmoe 12").cpu_expert_layers, 12);
  const auto moved = device("-ot .ffn_.*_exps.=CPU,blk\\.1\\.=Vulkan0 --override-tensor a=CPU").overrides;
  ASSERT_EQ(moved.size(), 3u);
  EXPECT_EQ(moved[0].pattern, ".ffn_.*_exps.");
  EXPECT_EQ(moved[0].device, "CPU");
  EXPECT_EQ(moved[1].pattern, "blk\\.1\\.");
  EXPECT_EQ(moved[2].pattern, "a");
  EXPECT_TRUE(device("").fit);
  EXPECT_FALSE(device("--fit off").fit);
  EXPECT_EQ(device("-fitt 512,256").fit_margin_bytes, 512u << 20);
  EXPECT_EQ(device("-fitc 4096").fit_ctx, 4096);
  const DeviceOptions draft = Line("-devd none -cmoed -otd x=CPU").settings.engine.speculation.model.device;
  EXPECT_EQ(draft.name, "none");
  EXPECT_EQ(draft.cpu_expert_layers, kAllLayers);
  EXPECT_EQ(draft.overrides.size(), 1u);
  for (const char* wrong : {"-ngl some", "-ngl -5", "-ngld 1.5", "-dev ,", "-ncmoe -1", "-ot exps",
                            "-ot =CPU", "-ot exps=", "-ot (=CPU", "-fitt x"})
    EXPECT_THROW(Line{wrong}, options::UsageError) << wrong;
}

TEST(OptionTable, WhoWantsAGpu) {
  for (const char* line : {"-ngl auto", "-ngl -1", "-ngl all", "-ngl 3", "-dev Vulkan0", "-ot a=Vulkan0"})
    EXPECT_TRUE(wants_gpu(Line(line).settings.engine.device)) << line;
  for (const char* line :
       {"", "-ngl 0", "-dev none", "-dev none -ngl all", "-dev Vulkan0 -ngl 0", "-ot a=CPU"})
    EXPECT_FALSE(wants_gpu(Line(line).settings.engine.device)) << line;
}

TEST(OptionTable, DevicesAreListed) {
  EXPECT_EQ(devices_text({}),
            "Available devices:\n  none: no Vulkan driver answers; everything runs on the CPU\n");
  DeviceInfo d;
  d.name = "Vulkan0", d.description = "A\x1b[31mGPU", d.memory_bytes = 3ull << 30, d.free_bytes = 2ull << 30;
  EXPECT_THAT(devices_text({d}), HasSubstr("(3072 MiB, 2048 MiB free)\n"));
  EXPECT_THAT(devices_text({d}), Not(HasSubstr("\x1b")));
  d.software = true;
  EXPECT_THAT(devices_text({d}), HasSubstr("imitated on the CPU"));
}

// Spellings of llama-server, of today and of former years: each must parse.
TEST(OptionTable, AcceptsEverySpelling) {
  for (const char* line :
       {"--draft-max 16 --draft-min 4 --draft-p-min 0.6",
        "--draft 16",
        "--draft-n 16 --draft-n-min 2",
        "--spec-draft-n-max 3 --spec-draft-n-min 0 --spec-draft-p-min 0.5",
        "--spec-draft-model x.gguf --spec-type draft-simple,ngram-mod",
        "--model-draft x.gguf -cd 4096 --gpu-layers-draft all",
        "--mmap",
        "--mlock",
        "-lm mlock",
        "--load-mode mmap+mlock",
        "-dio",
        "-ndio",
        "--webui",
        "--no-webui",
        "--ui",
        "--no-ui",
        "--webui-config {}",
        "-fa",
        "-fa 1",
        "-fa 0",
        "-fa on",
        "-fa off",
        "-fa auto",
        "-fa -c 5",
        "--flash-attn=auto",
        "-ngl -1",
        "-ngl all",
        "--n-gpu-layers auto",
        "--gpu-layers 99",
        "--cache-ram 8192",
        "-cram -1",
        "--cache-reuse 256",
        "--no-cache-prompt",
        "-ctxcp 8",
        "-ctk q8_0 -ctv q8_0",
        "-ctk q4_0",
        "--cache-type-v bf16",
        "-np 4 -cb",
        "-nocb",
        "--no-cont-batching",
        "-np -1",
        "--slots",
        "--no-slots",
        "--metrics",
        "--jinja",
        "--no-jinja",
        "--chat-template chatml",
        "--reasoning-format deepseek",
        "--reasoning-budget 0",
        "--reasoning-budget -1",
        "-rea off",
        "--api-key a,b",
        "--ssl-key-file k --ssl-cert-file c",
        "--alias a,b",
        "-a x",
        "-t 8 -tb 16",
        "-t -1",
        "--threads-http -1",
        "-n -1",
        "-n -2",
        "--n-predict 5",
        "--predict 5",
        "--temp 0.7 --top-k 20 --top-p 0.8 --min-p 0 --repeat-penalty 1.05 --presence-penalty 1.5",
        "--seed -1",
        "-s 42",
        "--samplers top_k;temperature",
        "--mirostat 0",
        "--ignore-eos",
        "-l 15043+1",
        "--logit-bias 15043-inf,2+0.5",
        "-v",
        "-lv 4",
        "--log-disable",
        "--log-colors",
        "--log-colors off",
        "--log-prefix",
        "--log-timestamps",
        "--no-log-timestamps",
        "--log-file x",
        "--verbosity 2",
        "-hf user/model:Q4_K_M",
        "--hf-repo a --hf-file b",
        "-mu http://x",
        "--lora a.gguf",
        "--control-vector-layer-range 1 5",
        "--override-kv a=int:1",
        "-ot .ffn_.*_exps.=CPU",
        "--cpu-moe",
        "-ncmoe 12",
        "-ts 3,1",
        "-mg 0",
        "-sm none",
        "-dev none",
        "--numa distribute",
        "--prio 2",
        "-C 0xff",
        "--poll 50",
        "--no-warmup",
        "--no-perf",
        "--timeout 600",
        "-to 600",
        "--sse-ping-interval -1",
        "--no-context-shift",
        "--swa-full",
        "-kvu",
        "-no-kvu",
        "--embeddings",
        "--rerank",
        "--pooling mean",
        "--mmproj x",
        "--no-mmproj",
        "--rope-scaling yarn --rope-scale 4 --yarn-orig-ctx 32768",
        "--keep -1",
        "-e",
        "-sp",
        "--ctx_size 4096",
        "--slot-save-path /tmp",
        "-sps 0.5",
        "--tools all",
        "-fit off",
        "-fit"})
    EXPECT_NO_THROW(Line{line}) << line << ": " << usage_error(line);
}

TEST(OptionTable, ValuesArriveWhereTheyBelong) {
  const Line l(
      "-t 3 -tb 5 -np 2 -ctk q8_0 --temp 0 --top-k 5 --seed 7 -n 9 --api-key a,b --api-key c --no-slots -l "
      "5-inf,6+1.5 "
      "--sse-ping-interval 3 --memory-limit 2G --no-metrics -v");
  EXPECT_EQ(l.settings.engine.n_threads, 3);
  EXPECT_EQ(l.settings.engine.n_threads_batch, 5);
  EXPECT_EQ(l.settings.engine.n_parallel, 2);
  EXPECT_EQ(l.settings.engine.kv_type_k, KvType::kQ8_0);
  EXPECT_EQ(l.settings.engine.kv_type_v, KvType::kF16);
  EXPECT_EQ(l.settings.engine.memory_limit_bytes, 2ull << 30);
  EXPECT_EQ(l.settings.api.sampling.temperature, 0.0f);
  EXPECT_EQ(l.settings.api.sampling.top_k, 5);
  EXPECT_EQ(l.settings.api.sampling.seed, 7u);
  EXPECT_EQ(l.settings.api.sampling.top_p, std::nullopt);
  EXPECT_EQ(l.settings.api.n_predict, 9);
  EXPECT_THAT(l.settings.api.api_keys, ElementsAre("a", "b", "c"));
  EXPECT_FALSE(l.settings.api.slots);
  EXPECT_FALSE(l.settings.api.metrics);
  ASSERT_EQ(l.settings.api.sampling.logit_bias.size(), 2u);
  EXPECT_TRUE(std::isinf(l.settings.api.sampling.logit_bias[0].second));
  EXPECT_EQ(l.settings.api.sampling.logit_bias[1], (std::pair<TokenId, float>(6, 1.5f)));
  EXPECT_EQ(l.settings.http.stream_keep_alive, std::chrono::seconds(3));
  EXPECT_GT(l.settings.verbosity, 3);
}

TEST(OptionTable, DefaultsAreLlamaServers) {
  const Line l("");
  EXPECT_EQ(l.settings.http.host, "127.0.0.1");
  EXPECT_EQ(l.settings.http.port, 8080);
  EXPECT_EQ(l.settings.engine.n_ctx, 0);
  EXPECT_EQ(l.settings.engine.n_batch, 2048);
  EXPECT_EQ(l.settings.engine.n_ubatch, 512);
}

TEST(OptionTable, EnvironmentUnderTheCommandLine) {
  const std::map<std::string, std::string> env = {{"LLAMA_ARG_PORT", "1"},
                                                  {"LLAMA_ARG_CTX_SIZE", "2"},
                                                  {"MORAINE_CTX_SIZE", "3"},
                                                  {"LLAMA_API_KEY", "k"}};
  const Line l("--port 4", kServe, env);
  EXPECT_EQ(l.settings.http.port, 4);
  EXPECT_EQ(l.settings.engine.n_ctx, 3);
  EXPECT_THAT(l.settings.api.api_keys, ElementsAre("k"));
}

TEST(OptionTable, BenchHasLlamaBenchsLetters) {
  const Line l("-p 512,1024 -n 128 -d 0,8192 -t 2 -r 3 -o json -ngl 0 -fa 1 -mmp 0", kBench);
  EXPECT_THAT(l.settings.bench_prompts, ElementsAre(512, 1024));
  EXPECT_THAT(l.settings.bench_tokens, ElementsAre(128));
  EXPECT_THAT(l.settings.bench_depths, ElementsAre(0, 8192));
  EXPECT_THAT(l.settings.bench_threads, ElementsAre(2));
  EXPECT_EQ(l.settings.bench_repetitions, 3);
  EXPECT_EQ(l.settings.bench_format, BenchFormat::kJson);
}

TEST(OptionTable, ErrorsSayWhatIsAccepted) {
  EXPECT_THAT(usage_error("--port 99999"), HasSubstr("--port must be a whole number from 0 to 65535"));
  EXPECT_THAT(usage_error("-ctk f8"), HasSubstr("-ctk must be one of f16, q8_0"));
  EXPECT_THAT(usage_error("--temp warm"), HasSubstr("--temp must be a number"));
  EXPECT_THAT(usage_error("-np 0.5"), HasSubstr("-np must be a whole number"));
  EXPECT_THAT(usage_error("-l x"), HasSubstr("such as 15043+1"));
  EXPECT_THAT(usage_error("--memory-limit much"), HasSubstr("a size such as 512M or 8G"));
  EXPECT_THAT(usage_error("-o yaml", kBench), HasSubstr("-o must be one of md, json, jsonl and csv"));
  EXPECT_EQ(usage_error("--ubtach-size 5"), "unknown option --ubtach-size; did you mean --ubatch-size?");
  EXPECT_THAT(usage_error("--port 80", kBench), HasSubstr("option of another command"));
}

TEST(OptionTable, NoSpellingStandsForTwoOptions) {
  Settings settings;
  EXPECT_NO_THROW(option_table(settings).check_unique());
}

TEST(OptionTable, DocumentationIsCurrent) {
  const char* root = std::getenv("MORAINE_SOURCE_DIR");
  if (root == nullptr) GTEST_SKIP() << "MORAINE_SOURCE_DIR is not set";
  std::ifstream in(std::string(root) + "/docs/options.md", std::ios::binary);
  const std::string committed{std::istreambuf_iterator<char>(in), {}};
  EXPECT_TRUE(committed == options_page()) << "docs/options.md is not what the table says; run: "
                                              "build/moraine options --markdown > docs/options.md";
}

// A model as the block sees it.
struct Ready {
  ModelInfo info;
  Ready() {
    info.name = "A\x1b[31m model";
    info.architecture = "llama";
    info.device = "CPU (avx2), 2 threads";
    info.n_ctx = info.n_ctx_train = 8192;
    info.n_parallel = 4;
  }
  std::string block(const Line& l) const {
    const auto lines = ready_block({info, l.settings, l.parsed, 8081, 1.5});
    EXPECT_LE(lines.size(), kMaxReadyLines);
    std::string text;
    for (const ReadyLine& line : lines) text += line.label + "|" + line.text + "\n";
    return text;
  }
};

TEST(ReadyBlock, SaysWhatBecameOfEachFlag) {
  Ready ready;
  ready.info.notes = {"A block of the file is not used."};
  const std::string text = ready.block(Line(kMissionLine));
  EXPECT_THAT(text, HasSubstr("-b 4096, --ubatch-size 2048: prompts are read 2048 tokens at a time"));
  EXPECT_THAT(text, HasSubstr("--no-mmap: weights are read straight into memory, once"));
  EXPECT_THAT(text, HasSubstr("-fa on: attention is always flash attention"));
  EXPECT_THAT(text, HasSubstr("as asked"));
  EXPECT_THAT(text, HasSubstr("A block of the file"));
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));  // the file's name cannot paint the terminal
}

TEST(ReadyBlock, MemoryIsToldByKind) {
  MemoryEstimate m;
  m.weights = 48'500'000'000, m.kv = 3'150'000'000, m.scratch = 170'000'000, m.available = 100'000'000'000;
  EXPECT_EQ(
      memory_text(m, false),
      "51.82 of 100.00 GB that are free: weights 48.50, cache 3.15 for a full context, work space 0.17");
  m.state = 80'000'000, m.draft = 2'000'000'000;
  EXPECT_EQ(
      memory_text(m, true),
      "53.90 of 100.00 GB that may be used: weights 48.50, cache 3.15 for a full context, recurrent state "
      "0.08, work space 0.17, draft 2.00");
  m.cache = 16'000'000'000;
  EXPECT_THAT(memory_text(m, true),
              HasSubstr("draft 2.00; finished prompts may keep 16.00 more (--cache-ram)"));
}

TEST(ReadyBlock, WarnsWhereAnyoneCanReachIt) {
  const Ready ready;
  EXPECT_THAT(ready.block(Line("")), HasSubstr("this machine alone"));
  EXPECT_THAT(ready.block(Line("--host localhost")), HasSubstr("this machine alone"));
  EXPECT_THAT(ready.block(Line("--host 0.0.0.0")), HasSubstr("ANYONE"));
  EXPECT_THAT(ready.block(Line("--host 192.168.1.5")), HasSubstr("ANYONE"));
  const std::string text = ready.block(Line("--host :: --api-key secret"));
  EXPECT_THAT(text, Not(HasSubstr("ANYONE")));
  EXPECT_THAT(text, HasSubstr("Authorization: Bearer KEY"));
  EXPECT_THAT(text, Not(HasSubstr("secret")));
  EXPECT_TRUE(is_loopback("127.0.0.5"));
  EXPECT_FALSE(is_loopback("127.example.com"));
}

TEST(ReadyBlock, TheContextIsNeverSilent) {
  Ready ready;
  EXPECT_THAT(ready.block(Line("")), HasSubstr("8,192 tokens a request, the trained length"));
  ready.info.n_ctx = 4096;
  EXPECT_THAT(ready.block(Line("")),
              HasSubstr("4,096 tokens a request, what fits into memory (the model was trained for 8,192)"));
  EXPECT_THAT(ready.block(Line("-c 4096")), HasSubstr("as asked"));
}

TEST(Texts, AreMadeForPeople) {
  EXPECT_EQ(count_text(0), "0");
  EXPECT_EQ(count_text(999), "999");
  EXPECT_EQ(count_text(1234567), "1,234,567");
  EXPECT_EQ(count_text(-1234), "-1,234");
  EXPECT_EQ(size_text(48'400'000'000), "48.4 GB");
  EXPECT_EQ(size_text(98'000'000), "98 MB");
  LoadProgress p{.phase = "loading weights",
                 .bytes_done = 3'210'000'000,
                 .bytes_total = 48'400'000'000,
                 .bytes_per_second = 2.1e9,
                 .seconds_left = 21.2};
  EXPECT_EQ(progress_text(p), "3.21 of 48.4 GB, 2.1 GB/s, 22 s left");
  p.bytes_per_second = 420e6;
  p.seconds_left = 107;
  EXPECT_EQ(progress_text(p), "3.21 of 48.4 GB, 420 MB/s, 2 min left");
}

TEST(Texts, ModelOutputCannotDriveTheTerminal) {
  EXPECT_EQ(terminal_safe("a\tb\nc"), "a\tb\nc");
  EXPECT_EQ(terminal_safe("\x1b]0;x\x07"), "\xE2\x90\x9B]0;x\xE2\x90\x87");
  EXPECT_EQ(terminal_safe("\xC2\x9B"
                          "31m"),
            "\xEF\xBF\xBD"
            "31m");
  EXPECT_EQ(terminal_safe("é😀"), "é😀");
}

TEST(Log, AClientsTextStaysOnItsLine) {
  Settings s;
  s.log_file = testing::TempDir() + "moraine-log-" + std::to_string(getpid());
  Console console;
  write_log(*make_log(s, console), server::LogLevel::kError, "GET /a\nerror: \x1b[2Jforged: 404");
  std::ifstream in(s.log_file);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  EXPECT_THAT(text, HasSubstr("GET /a error: \xE2\x90\x9B[2Jforged: 404\n"));
  std::remove(s.log_file.c_str());
}

TEST(ModelPath, AMissingFileNamesWhatIsNear) {
  Console console;
  const LoadEngine load = Engine::load;
  const options::Environment empty = [](const std::string&) -> const char* { return nullptr; };
  Invocation invocation{
      .settings = {}, .parsed = {}, .prompt = {}, .console = console, .env = empty, .load_engine = load};
  EXPECT_THROW(require_model(invocation, "serve"), UsageError);
  invocation.settings.engine.model_path = "/nowhere/at/all.gguf";
  try {
    require_model(invocation, "serve");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kNotFound);
    EXPECT_THAT(e.what(), HasSubstr("There is no file /nowhere/at/all.gguf."));
  }
}

}  // namespace
}  // namespace moraine::app
