// Requests added up, by day, model, client, epic or task. Pure; the table that people see is the program's
// (apps/moraine/usage.cpp).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "usage/record.h"
#include "usage/store.h"

namespace moraine::usage {

enum class By : uint8_t { kDay, kModel, kClient, kEpic, kTask };

struct Sums {
  std::string key;  // "2026-11-23", a name, "EPIC/TASK"; "" where a request has none
  int64_t n_requests = 0;
  int64_t n_fresh = 0, n_cached = 0, n_generated = 0, n_drafted = 0, n_accepted = 0;
  double busy_ms = 0;  // time in which at least one of them was being answered
  int64_t tokens() const { return n_fresh + n_cached + n_generated; }
};

// Add records in the order in which they began: what overlaps then counts once.
class Summary {
 public:
  explicit Summary(By by) : by_(by) {}
  void add(const Record& record);
  std::vector<Sums> rows() const;  // days in order, else the most tokens first
  const Sums& total() const { return total_.sums; }

 private:
  struct Group {
    Sums sums;
    double covered_until_ms = 0;
    void add(const Record& record);
  };
  const By by_;
  std::map<std::string, Group> groups_;
  Group total_;
};

// Of a store's requests. Throws Error.
Summary summarise(const Store& store, const Store::Filter& filter, By by);

// "2026-11-23" in this machine's time zone.
std::string local_day(int64_t unix_ms);
// A moment from "7d", "12h", "30m" before `now_ms`, or a day "2026-11-01" (its beginning here). Throws
// Error{kInvalidArgument}.
int64_t parse_since(std::string_view text, int64_t now_ms);

}  // namespace moraine::usage
