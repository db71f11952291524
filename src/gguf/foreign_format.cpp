// Files that are not GGUF at all: tells the common mistakes apart, each with its own remedy.
#include <fmt/format.h>
#include <moraine/error.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <string>
#include <string_view>

#include "gguf/parser.h"

namespace moraine::gguf {
namespace {

constexpr uint64_t kLookBytes = 512;

bool begins_with_tag(std::string_view text, std::string_view tag) {
  return text.size() >= tag.size() && std::equal(tag.begin(), tag.end(), text.begin(), [](char a, char b) {
           return a == std::tolower(static_cast<unsigned char>(b));
         });
}

bool is_html(std::string_view head) {
  if (head.starts_with("\xEF\xBB\xBF")) head.remove_prefix(3);
  while (!head.empty() && std::isspace(static_cast<unsigned char>(head.front()))) head.remove_prefix(1);
  return begins_with_tag(head, "<!doctype html") || begins_with_tag(head, "<html");
}

// safetensors: the length of a JSON header as 64 bits, then the header, which begins with '{'.
bool is_safetensors(std::string_view head, uint64_t file_bytes) {
  if (head.size() < 9 || head[8] != '{') return false;
  uint64_t length = 0;
  std::memcpy(&length, head.data(), sizeof length);
  return length >= 2 && length <= file_bytes - 8;
}

struct Finding {
  ErrorCode code;
  std::string what;
};

Finding recognise(std::string_view head, uint64_t file_bytes) {
  using enum ErrorCode;
  if (file_bytes == 0) return {kCorruptFile, "it is empty. Download or copy it again"};
  if (std::string_view("GGUF").starts_with(head))
    return {kCorruptFile,
            fmt::format("it is truncated after {} bytes. Download or copy it again", file_bytes)};
  if (head.starts_with("version https://git-lfs"))
    return {kCorruptFile,
            "it is a Git LFS pointer, a short text that stands for the real file. Run `git lfs pull` in the "
            "repository, or download the file itself"};
  if (is_html(head))
    return {kCorruptFile,
            "it is an HTML page, so the download saved a web page instead of the file. Use the address "
            "behind the "
            "page's download button"};
  if (is_safetensors(head, file_bytes))
    return {kUnsupported,
            "it is a safetensors file. Download the model's GGUF version, or convert it with llama.cpp's "
            "convert_hf_to_gguf.py"};
  for (const std::string_view old : {"lmgg", "fmgg", "tjgg", "algg"})
    if (head.starts_with(old))
      return {kUnsupported,
              "it is a GGML file from before GGUF (2023). Download a GGUF version of the model"};
  if (head.starts_with("PK\x03\x04") || head.starts_with("\x80\x02"))
    return {kUnsupported,
            "it is a ZIP archive or a PyTorch checkpoint. Unpack it, or download the model's GGUF version"};
  if (head.starts_with("\x1F\x8B") || head.starts_with("\x28\xB5\x2F\xFD") ||
      head.starts_with("\xFD"
                       "7zXZ") ||
      head.starts_with("BZh"))
    return {kUnsupported, "it is a compressed file. Unpack it first"};
  if (head.front() == '{' || head.front() == '[')
    return {kCorruptFile,
            "it looks like JSON text: a configuration file, or a server's error answer saved as the model. "
            "Give the "
            ".gguf file"};
  if (std::all_of(head.begin(), head.end(), [](char c) { return c == '\0'; }))
    return {kCorruptFile,
            "it begins with zeros: a download that reserved its space and never finished. Download it again"};
  return {kCorruptFile, fmt::format("it begins with '{}' instead of 'GGUF'. Give the path of a .gguf file",
                                    escape_text(head.substr(0, 4)))};
}

}  // namespace

void throw_foreign_format(const ByteSource& source, const std::string& name) {
  std::string head(std::min(kLookBytes, source.size_bytes()), '\0');
  source.read_at(0, std::as_writable_bytes(std::span(head)));
  const Finding finding = recognise(head, source.size_bytes());
  throw Error(finding.code, fmt::format("{} is not a GGUF file: {}.", name, finding.what));
}

}  // namespace moraine::gguf
