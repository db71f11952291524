#include "usage/database.h"

#include <fmt/format.h>
#include <moraine/error.h>
#include <sqlite3.h>

namespace moraine::usage {

Database::Database(const std::string& path, Mode mode, int busy_timeout_ms) : path_(path) {
  // One thread uses a connection at a time, so SQLite's own locks are not needed.
  const int flags =
      (mode == Mode::kRead ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE) | SQLITE_OPEN_NOMUTEX;
  const int code = sqlite3_open_v2(path.c_str(), &handle_, flags, nullptr);
  if (code != SQLITE_OK) {
    const std::string why = handle_ ? sqlite3_errmsg(handle_) : sqlite3_errstr(code);
    sqlite3_close(handle_);
    throw Error(ErrorCode::kIo, fmt::format("{} cannot be opened: {}.", path, why));
  }
  sqlite3_extended_result_codes(handle_, 1);
  sqlite3_busy_timeout(handle_, busy_timeout_ms);
  sqlite3_db_config(handle_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
}

Database::~Database() { sqlite3_close(handle_); }

void Database::fail(int code) {
  const std::string why = sqlite3_errmsg(handle_);
  const int kind = code & 0xff;
  if (kind == SQLITE_CORRUPT || kind == SQLITE_NOTADB)
    throw Error(
        ErrorCode::kCorruptFile,
        fmt::format("{} is damaged or no database: {}. Move it away; a new one is begun.", path_, why));
  if (kind == SQLITE_FULL)
    throw Error(ErrorCode::kIo, fmt::format("{} cannot grow: the disk is full.", path_));
  throw Error(ErrorCode::kIo, fmt::format("{}: {}.", path_, why));
}

void Database::run(const char* sql) {
  if (const int code = sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr); code != SQLITE_OK) fail(code);
}

int64_t Database::number(const char* sql) {
  Statement statement(*this, sql);
  return statement.step() ? statement.integer(0) : 0;
}

Database::Statement::Statement(Database& database, const std::string& sql) : database_(database) {
  const int code =
      sqlite3_prepare_v2(database.handle_, sql.data(), static_cast<int>(sql.size()), &statement_, nullptr);
  if (code != SQLITE_OK) database.fail(code);
}

Database::Statement::~Statement() { sqlite3_finalize(statement_); }

Database::Statement& Database::Statement::bind(int64_t value) {
  sqlite3_bind_int64(statement_, next_++, value);
  return *this;
}

Database::Statement& Database::Statement::bind(double value) {
  sqlite3_bind_double(statement_, next_++, value);
  return *this;
}

Database::Statement& Database::Statement::bind(std::string_view text) {
  // A view may have no address at all, which SQLite would take for NULL.
  sqlite3_bind_text(statement_, next_++, text.empty() ? "" : text.data(), static_cast<int>(text.size()),
                    SQLITE_STATIC);
  return *this;
}

bool Database::Statement::step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) database_.fail(code);
  return false;
}

void Database::Statement::reset() {
  sqlite3_reset(statement_);
  next_ = 1;
}

int64_t Database::Statement::integer(int column) const { return sqlite3_column_int64(statement_, column); }
double Database::Statement::real(int column) const { return sqlite3_column_double(statement_, column); }

std::string Database::Statement::text(int column) const {
  const unsigned char* bytes = sqlite3_column_text(statement_, column);
  return bytes ? std::string(reinterpret_cast<const char*>(bytes),
                             static_cast<size_t>(sqlite3_column_bytes(statement_, column)))
               : std::string();
}

}  // namespace moraine::usage
