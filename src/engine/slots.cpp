#include "engine/slots.h"

#include <fmt/format.h>

#include <optional>

#include "engine/trouble.h"

namespace moraine::engine {

Slots::Slot& Slots::at(int32_t slot) {
  const auto n = static_cast<int32_t>(slots_.size());
  if (slot < 0 || slot >= n)
    throw Error(ErrorCode::kNotFound, fmt::format("There is no slot {}: they go from 0 to {}.", slot, n - 1));
  return slots_[slot];
}

SlotReport Slots::save(int32_t slot, uint64_t scope, const std::string& path, const Layout& layout) {
  std::optional<cache::SlotFile> file;
  const auto let_go = [&] { file.reset(); };  // its pages are the engine's thread's to free
  on_engine_thread_([&] {
    const Slot& s = at(slot);
    file.emplace(pool_, tree_, layout(), scope);
    if (s.scope == scope && !s.tokens.empty() && file->hold(s.tokens)) return;
    file.reset();
    throw Error(ErrorCode::kNotFound, fmt::format("Slot {} holds no conversation of yours.", slot));
  });
  SlotReport report{static_cast<int32_t>(file->tokens().size()), 0};
  const auto trouble = trouble_of([&] { report.n_bytes = file->write(path); });
  on_engine_thread_(let_go);
  if (trouble) throw *trouble;
  return report;
}

SlotReport Slots::restore(int32_t slot, uint64_t scope, const std::string& path, const Layout& layout,
                          int32_t n_ctx) {
  std::optional<cache::SlotFile> file;
  on_engine_thread_([&] {
    at(slot);
    file.emplace(pool_, tree_, layout(), scope);
  });
  file->open(path, n_ctx);
  SlotReport report{static_cast<int32_t>(file->tokens().size()), 0};
  const auto trouble = trouble_of([&] {
    on_engine_thread_([&] { file->make_room(); });
    report.n_bytes = file->read();
    on_engine_thread_([&] {
      file->join();
      at(slot) = {scope, file->tokens()};
    });
  });
  on_engine_thread_([&] { file.reset(); });
  if (trouble) throw *trouble;
  return report;
}

SlotReport Slots::erase(int32_t slot, uint64_t scope) {
  SlotReport report;
  on_engine_thread_([&] {
    Slot& s = at(slot);
    if (s.scope != scope) return;
    tree_.forget(scope, s.tokens);
    report.n_tokens = static_cast<int32_t>(s.tokens.size());
    s = {};
  });
  return report;
}

}  // namespace moraine::engine
