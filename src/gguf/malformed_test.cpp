// Files that are broken or hostile: each gives an Error that names the field, the offset and the cause.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "gguf/limits.h"
#include "gguf/reader.h"
#include "gguf/testing.h"

namespace moraine::gguf {
namespace {

using namespace testing;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

struct Case {
  const char* name;
  std::string bytes;
  std::vector<std::string> expected;  // fragments of "code: message"
  friend void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }
};

std::string nested_arrays(uint32_t depth) {
  Bytes b;
  b.header(0, 1).str("deep").u32(9);
  for (uint32_t i = 1; i < depth; ++i) b.u32(9).u64(1);
  return b.u32(0).u64(1).u8(7).u64(0).u64(0).out;
}

const std::string kRoom(4096, '\0');  // so that a bad count is caught as such, not as the end of the file

std::vector<Case> cases() {
  const uint64_t huge = ~uint64_t{0};
  return {
      // Not GGUF at all.
      {"Empty", "", {"corrupt_file: ", "test.gguf is not a GGUF file: it is empty"}},
      {"HalfMagic", "GG", {"corrupt_file: ", "truncated after 2 bytes"}},
      {"GitLfs",
       "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
       {"corrupt_file: ", "git lfs pull"}},
      {"Html", "\n<!DOCTYPE HTML><html>", {"corrupt_file: ", "HTML page"}},
      {"HtmlWithMark", "\xEF\xBB\xBF<html lang=en>", {"corrupt_file: ", "HTML page"}},
      {"Safetensors",
       Bytes().u64(64).raw("{\"__metadata__\":{}").raw(kRoom).out,
       {"unsupported: ", "safetensors"}},
      {"OldGgml", "lmgg\1\0\0\0", {"unsupported: ", "before GGUF"}},
      {"Zip", "PK\x03\x04zzzz", {"unsupported: ", "PyTorch"}},
      {"Gzip", "\x1F\x8B\x08\x01", {"unsupported: ", "compressed"}},
      {"Json", "{\"error\":\"no\"}", {"corrupt_file: ", "JSON"}},
      {"Zeros", std::string(100, '\0'), {"corrupt_file: ", "begins with zeros"}},
      {"Text", "he\x1bllo", {"corrupt_file: ", "begins with 'he\\x1bl' instead of 'GGUF'"}},
      // Versions.
      {"OnlyMagic", "GGUF", {"corrupt_file: ", "truncated", "version", "byte 4"}},
      {"Version0", Bytes().header(0, 0, 0).out, {"corrupt_file: ", "version", "at byte 4, is 0"}},
      {"Version1", Bytes().raw("GGUF").u32(1).u32(0).u32(0).out, {"unsupported: ", "version 1"}},
      {"Version4", Bytes().header(0, 0, 4).out, {"unsupported: ", "version 4", "Update moraine"}},
      {"BigEndian", Bytes().header(0, 0, 0x03000000).out, {"unsupported: ", "big-endian"}},
      // Counts.
      {"TensorCountHuge",
       Bytes().header(huge, 0).raw(kRoom).out,
       {"tensor count, at byte 8, is 18446744073709551615", "limit"}},
      {"TensorCountBeyondFile",
       Bytes().header(1000, 0).raw(kRoom).out,
       {"tensor count, at byte 8, is 1000", "truncated"}},
      {"EntryCountHuge", Bytes().header(0, huge).raw(kRoom).out, {"metadata count, at byte 16", "limit"}},
      {"EntryCountBeyondFile",
       Bytes().header(0, 1000).raw(kRoom).out,
       {"metadata count, at byte 16, is 1000", "truncated"}},
      // Metadata.
      {"KeyLengthHuge",
       Bytes().header(0, 1).u64(huge).raw(kRoom).out,
       {"length", "key of metadata entry 1 of 1", "at byte 24", "limit"}},
      {"KeyBeyondFile",
       Bytes().header(0, 1).u64(5000).raw(kRoom).out,
       {"truncated", "key of metadata entry 1 of 1", "needs 5000 bytes"}},
      {"KeyEmpty",
       Bytes().header(0, 1).str("").raw(kRoom).out,
       {"key of metadata entry 1 of 1, at byte 24, is empty"}},
      {"KeyTwice",
       Bytes().header(0, 2).kv_u32("k", 1).kv_u32("k", 2).out,
       {"metadata key 'k', at byte 41, repeats"}},
      {"KeyNotUtf8",
       Bytes().header(0, 1).str("k\xFF\x1b[0m").u32(99).u64(0).out,
       {"metadata key 'k\\xff\\x1b[0m'"}},
      {"TypeUnknown",
       Bytes().header(0, 1).str("k").u32(13).u64(0).out,
       {"type of metadata key 'k', at byte 33, is 13"}},
      {"BoolNot01",
       Bytes().header(0, 1).str("k").u32(7).u8(2).out,
       {"value of metadata key 'k', at byte 37", "byte 2"}},
      {"StringHuge",
       Bytes().header(0, 1).str("k").u32(8).u64(huge).raw(kRoom).out,
       {"length of the value of metadata key 'k', at byte 37", "limit"}},
      {"StringBeyondFile",
       Bytes().header(0, 1).str("k").u32(8).u64(5000).raw(kRoom).out,
       {"truncated", "value of metadata key 'k'", "5000"}},
      {"ArrayTypeUnknown",
       Bytes().header(0, 1).str("k").u32(9).u32(77).u64(0).out,
       {"array element type of metadata key 'k', at byte 37, is 77"}},
      {"ArrayHuge",
       Bytes().header(0, 1).str("k").u32(9).u32(0).u64(huge).raw(kRoom).out,
       {"array length of metadata key 'k', at byte 41", "limit"}},
      {"ArrayBeyondFile",
       Bytes().header(0, 1).str("k").u32(9).u32(12).u64(1000).raw(kRoom).out,
       {"array length of metadata key 'k', at byte 41, is 1000", "truncated"}},
      {"ArrayOfStringsBeyondFile",
       Bytes().header(0, 1).str("k").u32(9).u32(8).u64(1000).raw(kRoom).out,
       {"array length", "is 1000", "at most 512"}},
      {"ArrayElementBeyondFile",
       Bytes().header(0, 1).str("k").u32(9).u32(8).u64(1).u64(99).out,
       {"truncated", "array element of metadata key 'k'"}},
      {"ArrayBoolNot01",
       Bytes().header(0, 1).str("k").u32(9).u32(7).u64(2).u8(1).u8(9).out,
       {"at byte 50", "byte 9"}},
      {"ArraysTooDeep",
       nested_arrays(kMaxArrayDepth + 1),
       {"deep", "nests arrays deeper than the limit of 4"}},
      {"AlignmentOdd",
       Bytes().header(0, 1).kv_u32("general.alignment", 48).out,
       {"'general.alignment' (at byte 24) is 48", "power of two"}},
      {"AlignmentZero",
       Bytes().header(0, 1).kv_u32("general.alignment", 0).out,
       {"'general.alignment' (at byte 24) is 0"}},
      {"AlignmentHuge",
       Bytes().header(0, 1).kv_u32("general.alignment", 1u << 31).out,
       {"'general.alignment' (at byte 24) is 2147483648"}},
      {"AlignmentText",
       Bytes().header(0, 1).str("general.alignment").u32(8).str("32").out,
       {"has type string, expected an unsigned integer"}},
      // Tensors.
      {"NameHuge",
       Bytes().header(1, 0).u64(huge).raw(kRoom).out,
       {"name of tensor 1 of 1", "at byte 24", "limit"}},
      {"NameEmpty",
       Bytes().header(1, 0).tensor("", {1}, 0, 0).data(4).out,
       {"name of tensor 1 of 1, at byte 24, is empty"}},
      {"NameTwice",
       Bytes().header(2, 0).tensor("w", {1}, 0, 0).tensor("w", {1}, 0, 32).data(64).out,
       {"tensor 'w', at byte 57, repeats"}},
      {"FiveDims",
       Bytes().header(1, 0).tensor("w", {1, 1, 1, 1, 1}, 0, 0).data(4).out,
       {"number of dimensions of tensor 'w', at byte 33, is 5"}},
      {"ShapeZero",
       Bytes().header(1, 0).tensor("w", {4, 0}, 0, 0).data(4).out,
       {"shape of tensor 'w', at byte 37, is 0 in dimension 1"}},
      {"ShapeOverflows",
       Bytes().header(1, 0).tensor("w", {uint64_t{1} << 33, uint64_t{1} << 33}, 0, 0).data(4).out,
       {"shape of tensor 'w'", "overflows"}},
      {"ShapeNegative",
       Bytes().header(1, 0).tensor("w", {huge}, 0, 0).data(4).out,
       {"shape of tensor 'w'", "overflows"}},
      {"BytesOverflow",
       Bytes().header(1, 0).tensor("w", {uint64_t{1} << 62}, 0, 0).data(4).out,
       {"shape of tensor 'w'", "bytes overflow"}},
      {"RowNotWholeBlocks",
       Bytes().header(1, 0).tensor("w", {33, 32}, 8, 0).data(4096).out,
       {"rows of 33 values, but q8_0 packs 32"}},
      {"TypeNotSupported",
       Bytes().header(1, 0).tensor("w", {256}, 4, 0).data(256).out,
       {"unsupported: ", "'w'", "q4_2 (id 4, at byte 45)"}},
      {"TypeNobodyKnows",
       Bytes().header(1, 0).tensor("w", {256}, 1000, 0).data(256).out,
       {"unsupported: ", "unknown (id 1000"}},
      {"OffsetUnaligned",
       Bytes().header(1, 0).tensor("w", {1}, 0, 4).data(64).out,
       {"data offset of tensor 'w', at byte 49, is 4, not a multiple of the alignment 32"}},
      {"DataCutShort",
       Bytes().header(1, 0).tensor("w", {64}, 0, 0).data(255).out,
       {"truncated", "tensor 'w'", "256 bytes", "data at byte 64,", "need 320 bytes", "the file has 319"}},
      {"DataMissing",
       Bytes().header(1, 0).tensor("w", {64}, 0, 0).out,
       {"truncated", "tensor 'w'", "the file has 57"}},
      {"OffsetHuge",
       Bytes().header(1, 0).tensor("w", {1}, 0, huge - 31).data(64).out,
       {"truncated or damaged", "tensor 'w'", "data at byte 18446744073709551615,"}},
      {"Overlap",
       Bytes().header(2, 0).tensor("a", {16}, 0, 0).tensor("b", {8}, 0, 32).data(64).out,
       {"'a' (bytes 96 to 160)", "'b' (bytes 128 to 160, described at byte 57) overlap"}},
      {"SamePlace",
       Bytes().header(2, 0).tensor("a", {8}, 0, 32).tensor("b", {8}, 0, 32).data(64).out,
       {"overlap"}},
  };
}

class Malformed : public ::testing::TestWithParam<Case> {};

TEST_P(Malformed, IsRefusedWithItsCause) {
  const std::string error = error_of([&] { File::parse(as_bytes(GetParam().bytes), "test.gguf"); });
  for (const std::string& fragment : GetParam().expected) EXPECT_THAT(error, HasSubstr(fragment));
  EXPECT_THAT(error, HasSubstr("test.gguf"));
  EXPECT_THAT(error, AllOf(Not(HasSubstr("\x1b")), ::testing::EndsWith(".")));
}

INSTANTIATE_TEST_SUITE_P(Table, Malformed, ::testing::ValuesIn(cases()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(Hostile, ArraysAtTheDepthLimitAreRead) {
  EXPECT_EQ(error_of([] { File::parse(as_bytes(nested_arrays(kMaxArrayDepth)), "test.gguf"); }), "no error");
}

// A truncation at any byte before the end of the last tensor's data is an error; after it is padding.
TEST(Hostile, EveryTruncationIsAnError) {
  const std::string bytes = read_all(testdata("small.gguf"));
  const File whole = File::parse(as_bytes(bytes), "test.gguf");
  const TensorInfo& last = whole.tensors().back();
  const size_t end = last.offset + last.size_bytes;
  ASSERT_LT(end, bytes.size());
  for (size_t n = 0; n < bytes.size(); ++n) {
    // A copy of exactly n bytes, so that a sanitizer sees any read beyond it.
    const std::vector<char> cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n));
    const std::string error = error_of([&] { File::parse(std::as_bytes(std::span(cut)), "test.gguf"); });
    if (n > 0 && n < end)
      EXPECT_THAT(error, AllOf(StartsWith("corrupt_file: "), HasSubstr("truncated"))) << n;
    if (n == 0) EXPECT_THAT(error, HasSubstr("is empty"));
    if (n >= end) EXPECT_EQ(error, "no error") << n;
  }
}

// Whatever one byte becomes, parsing ends with a file or an Error.
TEST(Hostile, EveryByteChangedIsSurvived) {
  const std::string bytes = read_all(testdata("small.gguf"));
  size_t n_refused = 0;
  for (size_t i = 0; i < 832; ++i)  // the header; beyond lies tensor data, which is not parsed
    for (const int value : {0x00, 0x01, 0x7F, 0x80, 0xFF, bytes[i] ^ 0x01, bytes[i] ^ 0x08}) {
      std::string changed = bytes;
      changed[i] = static_cast<char>(value);
      n_refused += error_of([&] { File::parse(as_bytes(changed), "test.gguf"); }) != "no error";
    }
  EXPECT_GT(n_refused, 500u);
}

// Many small arrays claim much memory from few bytes each: the total is bounded, not each alone.
TEST(Hostile, TheMemoryOfNestedArraysIsBounded) {
  Bytes b;
  const uint64_t n = kMaxMetadataBytes / sizeof(Array) + 1;
  b.header(0, 1).str("k").u32(9).u32(9).u64(n);
  b.out.resize(b.out.size() + n * 12);  // n times an empty array of u8
  EXPECT_THAT(error_of([&] { File::parse(as_bytes(b.out), "test.gguf"); }),
              HasSubstr("brings the metadata above the limit of 536870912 bytes"));
}

TEST(Hostile, PathsThatAreNotFiles) {
  const TempDir dir;
  EXPECT_THAT(error_of([&] { File::open(dir / "none.gguf"); }),
              AllOf(StartsWith("not_found: "), HasSubstr("none.gguf")));
  EXPECT_THAT(error_of([&] { File::open(dir / ""); }),
              AllOf(StartsWith("invalid_argument: "), HasSubstr("directory")));
  ASSERT_EQ(::mkfifo((dir / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(error_of([&] { File::open(dir / "pipe"); }),
              AllOf(StartsWith("invalid_argument: "), HasSubstr("not a regular file")));
}

TEST(Hostile, PathsAreEscapedInMessages) {
  const TempDir dir;
  write_all(dir / "a\x1b[31m.gguf", "");
  EXPECT_THAT(error_of([&] { File::open(dir / "a\x1b[31m.gguf"); }),
              HasSubstr("a\\x1b[31m.gguf is not a GGUF file"));
}

}  // namespace
}  // namespace moraine::gguf
