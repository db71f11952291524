// The dot product all products share: a workgroup of 32 lanes x 4 weight rows takes up to kTile rows of
// activations, so that a weight is read once for all of them. How many there are is uniform and read
// from the step buffer, so one row and many run the same instructions: the same bits.
// Lane l sums k = l, l + 32, ... ascending; then a fixed tree over the lanes.
const int kLanes = 32;
const int kWeightRows = 4;
const int kTile = 8;
layout(local_size_x = 32, local_size_y = 4) in;

shared float partial[kWeightRows][kTile][kLanes];

// Sums of up to kTile rows from `x`; lane r holds row r's on return. Call in uniform control flow.
float dot_tile(uint64_t w_address, uint64_t x_address, int x_stride, int k, int n_rows) {
  const int lane = int(gl_LocalInvocationID.x), y = int(gl_LocalInvocationID.y);
  ConstFloats w = ConstFloats(w_address);
  ConstFloats x = ConstFloats(x_address);
  float acc[kTile];
  for (int r = 0; r < kTile; ++r) acc[r] = 0.0;
  for (int i = lane; i < k; i += kLanes) {
    const float wi = w.v[i];
    for (int r = 0; r < kTile; ++r)
      if (r < n_rows) acc[r] = fma(wi, x.v[r * x_stride + i], acc[r]);
  }
  barrier();  // the last call's sums have been read
  for (int r = 0; r < kTile; ++r) partial[y][r][lane] = acc[r];
  for (int s = kLanes / 2; s > 0; s /= 2) {
    barrier();
    if (lane < s)
      for (int r = 0; r < kTile; ++r)
        if (r < n_rows) partial[y][r][lane] += partial[y][r][lane + s];
  }
  barrier();
  return lane < kTile ? partial[y][lane][0] : 0.0;
}
