#include "server/api/stop_matcher.h"

#include <algorithm>

namespace moraine::server {

StopMatcher::StopMatcher(std::vector<std::string> stops) {
  for (std::string& stop : stops) {
    if (stop.empty()) continue;
    Pattern pattern;
    pattern.failure.assign(stop.size(), 0);
    for (std::size_t i = 1, border = 0; i < stop.size(); ++i) {
      while (border > 0 && stop[i] != stop[border]) border = pattern.failure[border - 1];
      if (stop[i] == stop[border]) ++border;
      pattern.failure[i] = border;
    }
    pattern.text = std::move(stop);
    patterns_.push_back(std::move(pattern));
  }
}

bool StopMatcher::push(std::string_view text, std::string& out) {
  if (patterns_.empty()) {
    out += text;
    return false;
  }
  for (const char c : text) {
    held_ += c;
    std::size_t keep = 0;
    const Pattern* whole = nullptr;  // the longest, which is the one that began first
    for (Pattern& p : patterns_) {
      while (p.state > 0 && p.text[p.state] != c) p.state = p.failure[p.state - 1];
      if (p.text[p.state] == c) ++p.state;
      if (p.state == p.text.size() && (whole == nullptr || p.state > whole->state)) whole = &p;
      keep = std::max(keep, p.state);
    }
    if (whole != nullptr) {
      // held_ is at least as long as every state, so the match lies within it.
      out.append(held_, 0, held_.size() - whole->text.size());
      held_.clear();
      matched_ = whole->text;
      return true;
    }
    if (held_.size() > keep) {
      const std::size_t sure = held_.size() - keep;
      out.append(held_, 0, sure);
      held_.erase(0, sure);
    }
  }
  return false;
}

std::string StopMatcher::flush() {
  std::string rest = std::move(held_);
  held_.clear();
  for (Pattern& p : patterns_) p.state = 0;
  return rest;
}

}  // namespace moraine::server
