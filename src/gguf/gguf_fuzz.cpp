// Any bytes end in a File or in a moraine::Error: no crash, no other exception, no allocation out of
// proportion. Of a file that parses, the reader's promises are checked, everything in it is shown, and
// the writer's copy of it must read back the same.
#include <moraine/error.h>

#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/check.h"
#include "gguf/reader.h"
#include "gguf/writer.h"

namespace {

using namespace moraine::gguf;

std::optional<File> parse(std::span<const std::byte> bytes) {
  try {
    return File::parse(bytes, "fuzz");
  } catch (const moraine::Error& e) {
    MORAINE_CHECK(std::strlen(e.what()) > 0);
    MORAINE_CHECK(e.code() == moraine::ErrorCode::kCorruptFile ||
                  e.code() == moraine::ErrorCode::kUnsupported);
    return std::nullopt;
  }
}

template <class F>
void may_refuse(F&& f) {
  try {
    f();
  } catch (const moraine::Error&) {
  }
}

void check_tensors(const File& file) {
  uint64_t sum = 0;
  for (const TensorInfo& t : file.tensors()) {
    MORAINE_CHECK(t.offset <= file.size_bytes() && t.size_bytes <= file.size_bytes() - t.offset);
    MORAINE_CHECK(t.offset >= file.shards()[0].data_offset && t.offset % file.alignment() == 0);
    MORAINE_CHECK(t.size_bytes == t.row_bytes() * t.n_rows());
    MORAINE_CHECK(file.find_tensor(t.name) == &t);
    MORAINE_CHECK(!shape_string(t).empty());
    sum += t.size_bytes;
  }
  MORAINE_CHECK(sum <= file.size_bytes());  // none overlap
}

void read_every_way(const Metadata& m) {
  for (const MetadataEntry& e : m.entries()) {
    MORAINE_CHECK(m.find(e.key) == &e.value);
    MORAINE_CHECK(to_display_string(e.value).size() < 4096);
    may_refuse([&] { m.get_u32(e.key); });
    may_refuse([&] { m.get_i32(e.key); });
    may_refuse([&] { m.get_f32(e.key); });
    may_refuse([&] { m.get_bool(e.key); });
    may_refuse([&] { m.get_string(e.key); });
    may_refuse([&] { m.get_strings(e.key); });
    may_refuse([&] { m.get_numbers<uint32_t>(e.key); });
    may_refuse([&] { m.get_numbers<float>(e.key); });
    may_refuse([&] { m.get_span<int32_t>(e.key); });
    may_refuse([&] { m.get_u32_each(e.key, 4); });
  }
}

std::vector<std::byte> rewrite(const File& file, std::span<const std::byte> bytes) {
  Writer w(file.metadata());
  for (const TensorInfo& t : file.tensors())
    w.add_tensor(t.name, t.dtype, std::span(t.shape).first(t.n_dims), bytes.subspan(t.offset, t.size_bytes));
  return w.to_bytes();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const std::optional<File> file = parse(bytes);
  if (!file) return 0;
  check_tensors(*file);
  read_every_way(file->metadata());
  const std::vector<std::byte> copy = rewrite(*file, bytes);
  const std::optional<File> again = parse(copy);
  MORAINE_CHECK(again.has_value());
  MORAINE_CHECK(rewrite(*again, copy) == copy);
  return 0;
}
