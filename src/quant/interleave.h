// How weights lie in every backend's memory: rows interleaved in groups of eight, the same number of bytes as
// in the file, every row's part of a step an aligned word. One layout serves one activation row and thousands.
// Owns re-laying at load and reading a row back (embeddings); what multiplies is backend/cpu/kernels/ and
// backend/vulkan/shaders/formats.glsl.
//
// In one block column of a group (8 rows x block_len values), "step" s is 32 bytes, 8 rows x 4:
//   q4_0  d[8] f16 | 4 steps: low nibbles values 4s..4s+3, high nibbles 16+4s..
//   q4_1  d[8] m[8] f16 | as q4_0
//   q5_0  d[8] f16 | qh[8][4]: bit t of byte (row, i) is bit 4 of value 4t+i | nibbles as q4_0
//   q5_1  d[8] m[8] f16 | qh and nibbles as q5_0
//   q8_0  d[8] f16 | 8 steps of int8, values 4s..4s+3
//   q2_K  d[8] dmin[8] f16 | scales and mins [16][8], as in the file | for each half 8 steps:
//         bits 2u: values 32u+l
//   q3_K  d[8] f16 | scales [12][8], as in the file | 8 steps: bit j of value l of sub-blocks 32j
//         | as q2_K's steps
//   q4_K  d[8] dmin[8] f16 | scales 48 | mins 48 | 4 chunks x 8 steps: low nibbles sub-block 2c, high 2c+1
//         scales: L[4][8]: low nibble = low 4 bits of sub-block j, high nibble = of j+4;
//                 H[2][8]: bits 2u..2u+1 = high 2 bits of sub-block 4t+u; mins alike
//   q5_K  as q4_K, then qh 8 steps (bit 2c of value 4s+i for sub-block 2c, bit 2c+1 for 2c+1), nibbles
//         order: d dmin scales mins qh nibbles
//   q6_K  d[8] f16 | scales int8 [16][8] | for each half n: ql 2 x 8 steps, then qh 8 steps
//         ql[0] low nibble: values l, high: 64+l; ql[1] low: 32+l, high: 96+l; qh bits 2u: values 32u+l
//   iq4_nl  as q4_0
//   iq4_xs  d[8] f16 | L[4][8] H[2][8] as q4_K's scales | 8 sub-blocks x 4 steps, each as q4_0's
//   mxfp4   e[8] u8 | 4 steps as q4_0
//   f32, f16, bf16: [k][8]
#pragma once

#include <cstdint>

#include "tensor/dtype.h"

namespace moraine::quant {

struct Layout {
  DType dtype;
  uint32_t scale_width;  // activation block: 32 or 256; 0: float
  // rows: eight pointers to n_blocks file blocks each; null rows are zero. out: 8 * n_blocks * block_bytes.
  void (*interleave)(const uint8_t* const rows[8], int64_t n_blocks, uint8_t* out);
  // The inverse for one row, in file layout.
  void (*extract)(const uint8_t* group, int64_t n_blocks, int row, uint8_t* out);
};

// nullptr: a format that cannot be a matrix yet.
const Layout* find_layout(DType t) noexcept;

}  // namespace moraine::quant
