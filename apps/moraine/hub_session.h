// The hub as the command line sees it: options made from settings and environment, the list a person chooses
// from, the fit of each choice, and progress while one is fetched. `pull` and -hf share it; the work is
// src/hub's.
#pragma once

#include <moraine/engine.h>
#include <moraine/error.h>

#include <string>

#include "app.h"
#include "hub/pull.h"

namespace moraine::app {

// What running a model would take, from its header alone; `problem` where it would not run, or where that
// could not be found out (not_seen).
struct Fit {
  MemoryEstimate memory;
  std::string problem;
  bool not_seen = false;
  bool known() const { return problem.empty(); }
};

class HubSession {
 public:
  // Throws options::UsageError where the endpoint is no address.
  explicit HubSession(Invocation& invocation);

  const hub::HubOptions& options() const { return options_; }
  hub::Repository repository(const hub::RepoName& name) const;  // throws Error

  // By `variant`'s header, over the network; of the others by the difference of their sizes.
  Fit fit_of(const hub::Repository& repository, const hub::Variant& variant, int32_t n_ctx) const;
  static uint64_t needed(const Fit& fit, const hub::Variant& measured, const hub::Variant& other);

  // Fetches and shows progress; Ctrl-C stops, keeping what came (Error kCancelled). The path of the first
  // file.
  std::string fetch(const hub::Repository& repository, const hub::Variant& variant);

 private:
  Invocation& invocation_;
  hub::HubOptions options_;
  std::string cache_;
};

// For a repository that lacks what was wanted.
Error no_such_variant(const hub::Repository& repository, const std::vector<hub::Variant>& variants,
                      const std::string& wanted);

// A repository's variant, or its `file` if one is named (-hf and -hff): on this disk, or fetched. The path of
// the file.
std::string path_of_hub_model(Invocation& invocation, const hub::RepoName& name, const std::string& file);

}  // namespace moraine::app
