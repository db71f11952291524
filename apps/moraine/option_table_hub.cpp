// The options that name models of the hub, and those of `list`, `pull` and `rm`.
#include "option_table.h"

namespace moraine::app {

using namespace options;

void add_hub_options(Table& t, Settings& s) {
  constexpr unsigned kByName = kServe | kRun | kBench | kInspect | kPerplexity | kBenchSpeculation | kDemo;
  t.section("Models by name", kByName);
  t.add("-hf, -hfr, --hf-repo NAME", text(s.hub.repo),
        "USER/REPO[:QUANT]; fetched where it is not on this disk")
      .env("LLAMA_ARG_HF_REPO");
  t.add("-hff, --hf-file FILE", text(s.hub.file), "this file of it").env("LLAMA_ARG_HF_FILE");

  t.section("The hub", kByName | kPull);
  t.add("-hft, --hf-token TOKEN", text(s.hub.token), "for repositories that ask for one")
      .standard("what `hf auth login` left")
      .env("HF_TOKEN")
      .env("HUGGING_FACE_HUB_TOKEN");
  t.add("--endpoint URL", text(s.hub.endpoint), "where the hub, or a mirror of it, is")
      .standard(s.hub.endpoint)
      .env("HF_ENDPOINT");
  t.add("--ca-file FILE", text(s.hub.ca_file), "certificates to trust (PEM), as behind a company's proxy")
      .standard("the system's")
      .env("SSL_CERT_FILE")
      .env("REQUESTS_CA_BUNDLE")
      .env("CURL_CA_BUNDLE");
  t.add("--offline", toggle(s.hub.offline), "stay off the network: only what is on this disk")
      .off("--no-offline")
      .env("LLAMA_ARG_OFFLINE")
      .env("HF_HUB_OFFLINE");

  t.section("Fetching", kPull);
  t.add("-c, --ctx-size N", integer(s.engine.n_ctx, 0, 1 << 26), "judge what fits with this context")
      .standard("0: the trained length, or what fits")
      .command_line_only();
  t.add("--revision NAME", text(s.hub.revision), "a branch, tag or commit")
      .standard("main")
      .command_line_only();
  t.add("--connections N", integer(s.hub.connections, 1, 32), "files are read over so many at once")
      .standard("8");

  t.section("Models", kList | kPull | kRm);
  t.add("-y, --yes", toggle(s.hub.yes), "do not ask").only(kPull | kRm).command_line_only();
  t.add("--json", toggle(s.json), "print JSON").command_line_only();
}

}  // namespace moraine::app
