// The options of guessing ahead: who drafts, how much, and the draft model. What they do:
// docs/speculation.md.
#include "base/options/value.h"
#include "option_table.h"

namespace moraine::app {

using namespace options;

namespace {

// llama-server's names and ours; those of drafters that are not here are taken and change nothing.
Value drafters(SpeculationOptions& s) {
  return {"default, none, or some of request, history, grammar, draft, ngram, separated by commas",
          [&s](std::string_view text) {
            bool request = false, history = false, grammar = false, model = false;
            bool all = false, none = false;
            const std::vector<std::string> names = split(text, ',');
            for (const std::string& name : names) {
              const auto is = [&](std::string_view known) { return equal_ignoring_case(name, known); };
              if (is("default"))
                all = true;
              else if (is("none"))
                none = true;
              else if (is("request") || is("ngram-simple") || is("ngram-map-k") || is("ngram-map-k4v"))
                request = true;
              else if (is("history"))
                history = true;
              else if (is("ngram") || is("ngram-mod") || is("ngram-cache"))
                request = history = true;
              else if (is("grammar"))
                grammar = true;
              else if (is("draft") || is("draft-simple") || is("draft-model"))
                model = true;
              else if (!is("draft-mtp") && !is("draft-eagle3"))
                return false;
            }
            if (names.empty() || ((all || none) && names.size() > 1)) return false;
            s.from_request = all || request;
            s.from_history = all || history;
            s.from_grammar = all || grammar;
            s.from_model = all || model;
            return true;
          }};
}

std::string drafters_note(std::string_view text) {
  for (const std::string& name : split(text, ','))
    if (equal_ignoring_case(name, "draft-mtp") || equal_ignoring_case(name, "draft-eagle3"))
      return "nothing here drafts by " + name + "; the others of the list do";
  return "";
}

}  // namespace

void add_drafter_options(Table& t, Settings& s) {
  SpeculationOptions& o = s.engine.speculation;
  t.section("Speculation", kServe | kRun | kInspect | kBenchSpeculation);
  t.add("--draft-max, --draft, --draft-n, --spec-draft-n-max N", integer(o.max_draft, 0, 64),
        "most tokens guessed ahead in a step; 0: none. Never another answer, only sooner")
      .standard("16")
      .env("LLAMA_ARG_SPEC_DRAFT_N_MAX")
      .env("LLAMA_ARG_DRAFT_MAX");
  t.add("--draft-min, --draft-n-min, --spec-draft-n-min N", integer(o.min_draft, 0, 64),
        "shorter guesses are not used")
      .standard("1")
      .only(kServe | kRun | kBenchSpeculation)
      .env("LLAMA_ARG_SPEC_DRAFT_N_MIN")
      .env("LLAMA_ARG_DRAFT_MIN");
  t.add(
       "--spec-type LIST", drafters(o),
       "who may guess: request (what the text repeats), history (what earlier answers said), grammar (what a "
       "constraint leaves no choice about), draft (the draft model); llama-server's names stand for the "
       "nearest")
      .standard("default: all; whether a guess is used is measured")
      .only(kServe | kRun | kBenchSpeculation)
      .note(drafters_note)
      .env("LLAMA_ARG_SPEC_TYPE");
  t.add("-md, --model-draft, --spec-draft-model FILE", text(o.model.path),
        "a small model of the same vocabulary that guesses: a GGUF file or a name. It never makes answers "
        "slower: where its guesses do not pay, it is idle")
      .env("LLAMA_ARG_SPEC_DRAFT_MODEL")
      .env("LLAMA_ARG_MODEL_DRAFT");
  t.add("-hfd, --spec-draft-hf, -hfrd, --hf-repo-draft NAME", text(s.hub.draft_repo),
        "in its place: USER/REPO[:QUANT], fetched where it is not on this disk")
      .env("LLAMA_ARG_SPEC_DRAFT_HF_REPO")
      .env("LLAMA_ARG_HFD_REPO");
  t.add("--draft-p-min, --spec-draft-p-min P", real(o.model.p_min, 0, 1),
        "its guess ends before a token that it takes to be less likely")
      .standard("0.5")
      .only(kServe | kRun | kBenchSpeculation)
      .env("LLAMA_ARG_SPEC_DRAFT_P_MIN")
      .env("LLAMA_ARG_DRAFT_P_MIN");
  t.add("-cd, --ctx-size-draft, --spec-draft-ctx-size N", integer(o.model.n_ctx, 0, 1 << 26),
        "most tokens it looks back on; at least 128")
      .standard("0: 1024, or its trained length if that is less")
      .env("LLAMA_ARG_CTX_SIZE_DRAFT");
  t.add("-ctkd, --cache-type-k-draft, --spec-draft-type-k TYPE", kv_type(o.model.kv_type_k),
        "numbers of its cached keys")
      .standard("f16")
      .note(kv_note)
      .env("LLAMA_ARG_SPEC_DRAFT_CACHE_TYPE_K")
      .env("LLAMA_ARG_CACHE_TYPE_K_DRAFT");
  t.add("-ctvd, --cache-type-v-draft, --spec-draft-type-v TYPE", kv_type(o.model.kv_type_v),
        "numbers of its cached values")
      .standard("f16")
      .note(kv_note)
      .env("LLAMA_ARG_SPEC_DRAFT_CACHE_TYPE_V")
      .env("LLAMA_ARG_CACHE_TYPE_V_DRAFT");
  t.add("-td, --threads-draft, --spec-draft-threads N",
        integer_or_auto<int32_t>(o.model.n_threads, 1, 1024, 0), "threads that compute its guesses")
      .standard("as --threads")
      .only(kServe | kRun | kBenchSpeculation);
}

}  // namespace moraine::app
