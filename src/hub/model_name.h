// Which model a text means: `user/repo:quant`, a name as `moraine list` shows it, or a part of one that only
// one model has. Case does not count. Paths are not looked at here.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hub/local_models.h"

namespace moraine::hub {

// `user/repo[:quant]` as the hub has it.
struct RepoName {
  std::string user, repo;
  std::string quantization;  // as typed; empty: none
  std::string id() const { return user + "/" + repo; }
};
// Whether `text` could be one; what a path could be as well is up to the caller. The characters are those
// that the hub allows, so that an id never leaves a folder or an address.
bool parse_repo_name(std::string_view text, RepoName& out);

// The models that `text` means: one; several, where it does not say which; or none. Tried in this order, the
// first that finds something decides: the whole name, the name without its user, a part of the name. A
// quantisation after a colon must agree ("q4_k_m", or its beginning where nothing has all of it).
// Copies of one model in several places count once.
std::vector<LocalModel> find_models(std::string_view text, std::span<const LocalModel> models);

}  // namespace moraine::hub
