// Reading tensor data, and files that change meanwhile.
#include "gguf/tensor_reader.h"

#include <gtest/gtest.h>

#include "gguf/testing.h"

namespace moraine::gguf {
namespace {

using namespace testing;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(TensorReader, ReadsRangesOfATensor) {
  const File f = File::open(testdata("small.gguf"));
  const TensorReader reader(f);
  const TensorInfo& t = f.tensor("i32");  // 0 .. 23
  std::vector<int32_t> all(24);
  reader.read(t, 0, std::as_writable_bytes(std::span(all)));
  for (int32_t i = 0; i < 24; ++i) EXPECT_EQ(all[static_cast<size_t>(i)], i);
  int32_t two[2];
  reader.read(t, 40, std::as_writable_bytes(std::span(two)));
  EXPECT_EQ(two[0], 10);
  EXPECT_EQ(two[1], 11);
  reader.read(t, 96, {});
}

TEST(TensorReader, ARangeOutsideTheTensorIsRefused) {
  const File f = File::open(testdata("small.gguf"));
  const TensorReader reader(f);
  std::byte b[8];
  for (const uint64_t offset : {uint64_t{89}, uint64_t{97}, ~uint64_t{0}})
    EXPECT_THAT(error_of([&] { reader.read(f.tensor("i32"), offset, b); }),
                AllOf(StartsWith("invalid_argument: "), HasSubstr("'i32' has 96 bytes")));
}

TEST(TensorReader, AFileThatChangedIsRefused) {
  const TempDir dir;
  write_all(dir / "x.gguf", read_all(testdata("small.gguf")));
  const File f = File::open(dir / "x.gguf");
  write_all(dir / "x.gguf", read_all(testdata("small.gguf")) + " ");
  EXPECT_THAT(error_of([&] { TensorReader reader(f); }),
              AllOf(StartsWith("corrupt_file: "), HasSubstr("x.gguf changed since")));
  std::filesystem::remove(dir / "x.gguf");
  EXPECT_THAT(error_of([&] { TensorReader reader(f); }), StartsWith("not_found: "));
}

TEST(TensorReader, AFileCutShortWhileItIsReadIsAnError) {
  const TempDir dir;
  write_all(dir / "x.gguf", read_all(testdata("small.gguf")));
  const File f = File::open(dir / "x.gguf");
  const TensorReader reader(f);
  std::filesystem::resize_file(dir / "x.gguf", f.tensor("i32").offset + 10);
  EXPECT_THAT(error_of([&] { reader.read_all(f.tensor("i32")); }),
              AllOf(StartsWith("corrupt_file: "), HasSubstr("x.gguf ended at byte ")));
}

TEST(TensorReader, MemoryHasNoFileToReadFrom) {
  const std::string bytes = read_all(testdata("small.gguf"));
  const File f = File::parse(as_bytes(bytes), "mem");
  EXPECT_THAT(error_of([&] { TensorReader reader(f); }),
              StartsWith("invalid_argument: mem was read from memory"));
}

TEST(TensorReader, DroppingTheCacheChangesNothingRead) {
  const File f = File::open(testdata("small.gguf"));
  const TensorReader reader(f);
  const auto before = reader.read_all(f.tensor("q8_0"));
  reader.drop_cache(f.tensor("q8_0"), 0, 136);
  reader.drop_cache(f.tensor("q8_0"), 136, 0);
  EXPECT_EQ(reader.read_all(f.tensor("q8_0")), before);
}

}  // namespace
}  // namespace moraine::gguf
