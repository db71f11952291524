// The meter's file: one SQLite database of this user, with a row for each request and one for each time the
// CPU's energy counters were read. Owns the schema and its versions. Not thread-safe: a store for each
// thread; several processes may use one file. Who writes it without making anybody wait: writer.h.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "usage/record.h"

namespace moraine::usage {

class Database;

// What the machine's CPU packages took between two readings of their counters.
struct Energy {
  int64_t at_ms = 0;  // Unix time of the second one
  double joules = 0, seconds = 0;
};

class Store {
 public:
  // Makes the file (0600, in folders of 0700) where there is none, and brings an older one up to date. Throws
  // Error: kIo, kCorruptFile, kUnsupported for the file of a newer moraine or another program.
  static Store open(const std::string& path, int busy_timeout_ms = 2000);
  // To read alone; throws Error{kNotFound} where there is none.
  static Store open_existing(const std::string& path);
  Store(Store&&) noexcept;
  Store& operator=(Store&&) noexcept;
  ~Store();

  // All of them or none. Throws Error.
  void add(std::span<const Record> records, std::span<const Energy> energy = {});

  // Whose requests; an empty name means anyone's.
  struct Filter {
    int64_t since_ms = 0;
    std::string epic;
  };
  // In the order in which they began. Throws Error.
  void each(const Filter& filter, const std::function<void(const Record&)>& visit) const;
  Energy energy(int64_t since_ms) const;  // the sums

 private:
  explicit Store(std::unique_ptr<Database> database);
  std::unique_ptr<Database> database_;
};

}  // namespace moraine::usage
