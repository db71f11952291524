// Asks llama.cpp what it makes of given tokens: perplexity of a text, or the likeliest tokens of every
// position. Built by llama_cpp.py against the headers and libraries of one published package; no part of
// this engine. Prints JSON.
//
//   llama_scores LIBRARIES perplexity MODEL TEXT N_CTX N_CHUNKS N_THREADS    N_CHUNKS 0: all
//   llama_scores LIBRARIES likeliest MODEL TOP N_THREADS                     token ids on standard input, a
//                                                                            line for each sequence
#include <llama.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <numeric>
#include <sstream>
#include <string>
#include <vector>

namespace {

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "llama_scores: %s\n", what.c_str());
  std::exit(1);
}

llama_model* load(const char* path) {
  llama_model* model = llama_model_load_from_file(path, llama_model_default_params());
  if (model == nullptr) fail(std::string("cannot load ") + path);
  return model;
}

llama_context* make_context(llama_model* model, int n_ctx, int n_threads, bool exact_cache) {
  llama_context_params params = llama_context_default_params();
  params.n_ctx = params.n_batch = n_ctx;
  params.n_ubatch = std::min(n_ctx, 512);
  params.n_seq_max = 1;
  params.n_outputs_max = n_ctx;
  params.n_threads = params.n_threads_batch = n_threads;
  params.swa_full = true;
  if (exact_cache) {
    params.type_k = params.type_v = GGML_TYPE_F32;
    params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
  }
  llama_context* context = llama_init_from_model(model, params);
  if (context == nullptr) fail("cannot make a context");
  return context;
}

using RowFn = std::function<void(int position, const float* logits)>;

// The logits of positions from `first`, the tokens being one sequence on an empty cache.
void evaluate(llama_context* context, const std::vector<llama_token>& tokens, int first, const RowFn& fn) {
  llama_memory_clear(llama_get_memory(context), true);
  const int n = static_cast<int>(tokens.size());
  llama_batch batch = llama_batch_init(n, 0, 1);
  for (batch.n_tokens = 0; batch.n_tokens < n; ++batch.n_tokens) {
    const int i = batch.n_tokens;
    batch.token[i] = tokens[i];
    batch.pos[i] = i;
    batch.n_seq_id[i] = 1;
    batch.seq_id[i][0] = 0;
    batch.logits[i] = i >= first;
  }
  if (llama_decode(context, batch) != 0) fail("llama_decode failed");
  for (int i = first; i < n; ++i) fn(i, llama_get_logits_ith(context, i));
  llama_batch_free(batch);
}

double log_sum_exp(const float* logits, int n) {
  const float top = *std::max_element(logits, logits + n);
  double sum = 0;
  for (int i = 0; i < n; ++i) sum += std::exp(static_cast<double>(logits[i]) - top);
  return top + std::log(sum);
}

// As llama-perplexity: chunks of n_ctx, the beginning-of-text token in place of the first where the model
// adds one, the second half counted.
void perplexity(const char* path, const char* text_path, int n_ctx, int most_chunks, int n_threads) {
  llama_model* model = load(path);
  const llama_vocab* vocab = llama_model_get_vocab(model);
  std::stringstream text;
  text << std::ifstream(text_path, std::ios::binary).rdbuf();
  const std::string bytes = text.str();
  std::vector<llama_token> tokens(bytes.size() + 8);
  tokens.resize(llama_tokenize(vocab, bytes.data(), bytes.size(), tokens.data(), tokens.size(), true, false));
  int n_chunks = static_cast<int>(tokens.size()) / n_ctx;
  if (most_chunks > 0) n_chunks = std::min(n_chunks, most_chunks);
  llama_context* context = make_context(model, n_ctx, n_threads, false);
  const int n_vocab = llama_vocab_n_tokens(vocab), first = n_ctx / 2;
  double nll = 0, squares = 0;
  long count = 0;
  for (int c = 0; c < n_chunks; ++c) {
    std::vector<llama_token> chunk(tokens.begin() + c * n_ctx, tokens.begin() + (c + 1) * n_ctx);
    if (llama_vocab_get_add_bos(vocab)) chunk[0] = llama_vocab_bos(vocab);
    evaluate(context, chunk, first, [&](int i, const float* logits) {
      if (i + 1 == n_ctx) return;
      const double v = log_sum_exp(logits, n_vocab) - logits[chunk[i + 1]];
      nll += v, squares += v * v, ++count;
    });
  }
  nll /= count;
  const double error = std::sqrt((squares / count - nll * nll) / (count - 1));
  std::printf("{\"tokens_in_text\": %zu, \"chunks\": %d, \"tokens_counted\": %ld, \"perplexity\": %.6f, "
              "\"perplexity_error\": %.6f, \"nll\": %.8f}\n",
              tokens.size(), n_chunks, count, std::exp(nll), error * std::exp(nll), nll);
}

// For each sequence, for each of its positions: [[id, log-probability], ...], likeliest first.
void likeliest(const char* path, int top, int n_threads) {
  llama_model* model = load(path);
  const int n_vocab = llama_vocab_n_tokens(llama_model_get_vocab(model));
  std::vector<int> ids(n_vocab);
  std::printf("[");
  bool first_line = true;
  for (std::string line; std::getline(std::cin, line); first_line = false) {
    std::istringstream in(line);
    std::vector<llama_token> tokens;
    for (llama_token t; in >> t;) tokens.push_back(t);
    llama_context* context = make_context(model, tokens.size(), n_threads, true);
    std::printf("%s[", first_line ? "" : ",\n");
    evaluate(context, tokens, 0, [&](int position, const float* logits) {
      const double z = log_sum_exp(logits, n_vocab);
      std::iota(ids.begin(), ids.end(), 0);
      const int n = std::min(top, n_vocab);
      std::partial_sort(ids.begin(), ids.begin() + n, ids.end(),
                        [&](int a, int b) { return logits[a] > logits[b]; });
      std::printf("%s[", position == 0 ? "" : ",");
      for (int i = 0; i < n; ++i) std::printf("%s[%d,%.7g]", i == 0 ? "" : ",", ids[i], logits[ids[i]] - z);
      std::printf("]");
    });
    std::printf("]");
    llama_free(context);
  }
  std::printf("]\n");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) fail("too few arguments");
  llama_log_set(
      [](ggml_log_level level, const char* text, void*) {
        if (level == GGML_LOG_LEVEL_ERROR) std::fputs(text, stderr);
      },
      nullptr);
  ggml_backend_load_all_from_path(argv[1]);
  llama_backend_init();
  const std::string what = argv[2];
  if (what == "perplexity" && argc == 8)
    perplexity(argv[3], argv[4], std::atoi(argv[5]), std::atoi(argv[6]), std::atoi(argv[7]));
  else if (what == "likeliest" && argc == 6)
    likeliest(argv[3], std::atoi(argv[4]), std::atoi(argv[5]));
  else
    fail("unknown command " + what);
}
