#include "usage/summary.h"

#include <fmt/format.h>
#include <moraine/error.h>

#include <algorithm>
#include <charconv>
#include <ctime>

namespace moraine::usage {
namespace {

std::string key_of(const Record& r, By by) {
  switch (by) {
    case By::kModel:
      return r.model;
    case By::kClient:
      return r.client;
    case By::kEpic:
      return r.epic;
    case By::kTask:
      return r.epic.empty() ? "" : r.epic + "/" + r.task;
    case By::kDay:
      break;
  }
  return local_day(r.ended_ms);
}

bool parse_number(std::string_view text, int& value) {
  const auto r = std::from_chars(text.data(), text.data() + text.size(), value);
  return r.ec == std::errc() && r.ptr == text.data() + text.size() && value >= 0;
}

}  // namespace

void Summary::Group::add(const Record& r) {
  ++sums.n_requests;
  sums.n_fresh += r.n_fresh, sums.n_cached += r.n_cached, sums.n_generated += r.n_generated;
  sums.n_drafted += r.n_drafted, sums.n_accepted += r.n_accepted;
  const double end = static_cast<double>(r.ended_ms), begin = std::max(end - r.whole_ms, covered_until_ms);
  if (end > begin) sums.busy_ms += end - begin, covered_until_ms = end;
}

void Summary::add(const Record& record) {
  Group& group = groups_[key_of(record, by_)];
  group.add(record);
  total_.add(record);
}

std::vector<Sums> Summary::rows() const {
  std::vector<Sums> rows;
  for (const auto& [key, group] : groups_) {
    rows.push_back(group.sums);
    rows.back().key = key;
  }
  if (by_ != By::kDay)
    std::stable_sort(rows.begin(), rows.end(),
                     [](const Sums& a, const Sums& b) { return a.tokens() > b.tokens(); });
  return rows;
}

Summary summarise(const Store& store, const Store::Filter& filter, By by) {
  Summary summary(by);
  store.each(filter, [&](const Record& r) { summary.add(r); });
  return summary;
}

std::string local_day(int64_t unix_ms) {
  const std::time_t seconds = unix_ms / 1000;
  std::tm t{};
  ::localtime_r(&seconds, &t);
  return fmt::format("{:04}-{:02}-{:02}", t.tm_year + 1900, t.tm_mon + 1, t.tm_mday);
}

int64_t parse_since(std::string_view text, int64_t now_ms) {
  int n = 0, year = 0, month = 0, day = 0;
  if (text.size() > 1 && parse_number(text.substr(0, text.size() - 1), n)) {
    const char unit = text.back();
    const int64_t minutes = unit == 'd' ? 24 * 60 : unit == 'h' ? 60 : unit == 'm' ? 1 : 0;
    if (minutes > 0) return std::max<int64_t>(0, now_ms - n * minutes * 60'000);
  }
  if (text.size() == 10 && text[4] == '-' && text[7] == '-' && parse_number(text.substr(0, 4), year) &&
      parse_number(text.substr(5, 2), month) && parse_number(text.substr(8, 2), day) && year >= 1970 &&
      month >= 1 && month <= 12 && day >= 1 && day <= 31) {
    std::tm t{};
    t.tm_year = year - 1900, t.tm_mon = month - 1, t.tm_mday = day, t.tm_isdst = -1;
    const std::time_t at = std::mktime(&t);
    if (t.tm_mday == day) return static_cast<int64_t>(at) * 1000;
  }
  throw Error(ErrorCode::kInvalidArgument,
              fmt::format("{} is no time: it may be 7d, 12h, 30m or a day such as 2026-11-01.", text));
}

}  // namespace moraine::usage
