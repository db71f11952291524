#include "hub/model_name.h"

#include <algorithm>
#include <set>

#include "hub/quantization.h"

namespace moraine::hub {
namespace {

constexpr size_t kMaxPart = 96;  // the hub's own limit for both together

bool is_name(std::string_view part) {
  if (part.empty() || part.size() > kMaxPart || part.front() == '.' || part.front() == '-' ||
      part.back() == '.')
    return false;
  if (part.find("..") != std::string_view::npos || part.find("--") != std::string_view::npos) return false;
  return std::all_of(part.begin(), part.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  });
}

std::string_view without_user(std::string_view name) {
  const size_t slash = name.rfind('/');
  return slash == std::string_view::npos ? name : name.substr(slash + 1);
}

template <class Keep>
std::vector<LocalModel> filter(std::span<const LocalModel> models, Keep keep) {
  std::vector<LocalModel> out;
  std::copy_if(models.begin(), models.end(), std::back_inserter(out), keep);
  return out;
}

// Of equal name and size, the first place; whole sets before those that lack files.
std::vector<LocalModel> once_each(std::vector<LocalModel> models) {
  std::stable_partition(models.begin(), models.end(), [](const LocalModel& m) { return m.n_missing == 0; });
  std::set<std::pair<std::string, uint64_t>> seen;
  std::erase_if(models, [&](const LocalModel& m) {
    return !seen.insert({upper(m.full_name()), m.n_missing == 0 ? m.size_bytes : 0}).second;
  });
  return models;
}

}  // namespace

bool parse_repo_name(std::string_view text, RepoName& out) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return false;
  const size_t colon = text.find(':', slash);
  const std::string_view user = text.substr(0, slash);
  const std::string_view repo =
      text.substr(slash + 1, colon == std::string_view::npos ? colon : colon - slash - 1);
  const std::string_view quant = colon == std::string_view::npos ? "" : text.substr(colon + 1);
  if (!is_name(user) || !is_name(repo)) return false;
  if (colon != std::string_view::npos && !is_name(quant)) return false;
  out = {std::string(user), std::string(repo), std::string(quant)};
  return true;
}

std::vector<LocalModel> find_models(std::string_view text, std::span<const LocalModel> models) {
  const size_t colon = text.rfind(':');
  const std::string name = upper(text.substr(0, colon));
  const std::string quant = colon == std::string_view::npos ? "" : upper(text.substr(colon + 1));
  if (name.empty()) return {};

  std::vector<LocalModel> named = filter(models, [&](const LocalModel& m) { return upper(m.name) == name; });
  if (named.empty() && name.find('/') == std::string::npos)
    named = filter(models, [&](const LocalModel& m) {
      return without_user(upper(m.name)) == name || upper(m.path.filename().string()) == name;
    });
  if (named.empty())
    named =
        filter(models, [&](const LocalModel& m) { return upper(m.name).find(name) != std::string::npos; });
  if (named.empty() && colon == std::string_view::npos)  // "qwen3-8b-q4_k_m", a file's name or a part of it
    named = filter(models, [&](const LocalModel& m) {
      return upper(m.path.filename().string()).find(name) != std::string::npos;
    });
  if (quant.empty()) return once_each(std::move(named));

  std::vector<LocalModel> exact =
      filter(named, [&](const LocalModel& m) { return upper(m.quantization) == quant; });
  if (exact.empty())
    exact = filter(named, [&](const LocalModel& m) { return upper(m.quantization).starts_with(quant); });
  return once_each(std::move(exact));
}

}  // namespace moraine::hub
