#include "base/options/suggest.h"

#include <algorithm>
#include <cstddef>

namespace moraine::options {
namespace {

constexpr size_t kLongest = 64;  // of what is compared; the cost is its square

// Optimal string alignment: edits and swaps of neighbours, each counting one.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i)
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, change});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  return d[a.size()][b.size()];
}

}  // namespace

std::string nearest(std::string_view typed, const std::vector<std::string>& words) {
  if (typed.size() > kLongest) return {};
  const size_t dashes = std::min(typed.find_first_not_of('-'), typed.size());
  const size_t letters = typed.size() - dashes;
  const std::string* best = nullptr;
  size_t best_distance = letters <= 3 ? 2 : letters <= 7 ? 3 : 4;  // beyond: another word was meant
  for (const std::string& word : words) {
    if (word.size() > kLongest) continue;
    size_t d = distance(typed, word);
    if (letters >= 3 && word.starts_with(typed)) d = std::min<size_t>(d, 1);
    if (d < best_distance) best = &word, best_distance = d;
  }
  return best ? *best : std::string();
}

}  // namespace moraine::options
