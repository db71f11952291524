// The prefix cache on disk, on whole models: after a restart a session goes on where it was, bit by bit, and
// whatever lies in the folder (damaged, half written by a killed process, another model's) changes no answer.
#include <gtest/gtest.h>
#include <moraine/engine.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bit>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <random>
#include <thread>

#include "collector.h"

namespace moraine {
namespace {

namespace fs = std::filesystem;
using testing::Collector;
using testing::greedy;
using Tokens = std::vector<TokenId>;

std::string model_file(const std::string& file) {
  const char* d = std::getenv("MORAINE_BUILD_DIR");
  return std::string(d ? d : "build") + "/test-models/" + file;
}

Tokens joined(Tokens a, const Tokens& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}
Tokens random_tokens(int n, unsigned seed) {
  std::mt19937 rng(seed);
  Tokens t(n);
  for (TokenId& x : t) x = 10 + static_cast<TokenId>(rng() % 200);
  return t;
}

// A folder of its own for each test, removed at the end.
class TempFolder {
 public:
  TempFolder() {
    std::string name = ::testing::TempDir() + "moraine-disk-XXXXXX";
    path_ = ::mkdtemp(name.data());
  }
  ~TempFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  std::string path() const { return path_ + "/cache"; }
  std::vector<fs::path> files(const std::string& ending = "") const {
    std::vector<fs::path> found;
    if (fs::exists(path()))
      for (const auto& f : fs::recursive_directory_iterator(path()))
        if (f.is_regular_file() && f.path().native().ends_with(ending)) found.push_back(f.path());
    std::sort(found.begin(), found.end());
    return found;
  }

 private:
  std::string path_;
};

struct Notices {
  std::mutex mutex;
  std::vector<std::string> texts;
  std::function<void(const std::string&)> fn() {
    return [this](const std::string& t) {
      std::lock_guard lock(mutex);
      texts.push_back(t);
    };
  }
  std::string first() {
    std::lock_guard lock(mutex);
    return texts.empty() ? "" : texts.front();
  }
};

EngineOptions options_of(const std::string& file, const std::string& folder) {
  EngineOptions o;
  o.model_path = model_file(file);
  o.n_ctx = 2048;
  o.n_threads = 2;
  o.cache_bytes = 1 << 30;
  o.cache_disk = folder;
  o.cache_disk_settle_ms = 0;
  return o;
}

std::shared_ptr<Collector> finished(Engine& e, GenerationRequest r) {
  r.n_probs = 2;
  auto c = std::make_shared<Collector>();
  e.generate(std::move(r), c);
  EXPECT_TRUE(c->wait());
  EXPECT_FALSE(c->error);
  return c;
}

// Tokens and the bits of their probabilities.
std::vector<uint32_t> bits_of(const Collector& c) {
  std::vector<uint32_t> bits;
  for (const TokenEvent& e : c.events) {
    bits.push_back(static_cast<uint32_t>(e.id));
    bits.push_back(std::bit_cast<uint32_t>(e.logprob));
    for (const TokenProb& p : e.top) bits.push_back(std::bit_cast<uint32_t>(p.logprob));
  }
  return bits;
}

// What an engine without any cache answers.
class Cold {
 public:
  explicit Cold(const std::string& file) {
    EngineOptions o = options_of(file, "");
    o.cache_bytes = 0;
    engine_ = Engine::load(o);
  }
  std::vector<uint32_t> answer(GenerationRequest r) {
    r.reuse = false;
    return bits_of(*finished(*engine_, std::move(r)));
  }

 private:
  std::unique_ptr<Engine> engine_;
};

class DiskCacheTest : public ::testing::TestWithParam<const char*> {
 protected:
  EngineOptions options() const { return options_of(GetParam(), folder_.path()); }
  TempFolder folder_;
};

using DiskFilesTest = DiskCacheTest;  // on one model with states and one without

TEST_P(DiskCacheTest, AfterARestartATurnCostsItsNewTokens) {
  Cold cold(GetParam());
  Tokens session = random_tokens(700, 1);
  int computed = 0;
  for (int turn = 0; turn < 4; ++turn) {
    auto engine = Engine::load(options());
    GenerationRequest r = greedy(session, 12);
    r.boundaries = {300};
    const auto c = finished(*engine, r);
    EXPECT_EQ(c->stats.n_cached, computed) << turn;
    EXPECT_EQ(c->stats.n_restored, computed) << turn;
    EXPECT_EQ(engine->stats().restored_tokens_total, static_cast<uint64_t>(computed));
    EXPECT_EQ(bits_of(*c), cold.answer(r)) << turn;
    computed = static_cast<int>(session.size()) + 11;
    session = joined(joined(session, c->tokens), random_tokens(40, 10 + turn));
  }
}

TEST_P(DiskCacheTest, TheSamePromptAndAnEditedOne) {
  Cold cold(GetParam());
  GenerationRequest r = greedy(random_tokens(900, 1), 5);
  r.boundaries = {400};
  bool recurrent = false;
  {
    auto engine = Engine::load(options());
    recurrent = engine->memory().state > 0;
    finished(*engine, r);
  }
  {
    auto engine = Engine::load(options());
    const auto c = finished(*engine, r);
    EXPECT_EQ(c->stats.n_cached, 899);
    EXPECT_EQ(bits_of(*c), cold.answer(r));
  }
  r.prompt[600] = 5;
  auto engine = Engine::load(options());
  const auto c = finished(*engine, r);
  EXPECT_EQ(c->stats.n_cached, recurrent ? 400 : 600);
  EXPECT_EQ(bits_of(*c), cold.answer(r));
}

// Memory for one sequence and nothing else: the disk is read for each turn anew, while others run.
TEST_P(DiskFilesTest, BesideOthersAndWithHardlyAnyMemory) {
  Cold cold(GetParam());
  const MemoryEstimate e = Engine::estimate(options());
  for (const uint64_t more : {uint64_t{0}, e.kv / 2 + 4 * e.state}) {
    EngineOptions o = options();
    o.memory_limit_bytes = e.total() + more;
    o.cache_bytes = more;
    for (int start = 0; start < 2; ++start) {
      auto engine = Engine::load(o);
      std::vector<GenerationRequest> requests;
      std::vector<std::shared_ptr<Collector>> all;
      for (unsigned i = 0; i < 5; ++i) {
        requests.push_back(greedy(random_tokens(300 + 200 * static_cast<int>(i), i), 20));
        requests.back().n_probs = 2;
        all.push_back(std::make_shared<Collector>());
        auto handle = engine->generate(requests.back(), all.back());
        if (i == 2) handle->cancel();
      }
      for (size_t i = 0; i < all.size(); ++i) {
        ASSERT_TRUE(all[i]->wait());
        ASSERT_FALSE(all[i]->error);
        if (i != 2) EXPECT_EQ(bits_of(*all[i]), cold.answer(requests[i])) << i;
      }
      if (start == 1 && more > 0) EXPECT_GT(engine->stats().restored_tokens_total, 500u);
    }
  }
}

TEST_P(DiskFilesTest, DamagedFilesAreFoundAndRemoved) {
  Cold cold(GetParam());
  GenerationRequest r = greedy(random_tokens(800, 1), 5);
  r.boundaries = {300, 600};
  const auto right = cold.answer(r);
  std::mt19937 rng(7);
  const auto damage = [&](const fs::path& file, int kind) {
    const auto size =
        std::max<uint64_t>(1, fs::file_size(file));  // one that was never read may still be empty
    if (kind == 0) fs::resize_file(file, rng() % size);
    if (kind == 1) fs::resize_file(file, size + 1 + rng() % 5000);
    if (kind == 2) fs::resize_file(file, 0);
    if (kind < 3) return;
    std::fstream f(file, std::ios::in | std::ios::out | std::ios::binary);
    const uint64_t at = kind == 3 ? rng() % 128 : rng() % size;
    f.seekg(static_cast<std::streamoff>(at));
    const char old = static_cast<char>(f.get());
    f.seekp(static_cast<std::streamoff>(at));
    f.put(static_cast<char>(old ^ (1 << rng() % 8)));
  };
  for (int kind = 0; kind < 10; ++kind) {
    SCOPED_TRACE(kind);
    finished(*Engine::load(options()), r);  // whatever is missing is written again
    const auto files = folder_.files();
    ASSERT_GT(files.size(), 3u);
    for (size_t i = 0; i < files.size(); ++i)
      if (kind % 2 || i == rng() % files.size()) damage(files[i], kind);
    Notices notices;
    EngineOptions o = options();
    o.on_notice = notices.fn();
    auto engine = Engine::load(o);
    const auto c = finished(*engine, r);
    EXPECT_EQ(bits_of(*c), right);
    if (kind % 2) {
      EXPECT_LT(c->stats.n_cached, 799);
      if (kind > 1) EXPECT_NE(notices.first().find("damaged or foreign"), std::string::npos);
    }
  }
}

// Whole and well-formed, but under the name of another: the tokens tell.
TEST_P(DiskFilesTest, FilesUnderOtherNamesAreRefused) {
  Cold cold(GetParam());
  GenerationRequest a = greedy(random_tokens(800, 1), 5), b = greedy(random_tokens(800, 2), 5);
  finished(*Engine::load(options()), a);
  const auto of_a = folder_.files();
  finished(*Engine::load(options()), b);
  for (const char* ending : {".page", ".state"}) {
    std::vector<fs::path> first, second;
    for (const auto& f : folder_.files(ending))
      (std::find(of_a.begin(), of_a.end(), f) != of_a.end() ? first : second).push_back(f);
    for (const auto& f : first)  // each gets the bytes of one of the same size
      for (const auto& s : second)
        if (fs::file_size(s) == fs::file_size(f)) fs::copy_file(s, f, fs::copy_options::overwrite_existing);
  }
  auto engine = Engine::load(options());
  EXPECT_EQ(bits_of(*finished(*engine, a)), cold.answer(a));
  EXPECT_EQ(bits_of(*finished(*engine, b)), cold.answer(b));
}

TEST_P(DiskFilesTest, ScopesAreKeptApart) {
  GenerationRequest r = greedy(random_tokens(800, 1), 2);
  r.cache_scope = 1;
  finished(*Engine::load(options()), r);
  r.cache_scope = 2;
  EXPECT_EQ(finished(*Engine::load(options()), r)->stats.n_cached, 0);
  r.cache_scope = 1;
  EXPECT_EQ(finished(*Engine::load(options()), r)->stats.n_cached, 799);
}

TEST_P(DiskFilesTest, TheCapIsKept) {
  finished(*Engine::load(options()), greedy(random_tokens(1000, 1), 2));
  uint64_t one = 0;
  for (const auto& f : folder_.files()) one += fs::file_size(f);
  EngineOptions o = options();
  o.cache_disk_bytes = 2 * one;
  for (unsigned i = 2; i < 8; ++i) {
    auto engine = Engine::load(o);
    finished(*engine, greedy(random_tokens(1000, i), 2));
    engine.reset();
    uint64_t all = 0;
    for (const auto& f : folder_.files()) all += fs::file_size(f);
    EXPECT_LE(all, o.cache_disk_bytes);
    // The newest is there as a whole.
    EXPECT_EQ(finished(*Engine::load(o), greedy(random_tokens(1000, i), 2))->stats.n_cached, 999) << i;
  }
  o.cache_disk_bytes = 1000;  // less than a file
  finished(*Engine::load(o), greedy(random_tokens(1000, 9), 2));
}

const auto name_of = [](const auto& info) {
  const std::string file = info.param;
  return file.substr(5, file.find('-', 5) - 5);
};
INSTANTIATE_TEST_SUITE_P(Models, DiskCacheTest,
                         ::testing::Values("tiny-llama-q4_k_m.gguf", "tiny-gemma3-q4_k_m.gguf",
                                           "tiny-qwen2-q4_k_m.gguf", "tiny-qwen3-q8_0.gguf",
                                           "tiny-mistral3-f32.gguf", "tiny-qwen3moe-q4_k_m.gguf",
                                           "tiny-qwen3next-q4_k_m.gguf", "tiny-qwen35-q4_k_m.gguf",
                                           "tiny-qwen35moe-q4_k_m.gguf"),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Models, DiskFilesTest,
                         ::testing::Values("tiny-qwen2-q4_k_m.gguf", "tiny-qwen35-q4_k_m.gguf"), name_of);

// ---- What does not depend on the architecture

constexpr char kLlama[] = "tiny-llama-q4_k_m.gguf";
constexpr char kHybrid[] = "tiny-qwen3next-q4_k_m.gguf";

TEST(DiskCache, AnotherModelOrCacheTypeReadsNothing) {
  TempFolder folder;
  EngineOptions o = options_of(kLlama, folder.path());
  GenerationRequest r = greedy(random_tokens(600, 1), 2);
  finished(*Engine::load(o), r);
  EngineOptions q8 = o;
  q8.kv_type_k = q8.kv_type_v = KvType::kQ8_0;
  EXPECT_EQ(finished(*Engine::load(q8), r)->stats.n_cached, 0);
  EngineOptions q4 = o;
  q4.kv_type_v = KvType::kQ4_0;
  EXPECT_EQ(finished(*Engine::load(q4), r)->stats.n_cached, 0);
  EXPECT_EQ(finished(*Engine::load(q4), r)->stats.n_restored, 599);
  EXPECT_EQ(finished(*Engine::load(options_of("tiny-llama-q8_0.gguf", folder.path())), r)->stats.n_cached, 0);
  // The same bytes in a file written later: nobody looked whether they are the same.
  const std::string copy = folder.path() + "/" + kLlama;
  fs::copy_file(o.model_path, copy);
  EngineOptions other = o;
  other.model_path = copy;
  EXPECT_EQ(finished(*Engine::load(other), r)->stats.n_cached, 0);
  // Moved, or copied with its time: the same model.
  fs::last_write_time(copy, fs::last_write_time(o.model_path));
  EXPECT_EQ(finished(*Engine::load(other), r)->stats.n_restored, 599);
}

TEST(DiskCache, AnotherInstructionSetReadsTheSameFiles) {
  TempFolder folder;
  EngineOptions o = options_of(kHybrid, folder.path());
  GenerationRequest r = greedy(random_tokens(600, 1), 2);
  const auto bits = bits_of(*finished(*Engine::load(o), r));
  o.isa = "scalar";
  o.n_ubatch = 3;
  o.n_threads = 1;
  const auto c = finished(*Engine::load(o), r);
  EXPECT_EQ(c->stats.n_restored, 599);
  EXPECT_EQ(bits_of(*c), bits);
}

TEST(DiskCache, TheFolderIsForItsUserAlone) {
  TempFolder folder;
  EngineOptions o = options_of(kHybrid, folder.path());
  finished(*Engine::load(o), greedy(random_tokens(600, 1), 2));
  struct stat s{};
  for (const auto& f : fs::recursive_directory_iterator(folder.path())) {
    ASSERT_EQ(::stat(f.path().c_str(), &s), 0);
    EXPECT_EQ(s.st_mode & 077, 0u) << f.path();
  }
  ASSERT_EQ(::stat(folder.path().c_str(), &s), 0);
  EXPECT_EQ(s.st_mode & 0777, 0700u);
  // One that others may look into is not used.
  fs::permissions(folder.path(), fs::perms(0755));
  Notices notices;
  o.on_notice = notices.fn();
  EXPECT_EQ(finished(*Engine::load(o), greedy(random_tokens(600, 1), 2))->stats.n_cached, 0);
  EXPECT_NE(notices.first().find("chmod 700"), std::string::npos) << notices.first();
}

TEST(DiskCache, FoldersThatCannotBe) {
  TempFolder folder;
  const std::string file = folder.path() + "-file";
  std::ofstream(file) << "not a folder";
  std::vector<std::string> bad = {file, file + "/below", "/proc/none"};
  if (::geteuid() != 0) {
    fs::create_directories(folder.path());
    fs::permissions(folder.path(), fs::perms(0500));  // to be read alone
    bad.push_back(folder.path());
  }
  for (const std::string& path : bad) {
    Notices notices;
    EngineOptions o = options_of(kLlama, path);
    o.on_notice = notices.fn();
    finished(*Engine::load(o), greedy(random_tokens(300, 1), 2));
    EXPECT_NE(notices.first().find("--cache-disk off"), std::string::npos) << path << ": " << notices.first();
  }
}

// As on a disk that is full: writes end in the middle of a file.
TEST(DiskCache, WhereNothingCanBeWrittenOneWordIsSaid) {
  TempFolder folder;
  Notices notices;
  EngineOptions o = options_of(kHybrid, folder.path());
  o.on_notice = notices.fn();
  Cold cold(kHybrid);
  GenerationRequest r = greedy(random_tokens(800, 1), 5);
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  const rlimit small{10000, old.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  {
    auto engine = Engine::load(o);
    EXPECT_EQ(bits_of(*finished(*engine, r)), cold.answer(r));
  }
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &old), 0);
  EXPECT_EQ(notices.texts.size(), 1u);
  EXPECT_NE(notices.first().find("could not be written: File too large"), std::string::npos)
      << notices.first();
  EXPECT_TRUE(folder.files().empty());
}

TEST(DiskCache, TwoProgramsMayShareTheFolder) {
  TempFolder folder;
  auto a = Engine::load(options_of(kHybrid, folder.path())),
       b = Engine::load(options_of(kHybrid, folder.path()));
  Cold cold(kHybrid);
  for (unsigned i = 0; i < 4; ++i) {
    GenerationRequest r = greedy(random_tokens(700, i), 3);
    std::thread other([&] { EXPECT_EQ(bits_of(*finished(*b, r)), cold.answer(r)); });
    const auto bits = bits_of(*finished(*a, r));
    other.join();
    EXPECT_EQ(bits, cold.answer(r));
  }
  // What one wrote the other reads.
  GenerationRequest r = greedy(random_tokens(700, 9), 3);
  finished(*a, r);
  a.reset();
  EXPECT_EQ(finished(*b, r)->stats.n_restored, 699);
}

// ---- Slots

TEST_P(DiskFilesTest, ASlotGoesToAFileAndBack) {
  Cold cold(GetParam());
  EngineOptions o = options();
  o.cache_disk.clear();
  fs::create_directories(folder_.path());
  const std::string file = folder_.path() + "/talk.bin";
  const auto error_of = [](auto&& f) -> std::optional<ErrorCode> {
    try {
      f();
      return std::nullopt;
    } catch (const Error& e) {
      EXPECT_GT(std::string(e.what()).size(), 20u);
      return e.code();
    }
  };
  for (const int n : {5, 300, 513 - 5, 700}) {  // its answer of 5 ends at a page's end, or not
    SCOPED_TRACE(n);
    GenerationRequest r = greedy(random_tokens(n, 1), 5);
    r.slot = 2;
    int saved = 0;
    {
      auto engine = Engine::load(o);
      EXPECT_EQ(error_of([&] { engine->save_slot(2, 0, file); }), ErrorCode::kNotFound);
      EXPECT_EQ(error_of([&] { engine->save_slot(99, 0, file); }), ErrorCode::kNotFound);
      const auto c = finished(*engine, r);
      r.prompt = joined(joined(r.prompt, c->tokens), random_tokens(20, 2));
      EXPECT_EQ(error_of([&] { engine->save_slot(2, 1, file); }), ErrorCode::kNotFound);  // another key's
      const SlotReport report = engine->save_slot(2, 0, file);
      saved = report.n_tokens;
      EXPECT_EQ(saved, n + 4);
      EXPECT_EQ(report.n_bytes, fs::file_size(file));
      EXPECT_EQ(fs::status(file).permissions(), fs::perms(0600));
      EXPECT_EQ(error_of([&] { engine->save_slot(2, 0, folder_.path() + "/none/x"); }), ErrorCode::kIo);
    }
    auto engine = Engine::load(o);
    EXPECT_EQ(error_of([&] { engine->restore_slot(0, 1, file); }), ErrorCode::kInvalidArgument);
    EXPECT_EQ(error_of([&] { engine->restore_slot(0, 0, file + "x"); }), ErrorCode::kNotFound);
    EXPECT_EQ(engine->restore_slot(0, 0, file).n_tokens, saved);
    const auto c = finished(*engine, r);
    EXPECT_EQ(c->stats.n_cached, saved);
    EXPECT_EQ(bits_of(*c), cold.answer(r));
    // Once more, to another file, by what was restored.
    engine->restore_slot(3, 0, file);
    engine->save_slot(3, 0, file + "2");
    EXPECT_EQ(fs::file_size(file + "2"), fs::file_size(file));
    EXPECT_EQ(engine->erase_slot(3, 0).n_tokens, saved);
    EXPECT_EQ(error_of([&] { engine->save_slot(3, 0, file); }), ErrorCode::kNotFound);
    // Damage anywhere is found before anything is served.
    std::ifstream in(file, std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(in)), {});
    std::mt19937 rng(n);
    for (int i = 0; i < 40; ++i) {
      std::string bad = bytes;
      if (i % 2)
        bad.resize(rng() % bad.size());
      else
        bad[i < 10 ? rng() % 128 : rng() % bad.size()] ^= static_cast<char>(1 << rng() % 8);
      std::ofstream(file + "3", std::ios::binary) << bad;
      const auto error = error_of([&] { engine->restore_slot(0, 0, file + "3"); });
      // Whole records without the last ones are a shorter conversation.
      if (!(i % 2)) EXPECT_TRUE(error) << i;
    }
    EXPECT_EQ(bits_of(*finished(*engine, r)), cold.answer(r));
  }
}

// ---- kill -9

// What the child does until it is killed: the same requests as the parent will send, in the order of `seed`.
std::vector<GenerationRequest> requests_of_all() {
  std::vector<GenerationRequest> all;
  for (unsigned i = 0; i < 6; ++i) {
    all.push_back(greedy(random_tokens(400 + 150 * static_cast<int>(i), i / 2), 6));  // two by two alike
    all.back().boundaries = {300};
  }
  return all;
}

TEST(DiskCacheChild, DISABLED_WritesUntilItIsKilled) {
  const char* folder = std::getenv("MORAINE_TEST_FOLDER");
  ASSERT_NE(folder, nullptr);
  std::mt19937 rng(static_cast<unsigned>(std::atoi(std::getenv("MORAINE_TEST_SEED"))));
  const auto requests = requests_of_all();
  for (;;) {
    EngineOptions o = options_of(kHybrid, folder);
    o.cache_disk_bytes = 40 << 20;
    auto engine = Engine::load(o);
    for (int i = 0; i < 4; ++i) finished(*engine, requests[rng() % requests.size()]);
  }
}

TEST(DiskCacheKilled, NothingWrongIsServed) {
  const char* given = std::getenv("MORAINE_TEST_KILLS");
  const int kills = given ? std::atoi(given) : 8;
  TempFolder folder;
  Cold cold(kHybrid);
  const auto requests = requests_of_all();
  std::vector<std::vector<uint32_t>> right;
  for (const auto& r : requests) right.push_back(cold.answer(r));
  std::mt19937 rng(11);
  uint64_t restored = 0;
  for (int kill_number = 0; kill_number < kills; ++kill_number) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::setenv("MORAINE_TEST_FOLDER", folder.path().c_str(), 1);
      ::setenv("MORAINE_TEST_SEED", std::to_string(kill_number).c_str(), 1);
      ::freopen("/dev/null", "w", stdout);
      ::execl("/proc/self/exe", "disk_cache_test", "--gtest_filter=DiskCacheChild.*",
              "--gtest_also_run_disabled_tests", static_cast<char*>(nullptr));
      ::_exit(127);
    }
    ASSERT_GT(child, 0);
    std::this_thread::sleep_for(std::chrono::microseconds(100'000 + rng() % 500'000));
    ASSERT_EQ(::kill(child, SIGKILL), 0);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "it was to run until it is killed";
    auto engine = Engine::load(options_of(kHybrid, folder.path()));
    for (size_t i = 0; i < requests.size(); ++i)
      ASSERT_EQ(bits_of(*finished(*engine, requests[i])), right[i])
          << "kill " << kill_number << ", request " << i;
    restored += engine->stats().restored_tokens_total;
    engine.reset();
    if (rng() % 3 == 0) fs::remove_all(folder.path());  // now and then from an empty folder
  }
  EXPECT_GT(restored, 0u);
}

}  // namespace
}  // namespace moraine
