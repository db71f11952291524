// Which pieces of a file are there already, kept on disk beside it while it is fetched: after a kill or a
// crash the next run goes on from what was written. A piece counts once its bytes were handed to the system,
// which outlives this process; after a restart of the machine only what had been flushed to the disk counts.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace moraine::hub {

class PieceMap {
 public:
  static constexpr uint64_t kPieceBytes = 1 << 20;

  // Opens or makes the map for a file of size_bytes. What is no map of this file starts empty. `data_exists`:
  // false, and nothing counts as there. `boot`: which start of the machine this is. Throws Error{kIo}.
  PieceMap(const std::filesystem::path& path, uint64_t size_bytes, bool data_exists, const std::string& boot);
  ~PieceMap();
  PieceMap(const PieceMap&) = delete;
  PieceMap& operator=(const PieceMap&) = delete;

  size_t n_pieces() const { return states_.size(); }
  uint64_t begin_of(size_t piece) const { return piece * kPieceBytes; }
  uint64_t end_of(size_t piece) const;
  bool has(size_t piece) const { return states_[piece] != kMissing; }
  uint64_t bytes_there() const;

  void set_written(size_t piece);  // throws Error{kIo}
  // Pieces written by now may be marked flushed once the file's data was synced after this call.
  std::vector<size_t> written() const;
  void set_flushed(const std::vector<size_t>& pieces);

  // What a map on disk counts as there, without changing it: another process may be at work on it.
  static uint64_t bytes_recorded(const std::filesystem::path& path, uint64_t size_bytes,
                                 const std::string& boot);

  static std::string this_boot();  // empty where the system does not say: then nothing unflushed counts

 private:
  static constexpr char kMissing = '.', kWritten = 'w', kFlushed = 's';
  // The states that the file at `fd` records for this size, all missing where it is no such map.
  static std::string read_states(int fd, uint64_t size_bytes, const std::string& boot);
  void store(size_t piece);
  std::filesystem::path path_;
  int fd_ = -1;
  uint64_t size_bytes_ = 0, header_bytes_ = 0;
  std::string states_;  // one character each, as in the file
};

}  // namespace moraine::hub
