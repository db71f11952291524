// Sets of shards: whole, incomplete, renamed and contradicting each other.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "gguf/reader.h"
#include "gguf/split.h"
#include "gguf/tensor_reader.h"
#include "gguf/testing.h"
#include "gguf/writer.h"

namespace moraine::gguf {
namespace {

using namespace testing;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class Split : public ::testing::Test {
 protected:
  std::filesystem::path path(uint32_t i) const { return shard_path(dir_ / "m", i, 3); }

  // A shard with one tensor of four bytes, all equal to i + 1.
  void write(uint32_t i, uint16_t no, uint16_t count = 3, int32_t n_tensors = 3, std::string name = "") {
    Metadata m("new");
    if (i == 0) m.add("general.architecture", "llama");
    m.add("split.no", no);
    m.add("split.count", count);
    m.add("split.tensors.count", n_tensors);
    Writer w(std::move(m));
    const uint64_t shape[] = {4};
    const std::vector<std::byte> bytes(4, static_cast<std::byte>(i + 1));
    w.add_tensor(name.empty() ? fmt::format("w{}", i) : name, DType::kI8, shape, bytes);
    w.write(path(i));
  }
  void write_all_shards() {
    for (uint16_t i = 0; i < 3; ++i) write(i, i);
  }
  std::string open_error(uint32_t i = 0) const {
    return error_of([&] { File::open(path(i)); });
  }

  TempDir dir_;
};

TEST_F(Split, TheFirstShardOpensAll) {
  write_all_shards();
  const File f = File::open(path(0));
  ASSERT_EQ(f.shards().size(), 3u);
  EXPECT_EQ(f.shards()[2].path, path(2));
  EXPECT_EQ(f.metadata().get_string("general.architecture"), "llama");
  ASSERT_EQ(f.tensors().size(), 3u);
  const TensorReader reader(f);
  for (uint32_t i = 0; i < 3; ++i) {
    const TensorInfo& t = f.tensor(fmt::format("w{}", i));
    EXPECT_EQ(t.shard, i);
    EXPECT_EQ(reader.read_all(t), std::vector<std::byte>(4, static_cast<std::byte>(i + 1)));
  }
}

TEST_F(Split, ALaterShardPointsToTheFirst) {
  write_all_shards();
  EXPECT_THAT(open_error(1), AllOf(StartsWith("invalid_argument: "), HasSubstr("shard 2 of 3"),
                                   HasSubstr("m-00001-of-00003.gguf")));
}

TEST_F(Split, AMissingShardIsNamed) {
  write_all_shards();
  std::filesystem::remove(path(2));
  EXPECT_THAT(open_error(), AllOf(StartsWith("not_found: "), HasSubstr("m-00003-of-00003.gguf"),
                                  HasSubstr("shard 3 of 3")));
}

TEST_F(Split, ATruncatedShardIsNamed) {
  write_all_shards();
  std::filesystem::resize_file(path(1), 100);
  EXPECT_THAT(open_error(), AllOf(StartsWith("corrupt_file: "), HasSubstr("m-00002-of-00003.gguf"),
                                  HasSubstr("truncated")));
}

TEST_F(Split, ShardsThatDisagree) {
  write_all_shards();
  write(1, 2);
  EXPECT_THAT(open_error(),
              AllOf(HasSubstr("m-00002-of-00003.gguf"), HasSubstr("'split.no'"), HasSubstr("is 2, but")));
  write(1, 1, 4);
  EXPECT_THAT(open_error(),
              AllOf(HasSubstr("m-00002-of-00003.gguf"), HasSubstr("'split.count'"), HasSubstr("is 4, but")));
  write(1, 1, 3, 9);
  EXPECT_THAT(open_error(), AllOf(HasSubstr("m-00002-of-00003.gguf"), HasSubstr("'split.tensors.count'"),
                                  HasSubstr("is 9, but")));
  write(1, 1, 3, 3, "w0");
  EXPECT_THAT(open_error(),
              AllOf(HasSubstr("'w0' is both in"), HasSubstr("00001-of"), HasSubstr("00002-of")));
  write_all(path(1), Bytes().header(0, 0).out);
  EXPECT_THAT(open_error(), AllOf(HasSubstr("m-00002-of-00003.gguf"), HasSubstr("'split.count' is missing")));
}

TEST_F(Split, TooFewTensors) {
  for (uint16_t i = 0; i < 3; ++i) write(i, i, 3, 5);
  EXPECT_THAT(open_error(), HasSubstr("promises 5 tensors, but the 3 shards hold 3"));
}

TEST_F(Split, ARenamedShard) {
  write_all_shards();
  std::filesystem::rename(path(0), dir_ / "model.gguf");
  EXPECT_THAT(error_of([&] { File::open(dir_ / "model.gguf"); }),
              AllOf(HasSubstr("one of 3 shards"), HasSubstr("-00001-of-00003.gguf")));
  std::filesystem::rename(dir_ / "model.gguf", dir_ / "m-00001-of-00002.gguf");
  EXPECT_THAT(error_of([&] { File::open(dir_ / "m-00001-of-00002.gguf"); }),
              AllOf(HasSubstr("say shard 1 of 3"), HasSubstr("name says 1 of 2")));
}

TEST_F(Split, HostileCounts) {
  write_all(path(0), Bytes().header(0, 1).kv_u32("split.count", 0xFFFFFFFF).out);
  EXPECT_THAT(open_error(), HasSubstr("is 4294967295, more than the limit of 99999"));
  write_all(path(0), Bytes().header(0, 2).kv_u32("split.count", 3).kv_u32("split.no", 0xFFFFFFFF).out);
  EXPECT_THAT(open_error(), HasSubstr("say shard 4294967296 of 3"));
}

TEST_F(Split, ASetOfOneIsAFile) {
  write_all(dir_ / "one.gguf", Bytes().header(0, 1).kv_u32("split.count", 1).out);
  EXPECT_EQ(File::open(dir_ / "one.gguf").shards().size(), 1u);
}

TEST_F(Split, MemoryHasNoSiblings) {
  const std::string bytes = Bytes().header(0, 1).kv_u32("split.count", 2).out;
  EXPECT_THAT(error_of([&] { File::parse(as_bytes(bytes), "x"); }), HasSubstr("can be read from disk only"));
}

}  // namespace
}  // namespace moraine::gguf
