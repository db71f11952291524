// SQLite with errors as exceptions: a connection and its statements. Knows no table; those are store.cpp's.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace moraine::usage {

// Every function throws Error: kIo for what the system or another process refuses (locked, full, no rights),
// kCorruptFile for a file that is no sound database.
class Database {
 public:
  enum class Mode { kRead, kWrite };
  // The file must be there.
  Database(const std::string& path, Mode mode, int busy_timeout_ms);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  void run(const char* sql);
  int64_t number(const char* sql);  // the first column of the first row

  class Statement {
   public:
    Statement(Database& database, const std::string& sql);
    ~Statement();
    Statement(const Statement&) = delete;
    Statement& operator=(const Statement&) = delete;

    Statement& bind(int64_t value);
    Statement& bind(double value);
    Statement& bind(std::string_view text);  // must live until step()
    bool step();                             // true: there is a row
    void reset();                            // for the next binds

    int64_t integer(int column) const;
    double real(int column) const;
    std::string text(int column) const;

   private:
    Database& database_;
    sqlite3_stmt* statement_ = nullptr;
    int next_ = 1;
  };

 private:
  [[noreturn]] void fail(int code);
  std::string path_;
  sqlite3* handle_ = nullptr;
};

}  // namespace moraine::usage
