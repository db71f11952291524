// What well-formed files give: the gguf package's file, handmade ones, large and sparse ones.
#include "gguf/reader.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "gguf/testing.h"

namespace moraine::gguf {
namespace {

using namespace testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

File parse(std::string_view bytes) { return File::parse(as_bytes(bytes), "test.gguf"); }

TEST(Reader, ReadsWhatThePythonPackageWrote) {
  const File f = File::open(testdata("small.gguf"));
  EXPECT_EQ(f.version(), 3u);
  EXPECT_EQ(f.alignment(), 64u);
  EXPECT_EQ(f.size_bytes(), 1408u);
  EXPECT_EQ(f.tensor_bytes(), 24u + 6 + 136 + 72 + 96);
  const Metadata& m = f.metadata();
  EXPECT_EQ(m.get_string("general.architecture"), "llama");
  EXPECT_EQ(*m.find("t.u8"), Value(uint8_t{200}));
  EXPECT_EQ(*m.find("t.i8"), Value(int8_t{-100}));
  EXPECT_EQ(*m.find("t.u16"), Value(uint16_t{60000}));
  EXPECT_EQ(*m.find("t.i16"), Value(int16_t{-30000}));
  EXPECT_EQ(*m.find("t.u32"), Value(uint32_t{4000000000}));
  EXPECT_EQ(*m.find("t.i32"), Value(int32_t{-2000000000}));
  EXPECT_EQ(*m.find("t.f32"), Value(0.1f));
  EXPECT_EQ(*m.find("t.true"), Value(true));
  EXPECT_EQ(*m.find("t.false"), Value(false));
  EXPECT_EQ(*m.find("t.string"), Value("naïve \xF0\x9F\x98\x80\n"));
  EXPECT_EQ(*m.find("t.u64"), Value(uint64_t{1} << 63));
  EXPECT_EQ(*m.find("t.i64"), Value(-(int64_t{1} << 62)));
  EXPECT_EQ(*m.find("t.f64"), Value(0.1));
  EXPECT_EQ(m.get_strings("t.strings"), (StringArray{"", "a", "Ġthe", "日本"}));
  EXPECT_THAT(m.get_span<int32_t>("t.ints"), ElementsAre(-1, 0, 7));
  EXPECT_THAT(m.get_span<float>("t.floats"), ElementsAre(0.5f, -2.0f));
  EXPECT_THAT(m.get_numbers<bool>("t.bools"), ElementsAre(true, false, true));

  ASSERT_EQ(f.tensors().size(), 5u);
  const TensorInfo& q8 = f.tensor("q8_0");
  EXPECT_EQ(&q8, &f.tensors()[2]);
  EXPECT_EQ(q8.dtype, DType::kQ8_0);
  EXPECT_EQ(q8.n_dims, 2u);
  EXPECT_THAT(q8.shape, ElementsAre(64, 2, 1, 1));
  EXPECT_EQ(q8.offset, 960u);
  EXPECT_EQ(q8.size_bytes, 136u);
  EXPECT_EQ(q8.n_values(), 128u);
  EXPECT_EQ(q8.n_rows(), 2u);
  EXPECT_EQ(q8.row_bytes(), 68u);
  EXPECT_EQ(shape_string(f.tensor("i32")), "[4, 3, 1, 2]");
}

TEST(Reader, KeepsTheFilesOrder) {
  const File f = File::open(testdata("small.gguf"));
  std::vector<std::string> keys, names;
  for (const MetadataEntry& e : f.metadata().entries()) keys.push_back(e.key);
  for (const TensorInfo& t : f.tensors()) names.push_back(t.name);
  EXPECT_EQ(keys.size(), 19u);
  EXPECT_EQ(keys[0], "general.architecture");
  EXPECT_EQ(keys[2], "t.u8");
  EXPECT_EQ(keys[18], "t.bools");
  EXPECT_EQ(f.metadata().entries()[2].offset, 102u);
  EXPECT_THAT(names, ElementsAre("f32", "f16", "q8_0", "q4_0", "i32"));
}

TEST(Reader, Version2IsReadLikeVersion3) {
  std::string bytes = read_all(testdata("small.gguf"));
  bytes[4] = 2;
  const File f = parse(bytes);
  EXPECT_EQ(f.version(), 2u);
  EXPECT_EQ(f.metadata().entries().size(), 19u);
  EXPECT_EQ(f.tensors().size(), 5u);
}

TEST(Reader, AFileWithoutTensorsNeedsNoDataSection) {
  const File f = parse(Bytes().header(0, 1).kv_u32("a", 1).out);
  EXPECT_EQ(f.metadata().get_u32("a"), 1u);
  EXPECT_TRUE(f.tensors().empty());
}

TEST(Reader, AScalarTensorHasOneValue) {
  const File f = parse(Bytes().header(1, 0).tensor("s", {}, 0, 0).data(4).out);
  EXPECT_EQ(f.tensor("s").n_values(), 1u);
  EXPECT_EQ(f.tensor("s").size_bytes, 4u);
  EXPECT_EQ(shape_string(f.tensor("s")), "[]");
}

TEST(Reader, TheAlignmentMayBeAnyIntegerType) {
  const File f = parse(Bytes().header(0, 1).str("general.alignment").u32(10).u64(4096).out);
  EXPECT_EQ(f.alignment(), 4096u);
}

TEST(Reader, ReadsArraysOfArrays) {
  const File f = parse(Bytes()
                           .header(0, 1)
                           .str("a")
                           .u32(9)
                           .u32(9)
                           .u64(2)
                           .u32(4)
                           .u64(2)
                           .u32(5)
                           .u32(6)  // [5, 6]
                           .u32(8)
                           .u64(1)
                           .str("x")
                           .out);  // ["x"]
  const Value expected(std::vector<Array>{Array(std::vector<uint32_t>{5, 6}), Array(StringArray{"x"})});
  EXPECT_EQ(*f.metadata().find("a"), expected);
  EXPECT_EQ(to_display_string(expected), "[[2 of u32], [1 of string]]");
}

// Longer than the cursor's buffer, and so that a value straddles its end.
TEST(Reader, ReadsArraysLongerThanTheBuffer) {
  constexpr uint32_t kN = 300'000;
  Bytes b;
  b.header(0, 3).str("odd").u32(8).str("xyz").str("numbers").u32(9).u32(4).u64(kN);
  for (uint32_t i = 0; i < kN; ++i) b.u32(i);
  b.str("strings").u32(9).u32(8).u64(kN);
  for (uint32_t i = 0; i < kN; ++i) b.str(std::to_string(i));
  const File f = parse(b.out);
  const auto numbers = f.metadata().get_span<uint32_t>("numbers");
  const StringArray& strings = f.metadata().get_strings("strings");
  ASSERT_EQ(numbers.size(), kN);
  ASSERT_EQ(strings.size(), kN);
  for (uint32_t i = 0; i < kN; ++i) {
    ASSERT_EQ(numbers[i], i);
    ASSERT_EQ(strings[i], std::to_string(i));
  }
}

TEST(Reader, AMissingTensorIsNamed) {
  const File f = parse(Bytes().header(0, 0).out);
  EXPECT_EQ(f.find_tensor("output.weight"), nullptr);
  EXPECT_THAT(error_of([&] { f.tensor("output.weight"); }),
              HasSubstr("corrupt_file: test.gguf: the tensor 'output.weight' is missing"));
}

TEST(Reader, AMovedOrCopiedFileFindsItsParts) {
  File a = File::open(testdata("small.gguf"));
  const File copy = a;
  const File moved = std::move(a);
  a = parse(Bytes().header(0, 0).out);
  EXPECT_EQ(copy.metadata().get_u32("t.u8"), 200u);
  EXPECT_EQ(moved.tensor("i32").size_bytes, 96u);
  EXPECT_EQ(copy.tensor("i32").size_bytes, 96u);
}

// A file of metadata whose data is a hole: 2^40 bytes that take no room on the disk.
TEST(Reader, ReadsASparseFile) {
  const TempDir dir;
  const auto path = dir / "sparse.gguf";
  const std::string head = Bytes().header(1, 0).tensor("w", {1u << 20, 1u << 18}, 0, 0).data(0).out;
  write_all(path, head);
  std::error_code refused;
  std::filesystem::resize_file(path, head.size() + (uint64_t{1} << 40), refused);
  if (refused) GTEST_SKIP() << "the file system has no sparse files of 1 TiB";
  EXPECT_EQ(File::open(path).tensor("w").size_bytes, uint64_t{1} << 40);
}

}  // namespace
}  // namespace moraine::gguf
