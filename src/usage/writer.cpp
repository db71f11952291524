#include "usage/writer.h"

#include <fmt/format.h>
#include <moraine/error.h>

#include <iterator>
#include <optional>
#include <utility>
#include <vector>

#include "usage/energy.h"
#include "usage/store.h"

namespace moraine::usage {
namespace {

// Energy counters are read so often at least: what is idle before a request must not count much for it, and
// no counter wraps round unseen.
constexpr std::chrono::seconds kEnergyEvery{60};

int64_t unix_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace

Writer::Writer(WriterOptions options) : options_(std::move(options)), thread_([this] { run(); }) {}

Writer::~Writer() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  news_.notify_all();
  thread_.join();
}

void Writer::add(Record record) noexcept {
  const std::lock_guard lock(mutex_);
  try {
    if (waiting_.size() < options_.max_waiting)
      waiting_.push_back(std::move(record));
    else
      ++lost_;
  } catch (...) {  // no memory
    ++lost_;
  }
  news_.notify_all();
}

void Writer::flush() {
  std::unique_lock lock(mutex_);
  settled_.wait(lock, [&] { return failed_ || (waiting_.empty() && !writing_); });
}

uint64_t Writer::lost() const {
  const std::lock_guard lock(mutex_);
  return lost_;
}

void Writer::run() {
  std::unique_lock lock(mutex_);
  EnergyCounter counter(options_.energy_root);
  counter.joules_since_last();
  auto counted = std::chrono::steady_clock::now();
  std::optional<Store> store;
  std::vector<Energy> energy;
  while (true) {
    if (failed_)
      news_.wait_for(lock, options_.retry_after, [&] { return stop_; });
    else
      news_.wait_for(lock, kEnergyEvery, [&] { return stop_ || !waiting_.empty(); });
    std::vector<Record> batch(std::make_move_iterator(waiting_.begin()),
                              std::make_move_iterator(waiting_.end()));
    waiting_.clear();
    const bool last = stop_;
    writing_ = true;
    lock.unlock();

    const auto now = std::chrono::steady_clock::now();
    const auto joules = counter.joules_since_last();
    const double seconds = std::chrono::duration<double>(now - std::exchange(counted, now)).count();
    bool good = true;
    if (!batch.empty()) {
      if (joules) energy.push_back({unix_ms(), *joules, seconds});
      std::string problem;
      try {
        if (!store) store.emplace(Store::open(options_.path, options_.busy_timeout_ms));
        store->add(batch, energy);
        energy.clear();
      } catch (const std::exception& e) {
        good = false;
        problem = e.what();
        store.reset();
        if (energy.size() > 100) energy.clear();
      }
      if (problem != told_ && options_.on_notice)
        options_.on_notice(good ? fmt::format("Requests are counted again in {}.", options_.path)
                                : "Requests are not counted for now, and answered all the same: " + problem);
      told_ = problem;
    }

    lock.lock();
    writing_ = false;
    failed_ = !good;
    if (!good) {  // the oldest first, as many as there is room for
      for (size_t i = batch.size(); i-- > 0;) {
        if (waiting_.size() >= options_.max_waiting)
          ++lost_;
        else
          waiting_.push_front(std::move(batch[i]));
      }
    }
    settled_.notify_all();
    if (last && (!good || waiting_.empty())) return;
  }
}

}  // namespace moraine::usage
