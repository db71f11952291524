// Speed of the matmul and attention kernels on one core. GOPS counts a multiply-add as two; GB/s counts
// weight bytes (matmul) or KV bytes (attention). Peaks of a machine: tools/roofline.c.
//   kernels_bench --benchmark_filter='q4_1.*rows:1/' --benchmark_repetitions=5
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/layout.h"
#include "base/cpu_features.h"

namespace moraine::cpu {
namespace {

// Weights of about `bytes`: 1 MB stays in the second-level cache, 256 MB in none.
void matmul(benchmark::State& state, const Kernels* kernels, DType type, int k, int n_rows, int64_t bytes) {
  const int64_t group_bytes = 8 * static_cast<int64_t>(dtype_bytes(type, k));
  const int n_groups = static_cast<int>(bytes / group_bytes + 1);
  // Ordinary numbers in every format: as a half 1.06, as a float 0.01.
  const std::vector<uint8_t> storage(group_bytes * n_groups + 32, 0x3c);
  const std::vector<int8_t> q(static_cast<size_t>(n_rows) * k, 37);
  const std::vector<int16_t> sums(static_cast<size_t>(n_rows) * k / 16, 16 * 37);
  const std::vector<float> d(static_cast<size_t>(n_rows) * k / 32, 0.01f),
      x(static_cast<size_t>(n_rows) * k, 0.5f);
  std::vector<float> y(static_cast<size_t>(n_rows) * n_groups * 8);
  const uint32_t width = find_layout(type)->scale_width;
  MatmulArgs a = {};
  a.w = storage.data() + (32 - reinterpret_cast<uintptr_t>(storage.data()) % 32) % 32;
  a.group_bytes = group_bytes;
  a.n_groups = n_groups;
  a.k = k;
  a.n_rows = n_rows;
  a.x = {q.data(), d.data(), sums.data(), k, width ? k / width : 0, k / 16};
  a.xf = x.data();
  a.xf_stride = k;
  a.y = y.data();
  a.y_stride = 8 * n_groups;
  for (auto _ : state) {
    kernels->matmul[static_cast<int>(type)](a);
    benchmark::ClobberMemory();
  }
  const double calls = static_cast<double>(state.iterations());
  state.counters["GOPS"] =
      benchmark::Counter(calls * 16e-9 * n_groups * k * n_rows, benchmark::Counter::kIsRate);
  state.counters["GB/s"] =
      benchmark::Counter(calls * 1e-9 * group_bytes * n_groups, benchmark::Counter::kIsRate);
}

// One KV head, 512 keys that all queries see.
void attend(benchmark::State& state, const Kernels* kernels, int k_format, int v_format, int hd, int n_q) {
  const std::vector<uint8_t> page(256 * hd * 2, 0x3c);
  const uint8_t* pages[2] = {page.data(), page.data()};
  const std::vector<float> q(hd, 0.01f);
  std::vector<std::vector<float>> o(n_q, std::vector<float>(hd));
  std::vector<float> m(n_q), l(n_q), scratch(attend_scratch_floats(hd));
  const std::vector<int32_t> lo(n_q, 0), hi(n_q, 512);
  std::vector<const float*> qs(n_q, q.data());
  std::vector<float*> os;
  for (auto& v : o) os.push_back(v.data());
  const AttendArgs a = {hd,    n_q,      qs.data(), lo.data(), hi.data(),     0, 512, pages,
                        pages, m.data(), l.data(),  os.data(), scratch.data()};
  for (auto _ : state) {
    kernels->attend[k_format][v_format](a);
    benchmark::ClobberMemory();
  }
  const double calls = static_cast<double>(state.iterations());
  state.counters["GOPS"] = benchmark::Counter(calls * 4e-9 * 512 * hd * n_q, benchmark::Counter::kIsRate);
}

void register_isa(const Kernels* kernels) {
  const DType types[] = {DType::kQ4_1,  DType::kQ4_0, DType::kQ8_0,   DType::kQ5_0,
                         DType::kQ5_1,  DType::kQ4_K, DType::kQ6_K,   DType::kQ5_K,
                         DType::kQ2_K,  DType::kQ3_K, DType::kIQ4_NL, DType::kIQ4_XS,
                         DType::kMXFP4, DType::kF32,  DType::kF16,    DType::kBF16};
  for (const DType t : types)
    for (const int k : {576, 1536, 2048}) {
      if (k % info(t).block_len) continue;
      for (const int n_rows : {1, 2, 4, 8, 16, 32, 128, 512})
        for (const int mb : {1, 256}) {
          if (mb > 1 && n_rows > 4) continue;
          const std::string name = std::string(kernels->isa) + "/" + info(t).name +
                                   "/k:" + std::to_string(k) + "/MB:" + std::to_string(mb) +
                                   "/rows:" + std::to_string(n_rows) + "/";
          benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& s) {
            matmul(s, kernels, t, k, n_rows, int64_t{mb} << 20);
          });
        }
    }
  for (const int hd : {64, 256})
    for (const int n_q : {1, 3, 4, 16})
      for (const int format : {kKvF16, kKvQ8_0, kKvQ4_0}) {
        const std::string name = std::string(kernels->isa) + "/attend/" +
                                 (format == kKvF16    ? "f16"
                                  : format == kKvQ8_0 ? "q8_0"
                                                      : "q4_0") +
                                 "/hd:" + std::to_string(hd) + "/queries:" + std::to_string(n_q) + "/";
        benchmark::RegisterBenchmark(
            name.c_str(), [=](benchmark::State& s) { attend(s, kernels, format, format, hd, n_q); });
      }
}

}  // namespace
}  // namespace moraine::cpu

int main(int argc, char** argv) {
  using namespace moraine;
#ifdef MORAINE_X86
  if (detect_cpu().avx2) cpu::register_isa(&cpu::avx2_kernels());
  if (detect_cpu().avx512_vnni) cpu::register_isa(&cpu::avx512_kernels());
  if (allow_amx()) cpu::register_isa(&cpu::amx_kernels());
#endif
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
