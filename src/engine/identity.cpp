#include "engine/identity.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>

#include "base/xxh64.h"
#include "gguf/byte_source.h"

namespace moraine::engine {
namespace {

constexpr uint32_t kVersion = 1;         // of what is hashed here
constexpr int32_t kProbeRows = 8;        // more than one, so that attention and the recurrence look back
constexpr size_t kPieceBytes = 1 << 20;  // of the header
constexpr size_t kMostNameChars = 80;

void add_text(Xxh64& sum, const std::string& text) {
  sum.add_value<uint64_t>(text.size());
  sum.add(std::as_bytes(std::span(text)));
}

void add_files(Xxh64& sum, const gguf::File& file) {
  std::vector<std::byte> piece(kPieceBytes);
  for (const gguf::Shard& shard : file.shards()) {
    sum.add_value<uint64_t>(shard.size_bytes);
    sum.add_value<int64_t>(shard.identity.modified_ns);
    const gguf::FileSource source(shard.path);
    for (uint64_t at = 0; at < shard.data_offset; at += piece.size()) {
      const auto part = std::span(piece).first(std::min<uint64_t>(piece.size(), shard.data_offset - at));
      source.read_at(at, part);
      sum.add(part);
    }
  }
}

Error device_failed() {
  return Error(ErrorCode::kDeviceLost,
               "The device failed in a first step; prompts are remembered in memory alone.");
}

void add_probe(Xxh64& sum, Prepared& m, int32_t max_rows) {
  plan::Backend& backend = *m.backend;
  struct Memory {
    plan::Backend& backend;
    plan::PageId page = backend.allocate_page();
    plan::StateId state = backend.state_bytes() > 0 ? backend.allocate_state() : -1;
    ~Memory() {
      backend.free_page(page);
      if (state >= 0) backend.free_state(state);
    }
  } memory{backend};
  const plan::Contents page = backend.page_contents(memory.page);
  const plan::Contents state = memory.state >= 0 ? backend.state_contents(memory.state) : plan::Contents{};
  if (backend.numerics_id().empty() || page.size != backend.page_bytes() ||
      state.size != backend.state_bytes())
    throw Error(ErrorCode::kUnsupported,
                "What this device computes cannot be kept on disk: prompts are remembered in memory alone.");
  std::array<TokenId, kProbeRows> tokens{};
  std::array<int32_t, kProbeRows> positions{}, sequences{};
  const int32_t n_vocab = m.model->n_vocab();
  for (int32_t i = 0; i < kProbeRows; ++i) tokens[i] = (i * 7919 + 1) % n_vocab, positions[i] = i;
  std::vector<float> logits(plan::row_stride(n_vocab));
  const std::span<const plan::PageId> pages(&memory.page, 1);
  const int32_t at_once = std::min(kProbeRows, max_rows);
  for (int32_t i = 0; i < kProbeRows; i += at_once) {
    const int32_t n = std::min(at_once, kProbeRows - i), output = n - 1;
    plan::Step step{std::span(tokens).subspan(i, n),
                    std::span(positions).subspan(i, n),
                    std::span(sequences).first(n),
                    {&output, 1},
                    {&pages, 1}};
    if (memory.state >= 0) step.states = {&memory.state, 1};
    if (m.executable->submit(step, logits.data(), static_cast<int64_t>(logits.size())) != plan::Status::kOk)
      throw device_failed();
  }
  sum.add(std::as_bytes(std::span(logits).first(n_vocab)));
  std::vector<uint8_t> bytes;
  for (const plan::Contents* contents : {&page, &state}) {
    bytes.resize(contents->size);
    if (contents->size > 0 && !contents->read(0, bytes)) throw device_failed();
    sum.add(std::as_bytes(std::span(bytes)));
  }
}

}  // namespace

ModelIdentity identify(Prepared& m, int32_t max_rows) {
  Xxh64 sum(kVersion);
  add_files(sum, m.file);
  add_text(sum, m.backend->numerics_id());
  add_probe(sum, m, max_rows);
  ModelIdentity id;
  id.hash = sum.sum();
  std::string name =
      std::filesystem::path(m.file.shards().front().path).stem().string().substr(0, kMostNameChars);
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '_' && c != '.') c = '_';
  if (name.empty() || name.front() == '.') name.insert(name.begin(), '_');
  id.folder = fmt::format("{}-{:016x}", name, id.hash);
  return id;
}

}  // namespace moraine::engine
