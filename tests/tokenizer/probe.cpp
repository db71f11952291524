// Tokenizes for the Python tests: reads requests from standard input, writes answers to standard
// output, both binary and little-endian, until the input ends.
//   tokenizer_probe MODEL.gguf
//   request:  u32 op, u32 size, then size bytes   (op bits: 1 add_special, 2 parse_special; 16 decode;
//             32 decode through the stream decoder; with 16 and 32 the bytes are i32 ids, 64 shows control)
//   answer:   u32 size, u64 nanoseconds, then size bytes (i32 ids, or text)
#include <moraine/error.h>
#include <moraine/tokenizer.h>

#include <chrono>
#include <cstdio>
#include <cstring>

#include "gguf/reader.h"
#include "tokenizer/load.h"

using namespace moraine;

namespace {

std::string answer(const std::shared_ptr<const Tokenizer>& tokenizer, uint32_t op, const std::string& bytes) {
  if (op & (16 | 32)) {
    std::vector<TokenId> ids(bytes.size() / sizeof(TokenId));
    std::memcpy(ids.data(), bytes.data(), ids.size() * sizeof(TokenId));
    const DecodeOptions options{.show_control = (op & 64) != 0};
    if (op & 16) return tokenizer->decode(ids, options);
    StreamDecoder decoder(tokenizer, options);
    std::string text;
    for (const TokenId id : ids) text += decoder.push(id);
    return text + decoder.flush();
  }
  const std::vector<TokenId> ids = tokenizer->encode(bytes, {(op & 1) != 0, (op & 2) != 0});
  return std::string(reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof(TokenId));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return std::fprintf(stderr, "usage: tokenizer_probe MODEL.gguf\n"), 2;
  try {
    const auto begin = std::chrono::steady_clock::now();
    const gguf::File file = gguf::File::open(argv[1]);
    const auto opened = std::chrono::steady_clock::now();
    const auto tokenizer = load_tokenizer(file.metadata());
    const auto ms = [](auto d) { return std::chrono::duration<double, std::milli>(d).count(); };
    std::fprintf(stderr, "opened in %.0f ms, tokenizer built in %.0f ms\n", ms(opened - begin),
                 ms(std::chrono::steady_clock::now() - opened));
    uint32_t head[2];
    while (std::fread(head, sizeof head, 1, stdin) == 1) {
      std::string bytes(head[1], '\0');
      if (head[1] != 0 && std::fread(bytes.data(), head[1], 1, stdin) != 1) return 2;
      const auto start = std::chrono::steady_clock::now();
      const std::string reply = answer(tokenizer, head[0], bytes);
      const uint64_t ns = std::chrono::nanoseconds(std::chrono::steady_clock::now() - start).count();
      const auto size = static_cast<uint32_t>(reply.size());
      std::fwrite(&size, sizeof size, 1, stdout);
      std::fwrite(&ns, sizeof ns, 1, stdout);
      std::fwrite(reply.data(), 1, reply.size(), stdout);
      std::fflush(stdout);
    }
  } catch (const Error& e) {
    return std::fprintf(stderr, "%s\n", e.what()), 1;
  }
}
