// A repository's files as what a person chooses from: its quantisations, each one file or a set.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "hub/hub_client.h"

namespace moraine::hub {

struct Variant {
  std::string name;  // the quantisation; where several files share one, or have none, the file's name
  std::vector<RemoteFile> files;  // of a set in order
  uint64_t size_bytes = 0;
};

// Complete sets and single models, smallest first; projectors and the like are left out.
std::vector<Variant> variants_of(const Repository& repository);

// The one that `text` names: a quantisation in any case, or a file's name. Null: none.
const Variant* find_variant(const std::vector<Variant>& variants, std::string_view text);

// The one to offer where none was named: Q4_K_M, or what is nearest to it. Null where there is nothing.
const Variant* default_variant(const std::vector<Variant>& variants);

}  // namespace moraine::hub
