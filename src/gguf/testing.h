// For the tests of this folder alone: committed data, temporary folders, a builder of raw bytes that
// is independent of the writer, and a matcher for errors.
#pragma once

#include <gmock/gmock.h>
#include <moraine/error.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <string_view>

namespace moraine::gguf::testing {

inline std::filesystem::path testdata(std::string_view name) {
  const char* root = std::getenv("MORAINE_SOURCE_DIR");
  return std::filesystem::path(root != nullptr ? root : ".") / "src/gguf/testdata" / name;
}

inline std::string read_all(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

inline void write_all(const std::filesystem::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

inline std::span<const std::byte> as_bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

class TempDir {
 public:
  TempDir() {
    std::string pattern = (std::filesystem::temp_directory_path() / "moraine-gguf-XXXXXX").native();
    path_ = mkdtemp(pattern.data());
  }
  ~TempDir() { std::filesystem::remove_all(path_); }
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

// A GGUF file by hand, field after field.
struct Bytes {
  std::string out;
  template <class T>
  Bytes& num(T v) {
    out.append(reinterpret_cast<const char*>(&v), sizeof v);
    return *this;
  }
  Bytes& u8(uint8_t v) { return num(v); }
  Bytes& u32(uint32_t v) { return num(v); }
  Bytes& u64(uint64_t v) { return num(v); }
  Bytes& raw(std::string_view s) {
    out += s;
    return *this;
  }
  Bytes& str(std::string_view s) { return u64(s.size()).raw(s); }
  Bytes& header(uint64_t n_tensors, uint64_t n_entries, uint32_t version = 3) {
    return raw("GGUF").u32(version).u64(n_tensors).u64(n_entries);
  }
  Bytes& kv_u32(std::string_view key, uint32_t v) { return str(key).u32(4).u32(v); }
  Bytes& tensor(std::string_view name, std::initializer_list<uint64_t> shape, uint32_t type,
                uint64_t offset) {
    str(name).u32(static_cast<uint32_t>(shape.size()));
    for (const uint64_t n : shape) u64(n);
    return u32(type).u64(offset);
  }
  Bytes& data(size_t n, size_t alignment = 32) {
    out.resize((out.size() + alignment - 1) / alignment * alignment);
    out.append(n, '\1');
    return *this;
  }
};

// Runs `f` and gives the Error's "code: message", or "no error".
template <class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return std::string(to_string(e.code())) + ": " + e.what();
  }
  return "no error";
}

}  // namespace moraine::gguf::testing
