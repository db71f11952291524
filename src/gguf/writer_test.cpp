// What is written reads back the same; and is, byte for byte, what the gguf package writes.
#include "gguf/writer.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <limits>

#include "gguf/limits.h"
#include "gguf/reader.h"
#include "gguf/tensor_reader.h"
#include "gguf/testing.h"

namespace moraine::gguf {
namespace {

using namespace testing;
using ::testing::HasSubstr;
using ::testing::StartsWith;

Metadata every_type() {
  Metadata m("new");
  m.add("u8", std::numeric_limits<uint8_t>::max());
  m.add("i8", std::numeric_limits<int8_t>::min());
  m.add("u16", std::numeric_limits<uint16_t>::max());
  m.add("i16", std::numeric_limits<int16_t>::min());
  m.add("u32", std::numeric_limits<uint32_t>::max());
  m.add("i32", std::numeric_limits<int32_t>::min());
  m.add("f32", 0.1f);
  m.add("bool", true);
  m.add("string", std::string("a\0\xFF", 3));
  m.add("u64", std::numeric_limits<uint64_t>::max());
  m.add("i64", std::numeric_limits<int64_t>::min());
  m.add("f64", 0.1);
  m.add("a.u8", std::vector<uint8_t>{1, 2});
  m.add("a.i8", std::vector<int8_t>{-1});
  m.add("a.u16", std::vector<uint16_t>{1});
  m.add("a.i16", std::vector<int16_t>{-1});
  m.add("a.u32", std::vector<uint32_t>{1});
  m.add("a.i32", std::vector<int32_t>{-1});
  m.add("a.f32", std::vector<float>{0.1f, 2});
  m.add("a.bool", std::vector<bool>{true, false, true});
  m.add("a.string", StringArray{"", "x"});
  m.add("a.array", std::vector<Array>{Array(StringArray{"y"}), Array(std::vector<bool>{})});
  m.add("a.u64", std::vector<uint64_t>{1});
  m.add("a.i64", std::vector<int64_t>{-1});
  m.add("a.f64", std::vector<double>{});
  return m;
}

TEST(Writer, MetadataOfEveryTypeComesBack) {
  const std::vector<std::byte> bytes = Writer(every_type()).to_bytes();
  const File f = File::parse(bytes, "new");
  const Metadata expected = every_type();
  ASSERT_EQ(f.metadata().entries().size(), expected.entries().size());
  for (size_t i = 0; i < expected.entries().size(); ++i) {
    EXPECT_EQ(f.metadata().entries()[i].key, expected.entries()[i].key);
    EXPECT_EQ(f.metadata().entries()[i].value, expected.entries()[i].value) << expected.entries()[i].key;
  }
}

// The Python package's file, read and written again, is the same file, byte for byte.
TEST(Writer, AgreesWithThePythonPackage) {
  const File f = File::open(testdata("small.gguf"));
  const TensorReader reader(f);
  Writer w(f.metadata());
  for (const TensorInfo& t : f.tensors())
    w.add_tensor(t.name, t.dtype, std::span(t.shape).first(t.n_dims),
                 [&reader, &t](uint64_t offset, std::span<std::byte> out) { reader.read(t, offset, out); });
  const std::vector<std::byte> bytes = w.to_bytes();
  EXPECT_TRUE(std::ranges::equal(bytes, as_bytes(read_all(testdata("small.gguf")))));
}

TEST(Writer, TensorsComeBackAlignedAndWhole) {
  const TempDir dir;
  Metadata m("new");
  m.add("general.alignment", uint32_t{128});
  Writer w(std::move(m));
  const uint64_t big[] = {1000, 700};  // 2.8 MB: several calls
  const uint64_t small[] = {5};
  const std::vector<std::byte> five(5, std::byte{42});
  uint64_t next = 0;
  w.add_tensor("big", DType::kF32, big, [&](uint64_t offset, std::span<std::byte> out) {
    EXPECT_EQ(offset, next);
    EXPECT_LE(out.size(), Writer::kFillBytes);
    next = offset + out.size();
    for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::byte>((offset + i) % 251);
  });
  w.add_tensor("small", DType::kI8, small, five);
  const std::vector<std::byte> four(4);
  w.add_tensor("scalar", DType::kF32, {}, four);
  w.write(dir / "x.gguf");
  EXPECT_EQ(next, 2'800'000u);
  EXPECT_FALSE(std::filesystem::exists(dir / "x.gguf.partial"));

  const File f = File::open(dir / "x.gguf");
  EXPECT_EQ(f.alignment(), 128u);
  for (const TensorInfo& t : f.tensors()) EXPECT_EQ(t.offset % 128, 0u);
  const TensorReader reader(f);
  const std::vector<std::byte> back = reader.read_all(f.tensor("big"));
  ASSERT_EQ(back.size(), 2'800'000u);
  for (size_t i = 0; i < back.size(); ++i) ASSERT_EQ(back[i], static_cast<std::byte>(i % 251));
  EXPECT_EQ(reader.read_all(f.tensor("small")), five);
}

TEST(Writer, RefusesWhatTheReaderWould) {
  const auto with = [](std::string key, Value value) {
    Metadata m("new");
    m.add(std::move(key), std::move(value));
    return error_of([&] { Writer w(m); });
  };
  EXPECT_THAT(with("", 1), HasSubstr("1 to 65535 are allowed"));
  EXPECT_THAT(with(std::string(kMaxKeyBytes + 1, 'k'), 1), HasSubstr("has 65536 bytes"));
  EXPECT_THAT(with("general.alignment", 12), HasSubstr("general.alignment is 12"));
  Array deep(std::vector<uint8_t>{1});
  for (uint32_t i = 0; i < kMaxArrayDepth; ++i) deep = Array(std::vector<Array>{deep});
  EXPECT_THAT(with("deep", deep), HasSubstr("nests arrays deeper"));

  Writer w(Metadata("new"));
  const uint64_t shape[] = {32, 2}, odd[] = {33}, zero[] = {0}, huge[] = {~uint64_t{0}},
                 five[] = {1, 1, 1, 1, 1};
  const std::vector<std::byte> bytes(68);
  w.add_tensor("w", DType::kQ8_0, shape, bytes);
  const auto adding = [&](std::string name, std::span<const uint64_t> s, std::span<const std::byte> b) {
    return error_of([&] { w.add_tensor(std::move(name), DType::kQ8_0, s, b); });
  };
  EXPECT_THAT(adding("w", shape, bytes), StartsWith("invalid_argument: The tensor 'w' is given twice"));
  EXPECT_THAT(adding("", shape, bytes), HasSubstr("are allowed"));
  EXPECT_THAT(adding("x", shape, std::span(bytes).first(67)),
              HasSubstr("needs 68 bytes by its shape and type, but 67"));
  EXPECT_THAT(adding("x", odd, bytes), HasSubstr("rows of 33 values"));
  EXPECT_THAT(adding("x", zero, bytes), HasSubstr("is 0 in dimension 0"));
  EXPECT_THAT(adding("x", huge, bytes), HasSubstr("overflows"));
  EXPECT_THAT(adding("x", five, bytes), HasSubstr("5 dimensions"));
  EXPECT_THAT(adding("x", {}, bytes), HasSubstr("rows of 1 values"));
}

TEST(Writer, AFailureLeavesNoFile) {
  const TempDir dir;
  Writer w(Metadata("new"));
  const uint64_t shape[] = {4};
  w.add_tensor("w", DType::kF32, shape,
               [](uint64_t, std::span<std::byte>) { throw Error(ErrorCode::kInternal, "stopped"); });
  EXPECT_EQ(error_of([&] { w.write(dir / "x.gguf"); }), "internal: stopped");
  EXPECT_TRUE(std::filesystem::is_empty(dir / ""));
  EXPECT_THAT(error_of([&] { w.write(dir / "no/x.gguf"); }), StartsWith("io: "));
}

}  // namespace
}  // namespace moraine::gguf
