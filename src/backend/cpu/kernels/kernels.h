// The table of CPU kernels: what one instruction set must provide. Plain C types only: kernel files
// include this header, intrinsics and nothing of the standard library's templates, because an inline
// function compiled with -mavx512f is a weak symbol that the linker may keep for everyone.
//
// Every kernel here has one arithmetic, written down in kernels/scalar/ (and docs/numerics.md), and
// gives the same bits in every instruction set: int32 sums are exact, float operations are the same
// single-rounded operations in the same order. A row's result never depends on n_rows.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace moraine::cpu {

constexpr int kGroupRows = 8;               // weight rows interleaved into one group (layout.h)
constexpr int kKvBlock = 64;                // keys of one softmax step
constexpr float kHadamard32 = 0.17677669f;  // 1 / sqrt(32)
constexpr int kKeyGroup = 8;                // keys interleaved in the K cache: [head_dim][8]
constexpr int kPartition = 512;             // keys whose online softmax is merged as a unit

// Activations quantised to int8 with one scale for each block of the weight format's width (32 or 256).
struct QuantRows {
  const int8_t* q;                       // [rows][q_stride], values in [-127, 127]
  const float* d;                        // [rows][d_stride], one for each block
  const int16_t* sums;                   // [rows][s_stride], sum of each 16 consecutive q
  int64_t q_stride, d_stride, s_stride;  // in elements
};

// y[m][8*g + r] = dot(row r of group g, x[m]) for m < n_rows, g < n_groups.
struct MatmulArgs {
  const uint8_t* w;  // first group, aligned to 32
  int64_t group_bytes;
  int32_t n_groups;
  int32_t k;  // values in a row, a whole number of blocks
  int32_t n_rows;
  QuantRows x;      // quantised formats
  const float* xf;  // float formats: [n_rows][xf_stride]
  int64_t xf_stride;
  float* y;  // [n_rows][y_stride]
  int64_t y_stride;
};
using MatmulFn = void (*)(const MatmulArgs&) noexcept;

// x[k] -> q, d, sums; width divides k. Each block: d = max|x| / 127, q = rne(x * (127 / max|x|)).
using QuantizeFn = void (*)(const float* x, int32_t k, int8_t* q, float* d, int16_t* sums) noexcept;

enum KvFormat : int { kKvF16 = 0, kKvQ8_0 = 1, kKvF32 = 2, kKvQ4_0 = 3, kNumKvFormats = 4 };  // KvType's

// Attention of n_q query vectors over keys [begin, end) of one KV head, all within one partition and
// starting at a multiple of kKvBlock. Query i sees keys [lo[i], hi[i]) of them. State (m, l, o) of
// each query is carried in and out: m = -inf, l = 0, o = 0 at the start of a partition.
struct AttendArgs {
  int32_t head_dim;
  int32_t n_q;            // at most kMaxQueries
  const float* const* q;  // [n_q] vectors of head_dim, already scaled, for q4_0 keys rotated
  const int32_t* lo;
  const int32_t* hi;
  int32_t begin, end;
  const uint8_t* const* k_pages;  // this layer's and head's K: [0] is in the page that holds `begin`
  const uint8_t* const* v_pages;
  float* m;         // [n_q] running maximum
  float* l;         // [n_q] running sum of exp
  float* const* o;  // [n_q] vectors of head_dim
  float* scratch;   // attend_scratch_floats(head_dim)
};
constexpr int kMaxQueries = 64;
constexpr int attend_scratch_floats(int head_dim) { return kMaxQueries * kKvBlock + kKvBlock * head_dim; }
using AttendFn = void (*)(const AttendArgs&) noexcept;

// Writes one row (head_dim values of one head) into slot `slot` of a page's K or V.
using StoreFn = void (*)(const float* x, int32_t head_dim, int32_t slot, uint8_t* page_head) noexcept;

// The delta rule over consecutive rows of one sequence for kDeltaTile rows of a value head's state, which lie
// as [head_k][kDeltaTile]: lanes are rows of the state, so no sum crosses lanes. For each token t, by row i:
//   p[j] = 0; p[j] = fma(S[c][i], k[t][c], p[j]) for c = j, j + 4, ...;  s = (p[0] + p[1]) + (p[2] + p[3])
//   u = beta[t] * fma(-decay[t], s, v[t][i])
//   S[c][i] = fma(u, k[t][c], decay[t] * S[c][i]);  o[t][i] = the sum of S[c][i] q[t][c], as s
constexpr int kDeltaTile = 16;
struct DeltaArgs {
  float* s;        // [head_k][kDeltaTile]
  int32_t head_k;  // a multiple of 4
  int32_t n_tokens;
  const float *q, *k;  // [n_tokens][qk_stride]
  int64_t qk_stride;
  const float* v;  // [n_tokens][v_stride]
  int64_t v_stride;
  const float *decay, *beta;  // [n_tokens]
  float* o;                   // [n_tokens][o_stride]
  int64_t o_stride;
};
using DeltaFn = void (*)(const DeltaArgs&) noexcept;

constexpr int kNumTypes = 42;  // DType ids

// What an instruction set can do at most, to measure its kernels by (ops_bench.h). Null: not measured.
struct Probes {
  int64_t (*int8)(int64_t repetitions) noexcept;          // exact products of bytes; returns operations:
  int64_t (*float32)(int64_t repetitions) noexcept;       // a multiply-add is two
  void (*read)(const uint8_t* data, int64_t n) noexcept;  // n bytes; touches nothing behind them
};

struct Kernels {
  const char* isa;
  Probes probes;
  MatmulFn matmul[kNumTypes];  // by DType; null: format not supported by matmul
  QuantizeFn quantize32;
  QuantizeFn quantize256;
  // y = x * (mean(x^2) + eps)^-1/2 * w
  void (*rms_norm)(const float* x, const float* w, int32_t n, float eps, float* y) noexcept;
  void (*add)(float* y, const float* x, int32_t n) noexcept;
  void (*add_scaled)(float* y, const float* x, float s, int32_t n) noexcept;  // y = fma(s, x, y)
  // gate = act(gate) * up
  void (*silu_mul)(float* gate, const float* up, int32_t n) noexcept;
  void (*gelu_tanh_mul)(float* gate, const float* up, int32_t n) noexcept;
  // y *= f(g): one g for each value (g_step 1) or one for all (0)
  void (*silu_gate)(float* y, const float* g, int32_t n, int32_t g_step) noexcept;
  void (*sigmoid_gate)(float* y, const float* g, int32_t n, int32_t g_step) noexcept;
  // Rotates n_pairs pairs; kind 0: (i, i + n_pairs), 1: (2i, 2i + 1).
  void (*rope)(float* x, const float* cos, const float* sin, int32_t n_pairs, int kind) noexcept;
  // y[c] = silu(a), a = 0; a = fma(taps[i * taps_stride + c], x[i][c], a) for i ascending, i < n_taps
  void (*conv_silu)(const float* const* x, const float* taps, int32_t taps_stride, int32_t n_taps, int32_t n,
                    float* y) noexcept;
  // x *= (sum(x^2) + eps)^-1/2, then *= scale; the sum in 16 lanes as rms_norm's
  void (*l2_norm)(float* x, int32_t n, float eps, float scale) noexcept;
  DeltaFn delta_tile;
  // By KvFormat. An instruction set may leave f32 null, which is there to measure what f16 costs:
  // the scalar kernel stands in, with the same bits.
  // Keys of a q4_0 cache are stored rotated; queries come to attend rotated too, which changes no score but
  // leaves no value that stands out of its block of 32. Each 32 of n values by the Hadamard matrix /
  // sqrt(32).
  void (*rotate32)(float* x, int32_t n) noexcept;
  StoreFn store_k[kNumKvFormats];
  StoreFn store_v[kNumKvFormats];
  AttendFn attend[kNumKvFormats][kNumKvFormats];  // by K's, V's
};

// One for each instruction set this build holds.
const Kernels& scalar_kernels();
const Kernels& avx2_kernels();
const Kernels& avx512_kernels();
const Kernels& amx_kernels();  // the process must have asked for AMX's tiles: allow_amx() of cpu_features.h

}  // namespace moraine::cpu
