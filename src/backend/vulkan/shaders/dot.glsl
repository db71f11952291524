// The dot product all products share. A subgroup takes one weight row and up to kTile rows of
// activations, so that a weight is read once for all of them. How many there are is uniform and read
// from the step buffer, so one row and many run the same instructions: the same bits.
// Lane l sums values l, l + lanes, ... ascending, by fours where k allows; the subgroup then adds its lanes, in an order that is
// the device's own but always the same. Subgroups of any size: the loops below ask for it.
#extension GL_KHR_shader_subgroup_arithmetic : require
const int kTile = 8;
layout(local_size_x = 64) in;

// Weight rows of this dispatch are dealt out over all its subgroups.
int first_weight_row() { return int(gl_WorkGroupID.x * gl_NumSubgroups + gl_SubgroupID); }
int weight_row_step() { return int(gl_NumWorkGroups.x * gl_NumSubgroups); }

// Sums of up to kTile rows from `x`, the same in all lanes.
void dot_tile(uint64_t w_address, uint64_t x_address, int x_stride, int k, int n_rows, out float sums[kTile]) {
  const int lane = int(gl_SubgroupInvocationID), lanes = int(gl_SubgroupSize);
  for (int r = 0; r < kTile; ++r) sums[r] = 0.0;
  if (k % 4 == 0) {  // then weight rows are aligned to 16 bytes; rows of values always are
    ConstVec4s w = ConstVec4s(w_address);
    ConstVec4s x = ConstVec4s(x_address);
    vec4 acc[kTile];
    for (int r = 0; r < kTile; ++r) acc[r] = vec4(0.0);
    for (int i = lane; i < k / 4; i += lanes) {
      const vec4 wi = w.v[i];
      for (int r = 0; r < kTile; ++r)
        if (r < n_rows) acc[r] = fma(wi, x.v[r * (x_stride / 4) + i], acc[r]);
    }
    for (int r = 0; r < kTile; ++r) sums[r] = (acc[r].x + acc[r].y) + (acc[r].z + acc[r].w);
  } else {
    ConstFloats w = ConstFloats(w_address);
    ConstFloats x = ConstFloats(x_address);
    for (int i = lane; i < k; i += lanes) {
      const float wi = w.v[i];
      for (int r = 0; r < kTile; ++r)
        if (r < n_rows) sums[r] = fma(wi, x.v[r * x_stride + i], sums[r]);
    }
  }
  for (int r = 0; r < kTile; ++r)
    if (r < n_rows) sums[r] = subgroupAdd(sums[r]);
}
