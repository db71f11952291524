#include "backend/cpu/ops_bench.h"

#include <moraine/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <numeric>

#include "backend/cpu/backend.h"
#include "base/system_memory.h"
#include "base/thread_pool.h"
#include "base/usable_cores.h"

namespace moraine::cpu {
namespace {

constexpr double kSecondsEach = 0.05;     // of one measurement
constexpr int kK = 2048;                  // values in a weight row
constexpr int64_t kCacheBytes = 4 << 20;  // of weights that many rows share: those of a stage's tasks
constexpr int kRowTile = 128;             // activation rows of one task, as in stage_matmul.cpp
constexpr int kHeadDim = 128;
constexpr int64_t kPiece = 1 << 20;  // that one task of the read probe reads
constexpr int64_t kLeastStream = 256ll << 20, kMostStream = 1ll << 30;

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v.empty() ? 0 : v[v.size() / 2];
}

// Work that all threads share, and what one run of it comes to.
struct Work {
  std::function<void()> run;
  double operations = 0, bytes = 0;
};

class Bench {
 public:
  Bench(const OpsBenchOptions& o, const std::function<bool(const std::string&)>& progress)
      : options_(o),
        progress_(progress),
        pool_(o.n_threads > 0 ? o.n_threads : usable_cores()),
        stream_(stream_bytes(o)) {
    report_.n_threads = pool_.size();
    report_.stream_bytes = static_cast<int64_t>(stream_.size());
    // Ordinary numbers in every format: as a half 1.06, as a float 0.01.
    std::fill_n(stream_.data(), stream_.size(), uint8_t{0x3c});
  }

  OpsBenchReport run() {
    std::vector<std::string> isas = available_isas();
    if (!options_.isa.empty()) select_kernels(options_.isa), isas = {options_.isa};
    for (const std::string& isa : isas) {
      const Kernels& k = select_kernels(isa);
      if (k.probes.int8 == nullptr) continue;  // of no interest: the scalar kernels are a specification
      machine_ = {isa, {}, {}, {}};
      products(k);
      attention(k);
      recurrence(k);
      report_.machine.push_back(
          {isa, median(machine_.read), median(machine_.int8), median(machine_.float32)});
    }
    return std::move(report_);
  }

 private:
  static uint64_t stream_bytes(const OpsBenchOptions& o) {
    if (o.stream_bytes > 0) return static_cast<uint64_t>(o.stream_bytes);
    const auto quarter = static_cast<int64_t>(available_memory() / 4);
    return static_cast<uint64_t>(std::clamp(quarter, kLeastStream, kMostStream));
  }

  static double seconds_of(const std::function<void()>& run, int times) {
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < times; ++i) run();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }
  static int times_of(const std::function<void()>& run) {
    const double once = std::max(1e-7, seconds_of(run, 1));
    return std::max(1, static_cast<int>(kSecondsEach / once));
  }

  // The op and its yardstick in turn. `unit`: operations or bytes of a run of the work that the probe counts.
  void measure(const Kernels& k, const std::string& op, int rows, const Work& work, const char* probe,
               std::vector<double>& yardstick) {
    const std::string name = fmt::format("{} {}, {} row{}", k.isa, op, rows, rows == 1 ? "" : "s");
    if (op.find(options_.filter) == std::string::npos) return;
    if (!progress_(name)) throw Error(ErrorCode::kCancelled, "Cancelled.");
    const bool reads = probe == std::string_view("read");
    const Work most = reads ? read_probe(k) : compute_probe(k, probe == std::string_view("int8"));
    const int times = times_of(work.run), most_times = times_of(most.run);
    std::vector<double> speed, share;
    for (int i = 0; i < options_.rounds; ++i) {
      const double reference =
          (reads ? most.bytes : most.operations) * most_times / seconds_of(most.run, most_times);
      const double runs_per_second = times / seconds_of(work.run, times);
      yardstick.push_back(1e-9 * reference);
      speed.push_back(runs_per_second);
      share.push_back((reads ? work.bytes : work.operations) * runs_per_second / reference);
    }
    const double s = median(speed);
    report_.ops.push_back({k.isa, op, rows, 1e-9 * work.operations * s, reads ? 1e-9 * work.bytes * s : 0,
                           median(share), probe});
  }

  Work read_probe(const Kernels& k) {
    const auto n = static_cast<int64_t>(stream_.size());
    return {[this, &k, n] {
              pool_.run(static_cast<int>((n + kPiece - 1) / kPiece), [&](int task, int) {
                k.probes.read(stream_.data() + task * kPiece, std::min(kPiece, n - task * kPiece));
              });
            },
            0, static_cast<double>(n)};
  }
  Work compute_probe(const Kernels& k, bool int8) {
    constexpr int64_t kRepetitions = 1000;
    const auto probe = int8 ? k.probes.int8 : k.probes.float32;
    const int tasks = 8 * pool_.size();
    return {[this, probe, tasks] { pool_.run(tasks, [&](int, int) { probe(kRepetitions); }); },
            static_cast<double>(probe(kRepetitions)) * tasks, 0};
  }

  void products(const Kernels& k) {
    for (int t = 0; t < kNumTypes; ++t) {
      const auto type = static_cast<DType>(t);
      const Layout* layout = find_layout(type);
      if (k.matmul[t] == nullptr || layout == nullptr) continue;
      const std::string name = fmt::format("matmul {}", info(type).name);
      const bool is_float = layout->scale_width == 0;
      auto& peak = is_float ? machine_.float32 : machine_.int8;
      measure(k, name, 1, product(k, type, 1, static_cast<int64_t>(stream_.size())), "read", machine_.read);
      for (const int rows : {8, 32, 512})
        measure(k, name, rows, product(k, type, rows, kCacheBytes), is_float ? "float32" : "int8", peak);
    }
  }

  // Rows of activations times as many weights as `bytes` hold, cut into tasks as a stage cuts them.
  Work product(const Kernels& k, DType type, int rows, int64_t bytes) {
    const int64_t group_bytes = kGroupRows * static_cast<int64_t>(dtype_bytes(type, kK));
    const auto groups = static_cast<int>(std::max<int64_t>(2, bytes / group_bytes / 2 * 2));
    const uint32_t width = std::max<uint32_t>(32, find_layout(type)->scale_width);
    struct Buffers {
      std::vector<int8_t> q;
      std::vector<int16_t> sums;
      std::vector<float> d, x, y;
    };
    auto b = std::make_shared<Buffers>();
    const auto n = static_cast<size_t>(rows) * kK;
    b->q.assign(n, 37), b->sums.assign(n / 16, 16 * 37), b->d.assign(n / width, 0.01f), b->x.assign(n, 0.5f);
    b->y.resize(static_cast<size_t>(rows) * groups * kGroupRows);
    MatmulArgs a = {};
    a.group_bytes = group_bytes;
    a.k = kK;
    a.x = {b->q.data(), b->d.data(), b->sums.data(), kK, kK / width, kK / 16};
    a.xf_stride = kK;
    a.y_stride = int64_t{groups} * kGroupRows;
    const MatmulFn fn = k.matmul[static_cast<int>(type)];
    const int row_tiles = (rows + kRowTile - 1) / kRowTile;
    const int chunk = std::max(2, std::min(64, groups * row_tiles / (8 * pool_.size())) / 2 * 2);
    const int chunks = (groups + chunk - 1) / chunk;
    const auto run = [=, this] {
      pool_.run(chunks * row_tiles, [&](int task, int) {
        MatmulArgs part = a;
        const int g = task / row_tiles * chunk, r = task % row_tiles * kRowTile;
        part.w = stream_.data() + g * group_bytes;
        part.n_groups = std::min(chunk, groups - g);
        part.n_rows = std::min(kRowTile, rows - r);
        part.x.q += int64_t{r} * kK;
        part.x.d += r * part.x.d_stride;
        part.x.sums += r * part.x.s_stride;
        part.xf = b->x.data() + int64_t{r} * kK;
        part.y = b->y.data() + r * a.y_stride + int64_t{g} * kGroupRows;
        fn(part);
      });
    };
    const double operations = 2.0 * rows * groups * kGroupRows * kK;
    return {run, operations, static_cast<double>(groups) * static_cast<double>(group_bytes)};
  }

  // A partition of keys of one KV head, for each thread.
  void attention(const Kernels& k) {
    constexpr std::pair<int, const char*> kFormats[] = {
        {kKvF16, "f16"}, {kKvQ8_0, "q8_0"}, {kKvQ4_0, "q4_0"}};
    for (const auto& [format, name] : kFormats)
      for (const int n_q : {1, kMaxQueries}) {
        if (k.attend[format][format] == nullptr) continue;
        const int tasks = 8 * pool_.size();
        const auto run = [=, this, fn = k.attend[format][format]] {
          pool_.run(tasks, [&](int task, int) {
            const uint8_t* page = stream_.data() + (int64_t{task} << 20);
            const uint8_t *keys[2] = {page, page + (128 << 10)},
                          *values[2] = {page + (256 << 10), page + (384 << 10)};
            std::vector<float> q(kHeadDim, 0.01f), o(static_cast<size_t>(n_q) * kHeadDim), m(n_q, -1e30f),
                l(n_q), scratch(attend_scratch_floats(kHeadDim));
            const std::vector<int32_t> lo(n_q, 0), hi(n_q, kPartition);
            const std::vector<const float*> queries(n_q, q.data());
            std::vector<float*> outs;
            for (int i = 0; i < n_q; ++i) outs.push_back(o.data() + i * kHeadDim);
            const AttendArgs a = {kHeadDim, n_q,         queries.data(), lo.data(), hi.data(),
                                  0,        kPartition,  keys,           values,    m.data(),
                                  l.data(), outs.data(), scratch.data()};
            for (int i = 0; i < 8; ++i) fn(a);
          });
        };
        measure(k, fmt::format("attention {}", name), n_q,
                {run, 8.0 * tasks * 4 * kPartition * kHeadDim * n_q, 0}, "float32", machine_.float32);
      }
  }

  // The delta rule over a tile of a head's state, for each thread.
  void recurrence(const Kernels& k) {
    if (k.delta_tile == nullptr) return;
    for (const int tokens : {1, 64}) {
      const int tasks = 8 * pool_.size();
      const auto run = [=, this, fn = k.delta_tile] {
        pool_.run(tasks, [&](int, int) {
          alignas(64) float s[kHeadDim * kDeltaTile] = {};
          const std::vector<float> qk(static_cast<size_t>(tokens) * kHeadDim, 0.01f), decay(tokens, 0.9f);
          std::vector<float> o(static_cast<size_t>(tokens) * kDeltaTile);
          const DeltaArgs a = {s,         kHeadDim,   tokens,       qk.data(),    qk.data(), kHeadDim,
                               qk.data(), kDeltaTile, decay.data(), decay.data(), o.data(),  kDeltaTile};
          for (int i = 0; i < 64; ++i) fn(a);
        });
      };
      measure(k, "gated_delta_net", tokens, {run, 64.0 * tasks * tokens * 7 * kHeadDim * kDeltaTile, 0},
              "float32", machine_.float32);
    }
  }

  struct Samples {
    std::string isa;
    std::vector<double> read, int8, float32;
  };
  const OpsBenchOptions& options_;
  const std::function<bool(const std::string&)>& progress_;
  ThreadPool pool_;
  Mapping stream_;
  Samples machine_;
  OpsBenchReport report_;
};

}  // namespace

OpsBenchReport bench_ops(const OpsBenchOptions& options,
                         const std::function<bool(const std::string&)>& progress) {
  return Bench(options, progress).run();
}

}  // namespace moraine::cpu
