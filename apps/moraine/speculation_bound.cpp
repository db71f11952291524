// The arithmetic of `moraine bench speculation`: step costs, the bound, a drafter of set acceptance.
#include <algorithm>

#include "bench_speculation.h"
#include "speculation/ngram_index.h"

namespace moraine::app {

void StepCosts::set(int32_t rows, double seconds) {
  if (static_cast<int32_t>(seconds_.size()) <= rows) seconds_.resize(rows + 1, 0.0);
  seconds_[rows] = seconds;
}

bool StepCosts::measured(int32_t rows) const {
  return rows >= 0 && rows < static_cast<int32_t>(seconds_.size()) && seconds_[rows] > 0;
}

double StepCosts::at(int32_t rows) const {
  const auto n = static_cast<int32_t>(seconds_.size());
  int32_t low = 0, high = rows;
  double floor = 0;
  for (int32_t i = 1; i <= std::min(rows, n - 1); ++i)
    if (measured(i)) low = i, floor = std::max(floor, seconds_[i]);
  if (low == rows) return floor;
  while (high < n && !measured(high)) ++high;
  if (high >= n) return low == 0 ? 0 : floor * rows / low;
  if (low == 0) return seconds_[high] * rows / high;
  return floor + std::max(0.0, seconds_[high] - floor) * (rows - low) / (high - low);
}

std::vector<int32_t> held_lengths(std::span<const TokenId> prompt, std::span<const TokenId> output,
                                  int32_t max_draft) {
  speculation::NgramIndex earlier;
  earlier.append(prompt);
  std::vector<int32_t> held;
  for (size_t i = 0; i < output.size(); ++i) {
    const auto match = earlier.find();
    const auto next = match.next;
    const auto most = static_cast<int32_t>(std::min<size_t>(max_draft, output.size() - i));
    int32_t n = 0;
    // As the engine drafts: what reaches the end of the text goes on with itself.
    while (match.length > 0 && n < most && output[i + n] == next[n % next.size()]) ++n;
    held.push_back(n);
    earlier.append(output[i]);
  }
  return held;
}

double least_seconds(std::span<const int32_t> held, const StepCosts& costs) {
  const auto n = static_cast<int32_t>(held.size());
  std::vector<double> rest(n + 1, 0.0);  // the least from here on
  for (int32_t i = n - 1; i >= 0; --i) {
    double best = costs.at(1) + rest[i + 1];
    for (int32_t k = 1; k <= held[i]; ++k)  // k held, and one more token is drawn
      best = std::min(best, costs.at(1 + k) + rest[std::min(n, i + k + 1)]);
    rest[i] = best;
  }
  return rest[0];
}

void ScriptedDrafter::set_truth(std::vector<TokenId> truth, size_t prompt_size) {
  truth_ = std::move(truth);
  prompt_size_ = prompt_size;
}

bool ScriptedDrafter::is_right(size_t position) const {
  uint64_t h = (position + 1) * 0x9e3779b97f4a7c15u;  // splitmix64
  h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9u;
  h = (h ^ (h >> 27)) * 0x94d049bb133111ebu;
  h ^= h >> 31;
  return static_cast<double>(h >> 11) * 0x1p-53 < acceptance_;
}

// Another token of the answer, so that what it costs is what text costs.
TokenId ScriptedDrafter::wrong(size_t position) const {
  const size_t n = truth_.size() - prompt_size_;
  for (size_t i = 0; i < n; ++i)
    if (const TokenId t = truth_[prompt_size_ + (position * 31 + i) % n]; t != truth_[position]) return t;
  return truth_[position] > 0 ? truth_[position] - 1 : 1;
}

void ScriptedDrafter::draft(std::span<const TokenId> tokens, int32_t room, std::vector<TokenId>& out) const {
  if (tokens.size() <= prompt_size_) return;
  const int32_t most = std::min(room, length_);
  for (size_t at = tokens.size(); at < truth_.size() && static_cast<int32_t>(out.size()) < most; ++at)
    out.push_back(is_right(at) ? truth_[at] : wrong(at));
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

std::vector<double> TaskResult::ratios() const {
  std::vector<double> r;
  for (size_t i = 0; i < on_seconds.size(); ++i) r.push_back(off_seconds[i] / on_seconds[i]);
  return r;
}

size_t AcceptanceResult::best() const {
  size_t best = 0;
  for (size_t i = 1; i < seconds.size(); ++i)
    if (median(seconds[i]) < median(seconds[best])) best = i;
  return best;
}

double AcceptanceResult::share() const {
  std::vector<double> shares;
  for (size_t i = 0; i < controller_seconds.size(); ++i)
    shares.push_back(seconds[best()][i] / controller_seconds[i]);
  return median(shares);
}

uint64_t hash_tokens(std::span<const TokenId> tokens) {
  uint64_t h = 0xcbf29ce484222325u;
  for (const TokenId t : tokens)
    for (int shift = 0; shift < 32; shift += 8)
      h = (h ^ (static_cast<uint32_t>(t) >> shift & 0xff)) * 0x100000001b3u;
  return h;
}

}  // namespace moraine::app
