// dst[r] = the sum over r's experts, by rank, of weight * product. A workgroup for each 256 values of a row.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
layout(push_constant) uniform Push {
  uint64_t products, place, weight, dst;  // products by place, [pairs][width]; place and weight by pair
  int width, stride, top_k;
};

void main() {
  const int first = int(gl_WorkGroupID.x) * 256, pair = int(gl_WorkGroupID.y) * top_k;
  Floats y = Floats(row_address(dst, gl_WorkGroupID.y, stride));
  for (int i = first + lane_index(); i < min(width, first + 256); i += kLanes) {
    precise float sum = 0.0;
    for (int j = 0; j < top_k; ++j) {
      const float product = ConstFloats(row_address(products, uint(ConstInts(place).v[pair + j]), width)).v[i];
      sum = fma(ConstFloats(weight).v[pair + j], product, sum);
    }
    y.v[i] = sum;
  }
}
