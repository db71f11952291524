// How a weight lies in device memory: matrices as on the CPU, rows interleaved in groups of eight and as many
// bytes as in the file (quant/interleave.h), vectors as float32. Who reads them so is shaders/; where they
// lie is backend.h.
#pragma once

#include <cstdint>

#include "plan/plan.h"

namespace moraine::vulkan {

constexpr int32_t kGroupRows = 8;

bool runs_on_vulkan(const plan::Weight& w);
// Of the whole weight; of a matrix, rows are counted in whole groups.
uint64_t device_bytes(const plan::Weight& w);
// The bytes of `first_row` rows of it. A row of a matrix whose index is a multiple of kGroupRows begins
// there.
uint64_t device_offset(const plan::Weight& w, int32_t first_row);
// The file's rows, one after another, to what lies on the device from device_offset(first row) on; of a
// matrix the first row's index is a multiple of kGroupRows, and the last group's missing rows become zeros.
// `to` may be uncached: it is written once, in order, and never read. Bytes written: as device_bytes() of
// n_rows rows.
void pack_rows(const plan::Weight& w, int32_t n_rows, const uint8_t* from, uint8_t* to);

}  // namespace moraine::vulkan
