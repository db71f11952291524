#include "usage/store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <moraine/error.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "usage/database.h"

namespace moraine::usage {
namespace {

constexpr int64_t kApplicationId = 0x6d6f7261;  // "mora": whose file it is, in SQLite's header

// Step N brings a file of version N to N + 1. Steps are never changed, only added to.
constexpr const char* kSteps[] = {
    R"(CREATE TABLE requests(
         id INTEGER PRIMARY KEY, ended_ms INTEGER NOT NULL, client TEXT NOT NULL, model TEXT NOT NULL,
         protocol TEXT NOT NULL, outcome TEXT NOT NULL, epic TEXT NOT NULL, task TEXT NOT NULL,
         n_fresh INTEGER NOT NULL, n_cached INTEGER NOT NULL, n_generated INTEGER NOT NULL,
         n_drafted INTEGER NOT NULL, n_accepted INTEGER NOT NULL,
         prompt_ms REAL NOT NULL, generated_ms REAL NOT NULL, whole_ms REAL NOT NULL);
       CREATE INDEX requests_by_time ON requests(ended_ms);
       CREATE INDEX requests_by_epic ON requests(epic) WHERE epic <> '';
       CREATE TABLE energy(at_ms INTEGER NOT NULL, joules REAL NOT NULL, seconds REAL NOT NULL);)"};
constexpr int64_t kVersion = std::size(kSteps);

[[noreturn]] void fail_io(const char* what, const std::string& path) {
  throw Error(ErrorCode::kIo, fmt::format("{} {} failed: {}.", what, path, std::strerror(errno)));
}

// Folders that are made are this user's alone; those that are there stay as they are.
void make_folders(const std::filesystem::path& folder) {
  if (folder.empty() || std::filesystem::exists(folder)) return;
  make_folders(folder.parent_path());
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) fail_io("Making the folder", folder.string());
}

void make_file(const std::string& path) {
  make_folders(std::filesystem::path(path).parent_path());
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) fail_io("Opening", path);
  struct stat s{};
  // Names of epics and hours of work are nobody else's business, whoever made the file.
  if (::fstat(file, &s) == 0 && (s.st_mode & 077) != 0) ::fchmod(file, s.st_mode & 0700);
  ::close(file);
}

void require_ours(Database& database, const std::string& path) {
  if (database.number("PRAGMA application_id") != kApplicationId)
    throw Error(ErrorCode::kUnsupported, fmt::format("{} is another program's database.", path));
  if (const int64_t version = database.number("PRAGMA user_version"); version > kVersion)
    throw Error(
        ErrorCode::kUnsupported,
        fmt::format("{} is of a newer moraine (version {}, this one knows {}).", path, version, kVersion));
}

void bring_up_to_date(Database& database, const std::string& path) {
  if (database.number("PRAGMA user_version") == kVersion) return require_ours(database, path);
  database.run("BEGIN IMMEDIATE");  // two servers may start at once
  const bool is_new = database.number("SELECT count(*) FROM sqlite_master") == 0;
  if (!is_new) require_ours(database, path);
  for (int64_t v = database.number("PRAGMA user_version"); v < kVersion; ++v) database.run(kSteps[v]);
  database.run(fmt::format("PRAGMA application_id = {}", kApplicationId).c_str());
  database.run(fmt::format("PRAGMA user_version = {}", kVersion).c_str());
  database.run("COMMIT");
}

}  // namespace

std::string plain_name(std::string_view text) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  };
  return text.size() <= kMaxName && std::all_of(text.begin(), text.end(), plain) ? std::string(text) : "";
}

Store::Store(std::unique_ptr<Database> database) : database_(std::move(database)) {}
Store::Store(Store&&) noexcept = default;
Store& Store::operator=(Store&&) noexcept = default;
Store::~Store() = default;

Store Store::open(const std::string& path, int busy_timeout_ms) {
  make_file(path);
  auto database = std::make_unique<Database>(path, Database::Mode::kWrite, busy_timeout_ms);
  bring_up_to_date(*database, path);
  return Store(std::move(database));
}

Store Store::open_existing(const std::string& path) {
  const auto nothing = [&] {
    return Error(ErrorCode::kNotFound,
                 fmt::format("Nothing has been counted yet in {}: moraine serve writes it.", path));
  };
  std::error_code error;
  if (!std::filesystem::exists(path, error)) throw nothing();
  auto database = std::make_unique<Database>(path, Database::Mode::kRead, 2000);
  if (database->number("SELECT count(*) FROM sqlite_master") == 0) throw nothing();
  require_ours(*database, path);
  return Store(std::move(database));
}

void Store::add(std::span<const Record> records, std::span<const Energy> energy) {
  database_->run("BEGIN IMMEDIATE");
  try {
    Database::Statement request(
        *database_,
        "INSERT INTO requests(ended_ms, client, model, protocol, outcome, epic, task, n_fresh, n_cached, "
        "n_generated, n_drafted, n_accepted, prompt_ms, generated_ms, whole_ms) "
        "VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)");
    const auto name = [](const std::string& text) { return std::string_view(text).substr(0, kMaxName); };
    for (const Record& r : records) {
      request.bind(r.ended_ms)
          .bind(name(r.client))
          .bind(name(r.model))
          .bind(name(r.protocol))
          .bind(name(r.outcome));
      request.bind(name(r.epic)).bind(name(r.task)).bind(r.n_fresh).bind(r.n_cached).bind(r.n_generated);
      request.bind(r.n_drafted).bind(r.n_accepted).bind(r.prompt_ms).bind(r.generated_ms).bind(r.whole_ms);
      request.step();
      request.reset();
    }
    Database::Statement counter(*database_, "INSERT INTO energy(at_ms, joules, seconds) VALUES(?,?,?)");
    for (const Energy& e : energy) {
      counter.bind(e.at_ms).bind(e.joules).bind(e.seconds).step();
      counter.reset();
    }
    database_->run("COMMIT");
  } catch (...) {
    try {
      database_->run("ROLLBACK");
    } catch (const Error&) {  // it was rolled back already
    }
    throw;
  }
}

void Store::each(const Filter& filter, const std::function<void(const Record&)>& visit) const {
  Database::Statement rows(
      *database_,
      "SELECT ended_ms, client, model, protocol, outcome, epic, task, n_fresh, n_cached, n_generated, "
      "n_drafted, n_accepted, prompt_ms, generated_ms, whole_ms FROM requests "
      "WHERE ended_ms >= ? AND (? = '' OR epic = ?) ORDER BY ended_ms - whole_ms");
  rows.bind(filter.since_ms).bind(filter.epic).bind(filter.epic);
  while (rows.step()) {
    Record r;
    r.ended_ms = rows.integer(0);
    r.client = rows.text(1), r.model = rows.text(2), r.protocol = rows.text(3), r.outcome = rows.text(4);
    r.epic = rows.text(5), r.task = rows.text(6);
    r.n_fresh = rows.integer(7), r.n_cached = rows.integer(8), r.n_generated = rows.integer(9);
    r.n_drafted = rows.integer(10), r.n_accepted = rows.integer(11);
    r.prompt_ms = rows.real(12), r.generated_ms = rows.real(13), r.whole_ms = rows.real(14);
    visit(r);
  }
}

Energy Store::energy(int64_t since_ms) const {
  Database::Statement sums(*database_,
                           "SELECT max(at_ms), sum(joules), sum(seconds) FROM energy WHERE at_ms >= ?");
  sums.bind(since_ms);
  if (!sums.step()) return {};
  return {sums.integer(0), sums.real(1), sums.real(2)};
}

}  // namespace moraine::usage
