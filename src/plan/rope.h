// The angles of rotary embedding, computed once on the host for every backend: frequencies by pair,
// cos and sin by position. Rotating a head with them is the backend's affair.
#pragma once

#include <cstdint>
#include <vector>

#include "plan/plan.h"

namespace moraine::plan {

// Radians a position, for each of n_rot / 2 pairs. freq_factors: as the weight params name, or null.
std::vector<float> rope_frequencies(const RopeParams& params, const float* freq_factors);

// The angles of one row: cos and sin hold freq.size() floats each. The published models compute angles
// in float32; so do we. Cos and sin are computed in double and rounded once.
void fill_rope_row(const RopeParams& params, const std::vector<float>& freq, int32_t position, float* cos,
                   float* sin) noexcept;

// Whether two ropes have the same angles; the kind only says which values pair up.
bool same_angles(const RopeParams& a, const RopeParams& b) noexcept;

}  // namespace moraine::plan
