#include "option_table.h"

#include <fmt/format.h>

#include <limits>

#include "base/options/render.h"

namespace moraine::app {

using namespace options;

namespace {

constexpr int64_t kMaxInt = std::numeric_limits<int32_t>::max();
constexpr double kAnyReal = 1e6;

// -1 asks for a fresh seed each time, which is what an empty one means.
Value seed(std::optional<uint64_t>& place) {
  return {"a whole number, or -1 for a random one", [&place](std::string_view text) {
            const auto v = parse_integer(text);
            if (!v || *v < -1) return false;
            if (*v < 0)
              place.reset();
            else
              place = static_cast<uint64_t>(*v);
            return true;
          }};
}

// "15043+1", "15043-0.5", "15043-inf", several separated by commas.
Value logit_biases(std::vector<std::pair<TokenId, float>>& place) {
  return {"TOKEN_ID+BIAS or TOKEN_ID-BIAS, such as 15043+1 or 15043-inf", [&place](std::string_view text) {
            std::vector<std::pair<TokenId, float>> biases;
            for (const std::string& piece : split(text, ',')) {
              const size_t sign = piece.find_first_of("+-", 1);
              if (sign == std::string::npos) return false;
              const auto id = parse_integer(piece.substr(0, sign));
              const std::string amount = piece.substr(sign + 1);
              const auto number =
                  amount == "inf" ? std::numeric_limits<double>::infinity() : parse_real(amount).value_or(-1);
              if (!id || *id < 0 || *id > kMaxInt || number < 0) return false;
              biases.emplace_back(static_cast<TokenId>(*id),
                                  static_cast<float>(piece[sign] == '-' ? -number : number));
            }
            place.insert(place.end(), biases.begin(), biases.end());
            return !biases.empty();
          }};
}

Value seconds(std::chrono::milliseconds& place) {
  return {"a whole number of seconds, or -1 for never", [&place](std::string_view text) {
            const auto v = parse_integer(text);
            if (!v || *v < -1 || *v > 86400 * 365) return false;
            place = std::chrono::seconds(*v <= 0 ? 86400 * 365 : *v);
            return true;
          }};
}

void add_model_options(Table& t, Settings& s) {
  t.section("Model and memory", kServe | kRun | kBench | kInspect | kPerplexity | kBenchSpeculation | kDemo);
  t.add("-m, --model FILE", text(s.engine.model_path),
        "the model: a GGUF file or a name (moraine list); also the first argument")
      .env("LLAMA_ARG_MODEL");
  t.add("-c, --ctx-size N", integer(s.engine.n_ctx, 0, 1 << 26), "tokens of context of each request")
      .standard("0: the trained length, or what fits")
      .only(kServe | kRun | kInspect | kBenchSpeculation)
      .env("LLAMA_ARG_CTX_SIZE");
  t.add("-np, --parallel N", integer_or_auto<int32_t>(s.engine.n_parallel, 1, 1024, 4),
        "requests answered at once; further ones wait")
      .standard("4")
      .only(kServe | kInspect)
      .env("LLAMA_ARG_N_PARALLEL");
  t.add("-ctk, --cache-type-k TYPE", kv_type(s.engine.kv_type_k),
        "numbers of the cached keys: f16, q8_0, q4_0 or f32")
      .standard("f16")
      .note(kv_note)
      .env("LLAMA_ARG_CACHE_TYPE_K");
  t.add("-ctv, --cache-type-v TYPE", kv_type(s.engine.kv_type_v),
        "numbers of the cached values: f16, q8_0, q4_0 or f32")
      .standard("f16")
      .note(kv_note)
      .env("LLAMA_ARG_CACHE_TYPE_V");
  Value cache_ram{"a whole number of MiB, or -1 for what fits", [&s](std::string_view text) {
                    const auto v = parse_integer(text);
                    if (!v || *v < -1 || *v > (1ll << 40)) return false;
                    s.engine.cache_bytes.reset();
                    if (*v >= 0) s.engine.cache_bytes = static_cast<uint64_t>(*v) << 20;
                    return true;
                  }};
  t.add("-cram, --cache-ram MIB", cache_ram, "memory for what finished prompts leave behind; 0: none")
      .standard("-1: half of what remains, at most 16384")
      .only(kServe | kRun | kInspect)
      .env("LLAMA_ARG_CACHE_RAM");
  t.add("--memory-limit SIZE", bytes(s.engine.memory_limit_bytes), "never plan for more memory, such as 8G")
      .standard("what is free");

  t.section("Speed", kServe | kRun | kBench | kPerplexity | kBenchSpeculation | kDemo);
  t.add("-t, --threads N", integer_or_auto<int32_t>(s.engine.n_threads, 1, 1024, 0), "threads that compute")
      .standard("the physical cores")
      .only(kServe | kRun | kPerplexity | kBenchSpeculation | kDemo)
      .env("LLAMA_ARG_THREADS");
  t.add("-tb, --threads-batch N", integer_or_auto<int32_t>(s.engine.n_threads_batch, 1, 1024, 0),
        "threads that read prompts")
      .standard("as --threads")
      .only(kServe | kRun | kPerplexity)
      .env("LLAMA_ARG_THREADS_BATCH");
  const auto slices = [&s](std::string_view) {
    return fmt::format("prompts are read {} tokens at a time; the more, the more each weight read serves",
                       std::min(s.engine.n_ubatch, s.engine.n_batch));
  };
  t.add("-b, --batch-size N", integer(s.engine.n_batch, 1, 1 << 24), "most tokens of a step")
      .standard("2048")
      .only(kServe | kRun | kBench)
      .note(slices)
      .env("LLAMA_ARG_BATCH");
  t.add("-ub, --ubatch-size N", integer(s.engine.n_ubatch, 1, 65536),
        "most tokens of one pass through the model")
      .standard("512")
      .note(slices)
      .env("LLAMA_ARG_UBATCH");
  t.add("--isa NAME", text(s.engine.isa), "use the kernels of this instruction set: scalar, avx2, ...")
      .standard("the best that the CPU has");
}

void add_sampling_options(Table& t, Settings& s) {
  server::SamplingOverrides& o = s.api.sampling;
  t.section("Answers, where the request does not say otherwise", kServe | kRun);
  t.add("-n, --predict, --n-predict N", integer(s.api.n_predict, -2, kMaxInt), "most tokens of an answer")
      .standard("-1: no limit but the context")
      .env("LLAMA_ARG_N_PREDICT");
  t.add("--temp, --temperature N", real(o.temperature, -kAnyReal, kAnyReal),
        "0 takes the likeliest token always")
      .standard("the file's, or 0.8")
      .env("LLAMA_ARG_TEMPERATURE");
  t.add("--top-k N", integer(o.top_k, -1, kMaxInt), "choose among so many tokens; 0: all")
      .standard("the file's, or 40")
      .env("LLAMA_ARG_TOP_K");
  t.add("--top-p N", real(o.top_p, 0, kAnyReal), "choose among the likeliest that make up this share")
      .standard("the file's, or 0.95")
      .env("LLAMA_ARG_TOP_P");
  t.add("--min-p N", real(o.min_p, 0, 1), "leave out tokens less likely than this share of the likeliest")
      .standard("the file's, or 0.05")
      .env("LLAMA_ARG_MIN_P");
  t.add("--typical, --typical-p N", real(o.typical_p, 0, kAnyReal), "locally typical sampling; 1: off")
      .standard("1");
  t.add("--repeat-penalty N", real(o.repeat_penalty, 1e-3, kAnyReal), "against repetition; 1: off")
      .standard("the file's, or 1")
      .env("LLAMA_ARG_REPEAT_PENALTY");
  t.add("--repeat-last-n N", integer(o.repeat_last_n, -1, kMaxInt),
        "tokens that penalties look back on; -1: all")
      .standard("64");
  t.add("--presence-penalty N", real(o.presence_penalty, -kAnyReal, kAnyReal),
        "against what was said; 0: off")
      .standard("0")
      .env("LLAMA_ARG_PRESENCE_PENALTY");
  t.add("--frequency-penalty N", real(o.frequency_penalty, -kAnyReal, kAnyReal),
        "against what was said often; 0: off")
      .standard("0")
      .env("LLAMA_ARG_FREQUENCY_PENALTY");
  t.add("-s, --seed N", seed(o.seed), "the same seed draws the same answer")
      .standard("-1: another each time");
  t.add("-l, --logit-bias TOKEN_ID(+/-)BIAS", logit_biases(o.logit_bias),
        "make a token likelier or less likely")
      .list();
  t.add("--ignore-eos", toggle(o.ignore_eos), "go on past the end of an answer");

  t.section("Chat", kServe | kRun);
  t.add("--chat-template TEXT", text(s.api.chat_template),
        "a Jinja template in place of the file's, or chatml")
      .env("LLAMA_ARG_CHAT_TEMPLATE");
  t.add("--chat-template-file FILE", text(s.chat_template_file), "the same, from a file")
      .env("LLAMA_ARG_CHAT_TEMPLATE_FILE");
  t.add("--chat-template-kwargs JSON", text(s.api.chat_template_kwargs),
        "values the template sees, such as {\"enable_thinking\": false}")
      .env("LLAMA_ARG_CHAT_TEMPLATE_KWARGS");
  t.add("--grammar TEXT", text(s.api.grammar),
        "answers follow this GBNF grammar, unless a request demands a form of its own or offers tools");
  t.add("--grammar-file FILE", text(s.grammar_file), "the same, from a file");
  t.add("-j, --json-schema JSON", text(s.api.json_schema),
        "answers are JSON by this schema, under the same terms");
  t.add("-jf, --json-schema-file FILE", text(s.json_schema_file), "the same, from a file");
}

void add_server_options(Table& t, Settings& s) {
  t.section("Server", kServe);
  t.add("--host ADDRESS", text(s.http.host), "where to listen; 0.0.0.0 lets other machines in")
      .standard("127.0.0.1")
      .env("LLAMA_ARG_HOST");
  t.add("--port N", integer(s.http.port, 0, 65535), "0 takes a free one")
      .standard("8080")
      .env("LLAMA_ARG_PORT");
  t.add("-a, --alias, --model-alias NAME", text(s.api.alias),
        "the model's name for clients; any name is served")
      .standard("the file's name")
      .env("LLAMA_ARG_ALIAS");
  t.add("--api-key KEY", texts(s.api.api_keys), "what clients must send; several: with commas, or again")
      .list()
      .env("LLAMA_API_KEY");
  t.add("--api-key-file FILE", text(s.api_key_file), "the same from a file, one a line; # begins a comment")
      .env("LLAMA_ARG_API_KEY_FILE");
  t.add("--ssl-cert-file FILE", text(s.http.tls_certificate_path), "a certificate (PEM): serve HTTPS")
      .env("LLAMA_ARG_SSL_CERT_FILE");
  t.add("--ssl-key-file FILE", text(s.http.tls_key_path), "its private key (PEM)")
      .env("LLAMA_ARG_SSL_KEY_FILE");
  t.add("--cache-prompt", toggle(s.api.cache_prompt),
        "begin a prompt where what is known of it ends; requests may say so too")
      .off("--no-cache-prompt")
      .standard("on")
      .env("LLAMA_ARG_CACHE_PROMPT");
  t.add("--cache-scope key|all",
        choice<server::CacheScope>(s.api.cache_scope,
                                   {{"key", server::CacheScope::kKey}, {"all", server::CacheScope::kAll}}),
        "whose prompts it may be known from: those of the same API key, or all")
      .standard("key");
  t.add("--max-stall MS", integer(s.engine.max_stall_ms, 1, 60'000),
        "a stream waits no longer for a slice of another's prompt")
      .standard("500");
  t.add("--threads-http N", {integer_or_auto<size_t>(s.http.n_threads, 1, 64, 2)},
        "threads that serve connections")
      .standard("2")
      .env("LLAMA_ARG_THREADS_HTTP");
  t.add("--sse-ping-interval SECONDS", seconds(s.http.stream_keep_alive), "a sign of life in silent streams")
      .standard("10")
      .env("LLAMA_ARG_SSE_PING_INTERVAL");
  t.add("--metrics", toggle(s.api.metrics), "GET /metrics for Prometheus")
      .off("--no-metrics")
      .standard("on")
      .env("LLAMA_ARG_ENDPOINT_METRICS");
  t.add("--slots", toggle(s.api.slots), "GET /slots")
      .off("--no-slots, --slots-endpoint-disable")
      .standard("on")
      .env("LLAMA_ARG_ENDPOINT_SLOTS");
  t.add("--drain-timeout SECONDS", integer(s.drain_timeout_s, 0, 86400),
        "on SIGTERM: how long answers may finish")
      .standard("30");
}

void add_log_options(Table& t, Settings& s) {
  t.section("Log", kEveryCommand);
  t.add("-lv, --verbosity, --log-verbosity N", integer(s.verbosity, 0, 9),
        "1: errors, 2: warnings, 3: a line for each request, 4: more")
      .standard("3")
      .env("LLAMA_ARG_LOG_VERBOSITY");
  Value everything{"on or off", [&s](std::string_view text) {
                     const auto on = parse_bool(text);
                     if (on) s.verbosity = *on ? 5 : 3;
                     return on.has_value();
                   }};
  t.add("-v, --verbose, --log-verbose", everything, "say everything").env("LLAMA_ARG_LOG_VERBOSE");
  t.add("--log-disable", toggle(s.log_disabled), "no log lines");
  t.add("--log-file FILE", text(s.log_file), "write them to a file too")
      .only(kServe)
      .env("LLAMA_ARG_LOG_FILE");
  t.add("--log-timestamps", toggle(s.log_timestamps), "begin them with the time")
      .off("--no-log-timestamps")
      .only(kServe)
      .standard("on")
      .env("LLAMA_ARG_LOG_TIMESTAMPS");
  t.add("--log-colors [on|off|auto]", on_off_auto(s.colors), "colours; NO_COLOR turns them off too")
      .standard("auto: on a terminal")
      .env("LLAMA_ARG_LOG_COLORS");
  t.add("-h, --help, --usage", toggle(s.help), "what there is").command_line_only();
  t.add("--version", toggle(s.version), "which version this is; with --verbose: how it was built")
      .command_line_only();
}

void add_command_options(Table& t, Settings& s) {
  t.section("Conversation", kRun);
  t.add("-p, --prompt TEXT", text(s.prompt),
        "answer this and leave; also the second argument, - for standard input");
  t.add("-f, --file FILE", text(s.prompt_file), "the same from a file");
  t.add("-sys, --system-prompt TEXT", text(s.system_prompt), "what the model is told first");
  t.add("--timings", toggle(s.timings), "tokens and speed on standard error")
      .off("--no-timings, --no-perf")
      .standard("on a terminal");

  t.section("Text", kPerplexity);
  t.add("-f, --file FILE", text(s.perplexity_file), "the text to predict")
      .standard("the program's own: English and code, 85 KB");
  // Not from the environment, where it is meant for conversations: numbers compare only at one length.
  t.add("-c, --ctx-size N", integer(s.engine.n_ctx, 0, 1 << 26), "tokens of a chunk; the second half counts")
      .standard("512")
      .command_line_only();
  t.add("--chunks N", integer(s.perplexity_chunks, -1, kMaxInt), "only the first N chunks").standard("all");

  t.section("Inspection", kInspect);
  t.add("--json", toggle(s.json), "print JSON").only(kInspect | kPerplexity);
}

}  // namespace

// Types that the cache does not have are taken for the nearest one that keeps at least their precision.
Value kv_type(KvType& place) {
  return choice<KvType>(place, {{"f16", KvType::kF16},
                                {"q8_0", KvType::kQ8_0},
                                {"f32", KvType::kF32},
                                {"bf16", KvType::kF16},
                                {"q4_0", KvType::kQ4_0},
                                {"q4_1", KvType::kQ8_0},
                                {"iq4_nl", KvType::kQ8_0},
                                {"q5_0", KvType::kQ8_0},
                                {"q5_1", KvType::kQ8_0}});
}
std::string kv_note(std::string_view type) {
  if (type.empty() || type == "f16" || type == "f32" || type == "q8_0" || type == "q4_0") return "";
  return fmt::format("the cache has no {}; {} is used", type, type == "bf16" ? "f16" : "q8_0");
}

const char* command_name(unsigned command) noexcept {
  switch (command) {
    case kServe:
      return "serve";
    case kRun:
      return "run";
    case kBench:
      return "bench";
    case kInspect:
      return "inspect";
    case kCache:
      return "cache";
    case kDoctor:
      return "doctor";
    case kConnect:
      return "connect";
    case kLaunch:
      return "launch";
    case kPerplexity:
      return "perplexity";
    case kList:
      return "list";
    case kPull:
      return "pull";
    case kRm:
      return "rm";
    case kPs:
      return "ps";
    case kStop:
      return "stop";
    case kLogs:
      return "logs";
    case kService:
      return "service";
    case kSelfTest:
      return "self-test";
    case kMeter:
      return "usage";
    case kEpic:
      return "epic";
    case kBenchAgents:
      return "bench agents";
    case kBenchSpeculation:
      return "bench speculation";
    case kDemo:
      return "demo";
    case kBenchOps:
      return "bench ops";
    default:
      return "";
  }
}

std::string options_page() {
  Settings settings;
  return "# Options\n\n"
         "Made by `moraine options --markdown` from the table of options in `apps/moraine/`: change it "
         "there.\n\n"
         "An option on the command line counts before its `MORAINE_` environment variable, and that before\n"
         "llama-server's name for it. Of an option given twice the last counts; lists (`--api-key`) add up.\n"
         "`--name=VALUE` and `--name VALUE` are the same, and so are `--ctx_size` and `--ctx-size`.\n" +
         markdown(option_table(settings), command_name);
}

options::Table option_table(Settings& s) {
  Table t;
  add_model_options(t, s);
  add_command_options(t, s);
  add_bench_options(t, s);
  add_sampling_options(t, s);
  add_drafter_options(t, s);
  add_server_options(t, s);
  add_hub_options(t, s);
  add_servers_options(t, s);
  add_speculation_options(t, s);
  add_cache_options(t, s);
  add_usage_options(t, s);
  add_epic_options(t, s);
  add_doctor_options(t, s);
  add_connect_options(t, s);
  add_gpu_options(t, s);
  add_log_options(t, s);
  add_compat_options(t);
  return t;
}

}  // namespace moraine::app
