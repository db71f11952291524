// Names, the folder, and which pieces of a tree are written, read back and removed; whole models and damaged
// files are tests/model/disk_cache_test.cpp.
#include <gtest/gtest.h>
#include <moraine/error.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <thread>

#include "cache/disk_tier.h"
#include "cache/fake_backend.h"
#include "cache/timeline.h"

namespace moraine::cache {
namespace {

namespace fs = std::filesystem;
using testing::FakeBackend;
using testing::random_tokens;
using Tokens = std::vector<TokenId>;

class DiskTest : public ::testing::Test {
 protected:
  DiskTest() {
    std::string name = ::testing::TempDir() + "moraine-cache-XXXXXX";
    above_ = ::mkdtemp(name.data());
    path_ = above_ + "/a/b";
  }
  ~DiskTest() override { fs::remove_all(above_); }
  std::string above_, path_;
};

TEST(DiskName, TextAndBack) {
  const DiskKey root = root_key(3), key = next_key(root, random_tokens(256, 1));
  EXPECT_NE(root_key(4), root);
  for (const DiskName& n :
       {DiskName{root, key, 256, false}, DiskName{key, next_key(key, random_tokens(7, 2)), 7, true}}) {
    EXPECT_EQ(DiskName::parse(n.text()), n);
    for (size_t i = 0; i < n.text().size(); ++i) {
      std::string other = n.text();
      EXPECT_FALSE(DiskName::parse(other.substr(0, i)));
      other[i] = '/';
      EXPECT_FALSE(DiskName::parse(other)) << other;
      other[i] = 'F';  // as in hexadecimal, but not ours
      EXPECT_FALSE(DiskName::parse(other)) << other;
    }
  }
  EXPECT_FALSE(DiskName::parse(DiskName{root, key, 300, false}.text()));
  EXPECT_FALSE(DiskName::parse(DiskName{root, key, 0, false}.text()));
  EXPECT_TRUE((DiskName{root, key, 255, true}.has_page()));
  EXPECT_FALSE((DiskName{root, key, 256, true}.has_page()));
}

TEST_F(DiskTest, TheFolderIsMadeForOneUser) {
  EXPECT_THROW(DiskFolder::existing(path_), Error);
  const DiskFolder folder(path_);
  struct stat s{};
  ASSERT_EQ(::stat(path_.c_str(), &s), 0);
  EXPECT_EQ(s.st_mode & 0777, 0700u);
  fs::permissions(path_, fs::perms(0750));
  EXPECT_THROW(DiskFolder{path_}, Error);
  fs::permissions(path_, fs::perms(0700));
  DiskFolder::existing(path_);
}

// Only what is ours by its name and its kind goes.
TEST_F(DiskTest, ShrinkingAndClearing) {
  const DiskFolder folder(path_);
  const auto write = [&](const std::string& name, int age_s) {
    std::ofstream(path_ + "/model/" + name) << std::string(1000, 'x');
    fs::last_write_time(path_ + "/model/" + name,
                        fs::file_time_type::clock::now() - std::chrono::seconds(age_s));
  };
  {
    const FolderFd model = folder.model("model");
    std::vector<std::string> names;
    for (int i = 0; i < 4; ++i) {
      names.push_back(DiskName{root_key(i), {}, 256, i % 2 == 0}.text());
      write(names.back(), 100 * (i + 1));
    }
    write("notes.txt", 9999);
    write(".writing-1-2-3", 10);     // somebody is at it
    write(".writing-1-2-4", 10000);  // somebody died
    fs::create_symlink("/etc/passwd", path_ + "/model/" + DiskName{root_key(9), {}, 256, false}.text());
    EXPECT_EQ(folder.use().bytes, 4000u);
    EXPECT_EQ(folder.shrink(3000), 3000u);  // what is being written counts, and stays
    EXPECT_TRUE(fs::exists(path_ + "/model/" + names[1]));
    EXPECT_FALSE(fs::exists(path_ + "/model/" + names[2]));
    EXPECT_TRUE(fs::exists(path_ + "/model/.writing-1-2-3"));
    EXPECT_FALSE(fs::exists(path_ + "/model/.writing-1-2-4"));
    EXPECT_EQ(folder.clear().files, 2);
    EXPECT_TRUE(fs::exists(path_ + "/model/notes.txt"));
    fs::remove(path_ + "/model/notes.txt");
    fs::remove(path_ + "/model/" + DiskName{root_key(9), {}, 256, false}.text());
    folder.clear();
    EXPECT_TRUE(fs::exists(path_ + "/model")) << "a server has it open";
  }
  folder.clear();
  EXPECT_FALSE(fs::exists(path_ + "/model"));
}

// Sequences on a tree with a disk behind it, again and again from an empty memory.
class TierTest : public DiskTest {
 protected:
  static constexpr uint64_t kState = FakeBackend::kStateData;

  struct Memory {
    Memory(const std::string& path, uint64_t state_bytes) : backend(FakeBackend::kPageData, state_bytes) {
      pool.set_max_bytes(1 << 20);
      tree.set_max_bytes(1 << 20);
      DiskTier::Options o;
      o.store = {path, 1 << 30, "model", [] {}, {}};
      o.settle = std::chrono::milliseconds(0);
      disk = std::make_unique<DiskTier>(pool, tree, o, FakeBackend::kPageData, state_bytes);
    }
    // Computes from where the cache leaves off, keeping states where `keeps` says; returns what was cached.
    int32_t run(const Tokens& tokens, const std::vector<int32_t>& keeps = {}, PrefixTree::Scope scope = 0) {
      while (disk->restore(this, scope, tokens, 0) == DiskTier::Restore::kReading) std::this_thread::yield();
      Timeline t(pool, tree, scope);
      const int32_t cached = t.begin(tokens);
      disk->release(this);
      EXPECT_TRUE(t.grow_to(static_cast<int32_t>(tokens.size())));
      int32_t at = cached;
      std::vector<int32_t> stops = keeps;
      stops.push_back(static_cast<int32_t>(tokens.size()));
      for (const int32_t stop : stops) {
        if (stop <= at || stop > static_cast<int32_t>(tokens.size())) continue;
        backend.compute(tokens, at, stop, t.pages(), t.state());
        at = stop;
        t.commit(std::span(tokens).first(at));
        if (at < static_cast<int32_t>(tokens.size())) t.checkpoint(std::span(tokens).first(at));
      }
      t.finish(tokens);
      return cached;
    }
    void save() { disk->save_all(DiskTier::Clock::now() + std::chrono::seconds(60)); }

    FakeBackend backend;
    MemoryPool pool{backend};
    PrefixTree tree{pool};
    std::unique_ptr<DiskTier> disk;
  };
  // Where states lie on disk, by how many tokens are in a file.
  std::vector<int64_t> state_places() const {
    std::vector<int64_t> places;
    for (const auto& f : fs::directory_iterator(path_ + "/model")) {
      if (!f.path().native().ends_with(".state")) continue;
      std::ifstream in(f.path(), std::ios::binary);
      in.seekg(32);
      int64_t n = 0;
      in.read(reinterpret_cast<char*>(&n), sizeof n);
      places.push_back(n);
    }
    std::sort(places.begin(), places.end());
    return places;
  }
};

TEST_F(TierTest, WhatAConversationLeavesOnDisk) {
  Tokens talk = random_tokens(5000, 1);
  {
    Memory m(path_, kState);
    m.run(talk, {300, 1000, 2000, 3000, 4000, 4096, 4500, 4990});
    m.save();
    // The first, the one every 4,096 tokens, and the last three but for the one that is close behind another.
    EXPECT_EQ(state_places(), (std::vector<int64_t>{300, 4096, 4500, 4990, 5000}));
    talk.resize(5600, 7);
    EXPECT_EQ(m.run(talk, {5300, 5500}), 5000);
    m.save();
    EXPECT_EQ(state_places(), (std::vector<int64_t>{300, 4096, 5300, 5500, 5600}));  // others are superseded
  }
  Memory m(path_, kState);
  talk.resize(5700, 8);
  EXPECT_EQ(m.run(talk), 5600);
  talk[5400] = 5;
  EXPECT_EQ(m.run(talk), 5300);
}

TEST_F(TierTest, RandomConversationsAndRestarts) {
  for (const uint64_t state_bytes : {uint64_t{0}, kState}) {
    fs::remove_all(path_);
    std::mt19937 rng(5);
    std::vector<Tokens> agents(3, random_tokens(300, 1));
    int64_t cached = 0, whole = 0;
    for (int start = 0; start < 30; ++start) {
      Memory m(path_, state_bytes);
      for (int i = 0; i < 4; ++i) {
        Tokens& t = agents[rng() % 3];
        const auto more = random_tokens(1 + rng() % 300, rng());
        if (rng() % 4 == 0) t.resize(1 + rng() % t.size());
        if (rng() % 6 == 0) t[rng() % t.size()] = 5;
        if (t.size() > 2500) t.resize(290);
        t.insert(t.end(), more.begin(), more.end());
        cached += m.run(t, {280, static_cast<int32_t>(t.size()) - 1}, 1 + rng() % 2);
        whole += static_cast<int64_t>(t.size());
        if (rng() % 2) m.disk->save();
      }
      if (rng() % 4) m.save();  // else it is killed
    }
    EXPECT_GT(cached, whole / 4);
  }
}

TEST_F(TierTest, WhatIsBeingReadGivesWay) {
  const Tokens talk = random_tokens(3000, 1);
  {
    Memory m(path_, kState);
    m.run(talk);
    m.save();
  }
  Memory m(path_, kState);
  const int owner = 0, other = 0;
  EXPECT_EQ(m.disk->restore(&owner, 0, random_tokens(100, 2), 0), DiskTier::Restore::kNothing);
  Tokens more = talk;
  more.push_back(1);
  ASSERT_EQ(m.disk->restore(&owner, 0, more, 0), DiskTier::Restore::kReading);
  EXPECT_EQ(m.disk->restore(&other, 0, more, 0), DiskTier::Restore::kBusy);
  EXPECT_EQ(m.disk->restore(&other, 0, random_tokens(100, 2), 0), DiskTier::Restore::kNothing);
  EXPECT_TRUE(m.disk->give_way());
  EXPECT_FALSE(m.disk->give_way());
  m.tree.clear();
  EXPECT_EQ(m.pool.used_bytes(), 0u);
  EXPECT_EQ(m.run(more), 3000);
}

}  // namespace
}  // namespace moraine::cache
