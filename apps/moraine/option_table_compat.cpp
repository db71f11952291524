// Options of llama-server, past and present, that change nothing yet or never will: accepted, so that a
// command line written for it runs here. Values are not checked: what would be right is not ours to say.
// When the machinery behind one arrives, its row moves to option_table.cpp.
#include "option_table.h"

namespace moraine::app {

using namespace options;

namespace {

struct Row {
  const char* spelling;  // as Table::add takes it
  const char* help;
  const char* env = nullptr;
  const char* off = nullptr;
  const char* more_env = nullptr;  // an older name
};

enum class Kind { kAlready, kPlanned, kNone };

void add_rows(Table& t, Kind kind, const char* note, std::initializer_list<Row> rows) {
  for (const Row& row : rows) {
    const std::string_view spelling = row.spelling;
    const size_t bracket = spelling.find('[');
    // The last name has a value where a space follows it: "-a, --b N".
    const size_t comma = spelling.rfind(", ");
    const bool has_value =
        spelling.find(' ', comma == std::string_view::npos ? 0 : comma + 2) != std::string_view::npos;
    Value value = bracket != std::string_view::npos ? any_on_off_auto()
                  : has_value                       ? anything()
                                                    : any_switch();
    Declared declared = t.add(row.spelling, std::move(value), row.help);
    if (row.env) declared.env(row.env);
    if (row.more_env) declared.env(row.more_env);
    if (row.off) declared.off(row.off);
    switch (kind) {
      case Kind::kAlready:
        declared.already(note);
        break;
      case Kind::kPlanned:
        declared.planned(note);
        break;
      case Kind::kNone:
        declared.no_effect(note);
        break;
    }
  }
}

void add_already(Table& t) {
  t.section("As it is anyway", kServe | kRun | kBench);
  add_rows(t, Kind::kAlready, "attention is always flash attention",
           {{"-fa, --flash-attn [on|off|auto]", "flash attention", "LLAMA_ARG_FLASH_ATTN"}});
  t.section("As it is anyway", kServe | kRun);
  add_rows(
      t, Kind::kAlready, "weights are read straight into memory, once",
      {{"--mmap", "map the file into memory", "LLAMA_ARG_MMAP", "--no-mmap"},
       {"--mlock", "keep the weights from being swapped", "LLAMA_ARG_MLOCK"},
       {"-lm, --load-mode MODE", "how the file is read: auto, none, mmap, mlock, dio", "LLAMA_ARG_LOAD_MODE"},
       {"-dio, --direct-io", "read past the page cache", "LLAMA_ARG_DIO", "-ndio, --no-direct-io"},
       {"--repack", "re-lay weights for the kernels", "LLAMA_ARG_REPACK", "-nr, --no-repack"}});
  t.section("As it is anyway", kBench);
  add_rows(t, Kind::kAlready, "weights are read straight into memory, once",
           {{"-mmp, --mmap [on|off|auto]", "map the file into memory"}});
  t.section("As it is anyway", kServe | kRun);
  add_rows(t, Kind::kAlready, "chat templates are always Jinja",
           {{"--jinja", "read the chat template as Jinja", "LLAMA_ARG_JINJA", "--no-jinja"}});
  add_rows(
      t, Kind::kAlready, "what prompts begin alike with is shared by all, whatever place they run in",
      {{"--cache-idle-slots", "keep idle prompts", "LLAMA_ARG_CACHE_IDLE_SLOTS", "--no-cache-idle-slots"},
       {"-sps, --slot-prompt-similarity N", "how much must match"}});
  add_rows(t, Kind::kAlready, "sliding windows are kept in full",
           {{"--swa-full", "a full cache for sliding windows", "LLAMA_ARG_SWA_FULL"}});
  add_rows(t, Kind::kAlready,
           "states are kept at messages and every 4,096 tokens, as long as there is memory",
           {{"-ctxcp, --ctx-checkpoints, --swa-checkpoints N", "states kept of a prompt",
             "LLAMA_ARG_CTX_CHECKPOINTS"},
            {"-cms, --checkpoint-min-step N", "tokens between them", "LLAMA_ARG_CHECKPOINT_MIN_SPACING_NT"}});
  add_rows(t, Kind::kAlready, "tokens are never moved: what follows an edit is computed anew, exactly",
           {{"--cache-reuse N", "least run of tokens to move", "LLAMA_ARG_CACHE_REUSE"}});
  t.section("As it is anyway", kServe);
  add_rows(t, Kind::kAlready, "requests always share each step",
           {{"-cb, --cont-batching", "continuous batching", "LLAMA_ARG_CONT_BATCHING",
             "-nocb, --no-cont-batching"}});
  add_rows(t, Kind::kAlready, "requests share one pool of cache pages",
           {{"-kvu, --kv-unified", "one cache for all requests", "LLAMA_ARG_KV_UNIFIED",
             "-no-kvu, --no-kv-unified"}});
  add_rows(t, Kind::kAlready, "what does not fit the context is refused with the numbers, never cut silently",
           {{"--context-shift", "drop old tokens when the context is full", "LLAMA_ARG_CONTEXT_SHIFT",
             "--no-context-shift"}});
  add_rows(t, Kind::kAlready, "an answer that the messages begin is gone on with",
           {{"--prefill-assistant", "go on with an unfinished answer", "LLAMA_ARG_PREFILL_ASSISTANT",
             "--no-prefill-assistant"}});
  add_rows(t, Kind::kAlready, "an answer may take as long as it takes",
           {{"-to, --timeout SECONDS", "limit on reading and writing", "LLAMA_ARG_TIMEOUT"}});
}

void add_gpu(Table& t) {
  t.section("Finer control of GPUs, to come", kServe | kRun | kBench);
  add_rows(
      t, Kind::kPlanned, "one GPU is used as -ngl and -dev say; this is still to come",
      {{"-mg, --main-gpu N", "the first GPU", "LLAMA_ARG_MAIN_GPU"},
       {"-sm, --split-mode MODE", "how GPUs share a model", "LLAMA_ARG_SPLIT_MODE"},
       {"-ts, --tensor-split LIST", "how much of it each gets", "LLAMA_ARG_TENSOR_SPLIT"},
       {"-ncffn, --n-cpu-ffn N", "feed-forward weights of so many layers on the CPU", "LLAMA_ARG_N_CPU_FFN"},
       {"--moe-cache-mib N", "GPU memory for experts kept on the CPU", "LLAMA_ARG_MOE_CACHE_MIB"},
       {"-kvo, --kv-offload", "cache on the GPU", "LLAMA_ARG_KV_OFFLOAD", "-nkvo, --no-kv-offload"},
       {"--op-offload", "large products on the GPU", nullptr, "--no-op-offload"},
       {"--no-host", "no host buffers", "LLAMA_ARG_NO_HOST"},
       {"-bs, --backend-sampling", "sample on the GPU", "LLAMA_ARG_BACKEND_SAMPLING"}});
}

void add_speculation(Table& t) {
  t.section("As it is anyway", kServe | kRun);
  add_rows(t, Kind::kAlready, "who guesses, and how much, is measured as the model runs",
           {{"--spec-default", "speculation as is best"}});
  t.section("As it is anyway", kServe | kRun);
  add_rows(
      t, Kind::kAlready, "a draft model reads no prompts, only the latest tokens",
      {{"-tbd, --spec-draft-threads-batch, --threads-batch-draft N", "the draft's threads for prompts"}});
  t.section("Without effect", kServe | kRun);
  add_rows(t, Kind::kNone, "how drafts are found is not adjustable: what holds and what it costs is measured",
           {{"--spec-draft-p-split, --draft-p-split P", "probability at which drafts branch",
             "LLAMA_ARG_SPEC_DRAFT_P_SPLIT", nullptr, "LLAMA_ARG_DRAFT_P_SPLIT"},
            {"--spec-draft-backend-sampling", "sample drafts on the GPU",
             "LLAMA_ARG_SPEC_DRAFT_BACKEND_SAMPLING", "--no-spec-draft-backend-sampling"},
            {"--spec-draft-sampling MODE", "greedy or probabilistic drafts", "LLAMA_ARG_SPEC_DRAFT_SAMPLING"},
            {"--spec-draft-replace, --spec-replace FROM TO", "texts that the draft spells otherwise"},
            {"--spec-ngram-size-n N", "n-gram looked up"},
            {"--spec-ngram-size-m N", "n-gram drafted"},
            {"--spec-ngram-min-hits N", "fewest hits"},
            {"--spec-ngram-mod-n-min N", "fewest tokens of an n-gram"},
            {"--spec-ngram-mod-n-max N", "most tokens of an n-gram"},
            {"--spec-ngram-mod-n-match N", "tokens that must match"},
            {"--spec-ngram-simple-size-n N", "n-gram looked up"},
            {"--spec-ngram-simple-size-m N", "n-gram drafted"},
            {"--spec-ngram-simple-min-hits N", "fewest hits"},
            {"--spec-ngram-map-k-size-n N", "n-gram looked up"},
            {"--spec-ngram-map-k-size-m N", "n-gram drafted"},
            {"--spec-ngram-map-k-min-hits N", "fewest hits"},
            {"--spec-ngram-map-k4v-size-n N", "n-gram looked up"},
            {"--spec-ngram-map-k4v-size-m N", "n-gram drafted"},
            {"--spec-ngram-map-k4v-min-hits N", "fewest hits"},
            {"--spec-synth-len L", "synthetic acceptance, for measurements", "LLAMA_ARG_SPEC_SYNTH_LEN"},
            {"--spec-synth-rates LIST", "the same by position", "LLAMA_ARG_SPEC_SYNTH_RATES"},
            {"-lcs, --lookup-cache-static FILE", "n-grams to look up"},
            {"-lcd, --lookup-cache-dynamic FILE", "n-grams seen"}});
}

void add_other_planned(Table& t) {
  t.section("Models by address, to come", kServe | kRun | kBench | kInspect);
  add_rows(t, Kind::kPlanned, "fetching by address is still to come; give a file with -m, or a name with -hf",
           {{"-mu, --model-url URL", "a file by its address", "LLAMA_ARG_MODEL_URL"},
            {"-dr, --docker-repo NAME", "a model of Docker Hub", "LLAMA_ARG_DOCKER_REPO"}});
  t.section("Cache, to come", kServe | kRun);
  add_rows(t, Kind::kPlanned,
           "a file for one prompt is still to come; `serve` keeps what prompts leave behind by itself",
           {{"--prompt-cache FILE", "where a prompt's state is kept"}});
  t.section("Other machinery to come", kServe | kRun);
  add_rows(t, Kind::kPlanned, "answers are passed on as text, thoughts and tool calls included, for now",
           {{"--reasoning-format FORMAT", "where thoughts go", "LLAMA_ARG_THINK", nullptr,
             "LLAMA_ARG_REASONING_FORMAT"},
            {"-rea, --reasoning [on|off|auto]", "let the model think", "LLAMA_ARG_REASONING"},
            {"--reasoning-effort LEVEL", "how much", "LLAMA_ARG_REASONING_EFFORT"},
            {"--reasoning-budget N", "most tokens of thought", "LLAMA_ARG_THINK_BUDGET"},
            {"--reasoning-budget-message TEXT", "what ends a thought", "LLAMA_ARG_THINK_BUDGET_MESSAGE"},
            {"--reasoning-preserve", "keep old thoughts", "LLAMA_ARG_REASONING_PRESERVE",
             "--no-reasoning-preserve"},
            {"--skip-chat-parsing", "pass answers on as they are", "LLAMA_ARG_SKIP_CHAT_PARSING",
             "--no-skip-chat-parsing"}});
  add_rows(t, Kind::kPlanned, "the model runs as its file is, without it",
           {{"--lora LIST", "adapters"},
            {"--lora-scaled LIST", "adapters with their scale"},
            {"--lora-init-without-apply", "adapters to apply later"},
            {"--control-vector LIST", "control vectors"},
            {"--control-vector-scaled LIST", "control vectors with their scale"},
            {"--control-vector-layer-range START END", "layers they act on"},
            {"--override-kv LIST", "values in place of the file's"},
            {"--rope-scaling KIND", "scaling of positions", "LLAMA_ARG_ROPE_SCALING_TYPE"},
            {"--rope-scale N", "factor on the context", "LLAMA_ARG_ROPE_SCALE"},
            {"--rope-freq-base N", "base frequency", "LLAMA_ARG_ROPE_FREQ_BASE"},
            {"--rope-freq-scale N", "factor on frequencies", "LLAMA_ARG_ROPE_FREQ_SCALE"},
            {"--yarn-orig-ctx N", "YaRN: trained context", "LLAMA_ARG_YARN_ORIG_CTX"},
            {"--yarn-ext-factor N", "YaRN: extrapolation", "LLAMA_ARG_YARN_EXT_FACTOR"},
            {"--yarn-attn-factor N", "YaRN: attention", "LLAMA_ARG_YARN_ATTN_FACTOR"},
            {"--yarn-beta-slow N", "YaRN: high correction", "LLAMA_ARG_YARN_BETA_SLOW"},
            {"--yarn-beta-fast N", "YaRN: low correction", "LLAMA_ARG_YARN_BETA_FAST"}});
  add_rows(t, Kind::kPlanned, "this version reads text only; a picture leaves a note in its place",
           {{"-mm, --mmproj FILE", "the projector of a model that sees", "LLAMA_ARG_MMPROJ"},
            {"-mmu, --mmproj-url URL", "the same by its address", "LLAMA_ARG_MMPROJ_URL"},
            {"--mmproj-auto", "find it", "LLAMA_ARG_MMPROJ_AUTO", "--no-mmproj, --no-mmproj-auto"},
            {"--mmproj-offload", "run it on the GPU", "LLAMA_ARG_MMPROJ_OFFLOAD", "--no-mmproj-offload"},
            {"-mmdev, --mmproj-device DEVICE", "where it runs"},
            {"--image-min-tokens N", "fewest tokens of a picture", "LLAMA_ARG_IMAGE_MIN_TOKENS"},
            {"--image-max-tokens N", "most tokens of a picture", "LLAMA_ARG_IMAGE_MAX_TOKENS"},
            {"--mtmd-batch-max-tokens N", "most of them at once", "LLAMA_ARG_MTMD_BATCH_MAX_TOKENS"},
            {"--video-fps N", "pictures of a film", "LLAMA_ARG_VIDEO_FPS"},
            {"--video-timestamp-interval N", "times between them", "LLAMA_ARG_VIDEO_TIMESTAMP_INTERVAL"},
            {"--video-ffmpeg-dir DIR", "where ffmpeg is", "LLAMA_ARG_VIDEO_FFMPEG_DIR"},
            {"--media-path DIR", "where media files lie"}});
  t.section("Other machinery to come", kServe);
  add_rows(t, Kind::kPlanned, "embeddings and reranking are still to come",
           {{"--embedding, --embeddings", "serve embeddings", "LLAMA_ARG_EMBEDDINGS"},
            {"--rerank, --reranking", "serve reranking", "LLAMA_ARG_RERANKING"},
            {"--pooling KIND", "how they are pooled", "LLAMA_ARG_POOLING"},
            {"--embd-normalize N", "how they are normalised"}});
  add_rows(
      t, Kind::kPlanned, "one model is served at a time",
      {{"--models-dir DIR", "models to choose from", "LLAMA_ARG_MODELS_DIR"},
       {"--models-preset FILE", "their settings", "LLAMA_ARG_MODELS_PRESET"},
       {"--models-max N", "most at once", "LLAMA_ARG_MODELS_MAX"},
       {"--models-autoload", "load what is asked for", "LLAMA_ARG_MODELS_AUTOLOAD", "--no-models-autoload"},
       {"--sleep-idle-seconds SECONDS", "unload when idle"}});
  add_rows(
      t, Kind::kPlanned, "there is no page for the browser yet",
      {{"--ui, --webui", "a page for the browser", "LLAMA_ARG_UI", "--no-ui, --no-webui", "LLAMA_ARG_WEBUI"},
       {"--ui-config, --webui-config JSON", "its settings", "LLAMA_ARG_UI_CONFIG", nullptr,
        "LLAMA_ARG_WEBUI_CONFIG"},
       {"--ui-config-file, --webui-config-file FILE", "its settings from a file", "LLAMA_ARG_UI_CONFIG_FILE",
        nullptr, "LLAMA_ARG_WEBUI_CONFIG_FILE"}});
}

void add_without_effect(Table& t) {
  t.section("Without effect", kServe | kRun | kBench);
  add_rows(t, Kind::kNone, "the system places and wakes threads",
           {{"-C, --cpu-mask M", "CPUs to run on"},
            {"-Cr, --cpu-range LO-HI", "CPUs to run on"},
            {"--cpu-strict N", "strict placement"},
            {"--prio N", "priority"},
            {"--poll N", "how threads wait"},
            {"--numa KIND", "NUMA placement", "LLAMA_ARG_NUMA"}});
  t.section("Without effect", kServe | kRun);
  add_rows(t, Kind::kNone, "the system places and wakes threads",
           {{"-Cb, --cpu-mask-batch M", "CPUs to run on"},
            {"-Crb, --cpu-range-batch LO-HI", "CPUs to run on"},
            {"--cpu-strict-batch N", "strict placement"},
            {"--prio-batch N", "priority"},
            {"--poll-batch N", "how threads wait"},
            {"-Cd, --spec-draft-cpu-mask, --cpu-mask-draft M", "CPUs to run on"},
            {"-Crd, --spec-draft-cpu-range, --cpu-range-draft LO-HI", "CPUs to run on"},
            {"--spec-draft-cpu-strict, --cpu-strict-draft N", "strict placement"},
            {"--spec-draft-prio, --prio-draft N", "priority"},
            {"--spec-draft-poll, --poll-draft N", "how threads wait"},
            {"-Cbd, --spec-draft-cpu-mask-batch, --cpu-mask-batch-draft M", "CPUs to run on"},
            {"-Crbd, --cpu-range-batch-draft LO-HI", "CPUs to run on"},
            {"--spec-draft-cpu-strict-batch, --cpu-strict-batch-draft N", "strict placement"},
            {"--spec-draft-prio-batch, --prio-batch-draft N", "priority"},
            {"--spec-draft-poll-batch, --poll-batch-draft N", "how threads wait"}});
  add_rows(t, Kind::kNone, "this sampler is not here",
           {{"--samplers LIST", "the order of samplers"},
            {"--sampler-seq, --sampling-seq TEXT", "the same in short"},
            {"--top-nsigma, --top-n-sigma N", "top-n-sigma"},
            {"--xtc-probability N", "XTC"},
            {"--xtc-threshold N", "XTC"},
            {"--dry-multiplier N", "DRY"},
            {"--dry-base N", "DRY"},
            {"--dry-allowed-length N", "DRY"},
            {"--dry-penalty-last-n N", "DRY"},
            {"--dry-sequence-breaker TEXT", "DRY"},
            {"--adaptive-target N", "adaptive-p"},
            {"--adaptive-decay N", "adaptive-p"},
            {"--dynatemp-range N", "dynamic temperature"},
            {"--dynatemp-exp N", "dynamic temperature"},
            {"--mirostat N", "Mirostat"},
            {"--mirostat-lr N", "Mirostat"},
            {"--mirostat-ent N", "Mirostat"},
            {"--penalize-nl", "penalise line ends"}});
  add_rows(t, Kind::kNone, "there is nothing like it here",
           {{"--keep N", "tokens kept when the context shifts"},
            {"-e, --escape", "read \\n in prompts", nullptr, "--no-escape"},
            {"-dt, --defrag-thold N", "defragmentation", "LLAMA_ARG_DEFRAG_THOLD"},
            {"-gan, --grp-attn-n N", "self-extend", "LLAMA_ARG_GRP_ATTN_N"},
            {"-gaw, --grp-attn-w N", "self-extend", "LLAMA_ARG_GRP_ATTN_W"},
            {"-lzm, --lazy-mode MODE", "read tensors on demand", "LLAMA_ARG_LAZY_MODE"},
            {"--rpc LIST", "machines to compute on", "LLAMA_ARG_RPC"},
            {"--check-tensors", "look for bad values"},
            {"-sp, --special", "print special tokens"},
            {"-r, --reverse-prompt TEXT", "stop at a text"},
            {"-hfv, -hfrv, --hf-repo-v NAME", "a vocoder", "LLAMA_ARG_HF_REPO_V"},
            {"--verbose-prompt", "print prompts"},
            {"--log-prefix", "a prefix for log lines", "LLAMA_ARG_LOG_PREFIX", "--no-log-prefix"},
            {"--log-jsonl", "log lines as JSON", "LLAMA_ARG_LOG_JSONL", "--no-log-jsonl"},
            {"--log-format KIND", "how log lines look"},
            {"--simple-io", "plain input and output"}});
  t.section("Without effect", kServe);
  add_rows(t, Kind::kNone, "there is nothing like it here",
           {{"--warmup", "a run before the first request", nullptr, "--no-warmup"},
            {"--perf", "timings in the log", "LLAMA_ARG_PERF", "--no-perf"},
            {"--kv-unified-per-slot N", "context of each slot", "LLAMA_ARG_KV_UNIFIED_PER_SLOT"},
            {"--spm-infill", "order of an infill prompt"},
            {"--reuse-port", "share the port", "LLAMA_ARG_REUSE_PORT"},
            {"--path DIR", "files to serve", "LLAMA_ARG_STATIC_PATH"},
            {"--api-prefix PATH", "a prefix of all addresses", "LLAMA_ARG_API_PREFIX"},
            {"--tags LIST", "words about the model", "LLAMA_ARG_TAGS"},
            {"--props", "change settings by POST /props", "LLAMA_ARG_ENDPOINT_PROPS"},
            {"--cors-origins LIST", "pages that may call", "LLAMA_ARG_CORS_ORIGINS"},
            {"--cors-methods LIST", "methods they may use", "LLAMA_ARG_CORS_METHODS"},
            {"--cors-headers LIST", "headers they may send", "LLAMA_ARG_CORS_HEADERS"},
            {"--cors-credentials", "credentials they may send", "LLAMA_ARG_CORS_CREDENTIALS",
             "--no-cors-credentials"},
            {"--ui-mcp-proxy, --webui-mcp-proxy", "a proxy for its page", "LLAMA_ARG_UI_MCP_PROXY",
             "--no-ui-mcp-proxy, --no-webui-mcp-proxy"},
            {"--tools LIST", "tools of its page", "LLAMA_ARG_TOOLS"},
            {"--tools-runtime KIND", "where they run", "LLAMA_ARG_TOOLS_RUNTIME"},
            {"--mcp-servers-config FILE", "tool servers of its page", "LLAMA_ARG_MCP_SERVERS_CONFIG"},
            {"--mcp-servers-json JSON", "the same as text", "LLAMA_ARG_MCP_SERVERS_JSON"},
            {"-ag, --agent", "all its tools", "LLAMA_ARG_AGENT", "-no-ag, --no-agent"},
            {"--log-prompts-dir DIR", "log prompts"}});
  t.section("Without effect", kRun);
  add_rows(t, Kind::kNone, "with a prompt one answer, without one a conversation",
           {{"-cnv, --conversation", "talk", nullptr, "-no-cnv, --no-conversation"},
            {"-i, --interactive", "talk"},
            {"-st, --single-turn", "answer once"}});
  add_rows(t, Kind::kNone, "the answer alone is printed, without colours",
           {{"--display-prompt", "print the prompt", nullptr, "--no-display-prompt"},
            {"-co, --color", "colours"}});
  t.section("Without effect", kBench);
  add_rows(t, Kind::kNone, "there is nothing like it here",
           {{"--progress", "say what is measured"}, {"--delay SECONDS", "pause between measurements"}});
}

}  // namespace

void add_compat_options(Table& t) {
  add_already(t);
  add_gpu(t);
  add_speculation(t);
  add_other_planned(t);
  add_without_effect(t);
}

}  // namespace moraine::app
