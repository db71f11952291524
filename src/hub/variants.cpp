#include "hub/variants.h"

#include <algorithm>
#include <map>

#include "hub/quantization.h"

namespace moraine::hub {
namespace {

std::string_view file_part(std::string_view path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

std::vector<Variant> variants_of(const Repository& repo) {
  struct Set {
    std::map<uint32_t, RemoteFile> files;  // by number
    uint32_t count = 1;
  };
  std::map<std::string, Set> sets;  // by the path without number and ending
  for (const RemoteFile& file : repo.files) {
    if (!is_model_file(file.path)) continue;
    const auto shard = shard_of(file.path);
    const std::string key = shard ? shard->stem + "-of-" + std::to_string(shard->count) : file.path;
    Set& set = sets[key];
    set.count = shard ? shard->count : 1;
    set.files.emplace(shard ? shard->number : 1, file);
  }
  std::vector<Variant> out;
  for (auto& [key, set] : sets) {
    if (set.files.size() != set.count) continue;
    Variant v;
    for (auto& [number, file] : set.files) {
      v.size_bytes += file.size_bytes;
      v.files.push_back(std::move(file));
    }
    v.name = quantization_of(v.files.front().path);
    out.push_back(std::move(v));
  }
  std::map<std::string, int> uses;
  for (const Variant& v : out) ++uses[v.name];
  for (Variant& v : out)
    if (v.name.empty() || uses[v.name] > 1) v.name = std::string(file_part(v.files.front().path));
  std::stable_sort(out.begin(), out.end(),
                   [](const Variant& a, const Variant& b) { return a.size_bytes < b.size_bytes; });
  return out;
}

const Variant* find_variant(const std::vector<Variant>& variants, std::string_view text) {
  const std::string wanted = upper(text);
  for (const Variant& v : variants)
    if (upper(v.name) == wanted) return &v;
  for (const Variant& v : variants)
    for (const RemoteFile& f : v.files)
      if (upper(f.path) == wanted || upper(file_part(f.path)) == wanted) return &v;
  // "Q4_K_XL" where only "UD-Q4_K_XL" is there.
  for (const Variant& v : variants)
    if (upper(v.name) == "UD-" + wanted) return &v;
  return nullptr;
}

const Variant* default_variant(const std::vector<Variant>& variants) {
  for (const char* name :
       {"Q4_K_M", "UD-Q4_K_XL", "Q4_K_S", "MXFP4_MOE", "MXFP4", "IQ4_XS", "Q4_0", "Q4_1", "Q5_K_M", "Q8_0"})
    if (const Variant* v = find_variant(variants, name)) return v;
  return variants.empty() ? nullptr : &variants.front();
}

}  // namespace moraine::hub
