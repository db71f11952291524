// dst[r] = scale * table[tokens[r]]. A workgroup for each 256 values of a row.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "formats.glsl"
layout(constant_id = 1) const int kFormat = 0;
layout(push_constant) uniform Push {
  uint64_t table, tokens, dst;
  int width, stride;
  float scale;
};

void main() {
  const int token = ConstInts(tokens).v[gl_WorkGroupID.y], row = token % 8;
  const int len = block_width(kFormat);
  Words w = Words(table + uint64_t(token / 8) * uint64_t(width / len * block_words(kFormat)) * 4ul);
  Floats d = Floats(row_address(dst, gl_WorkGroupID.y, stride));
  const int first = int(gl_WorkGroupID.x) * 256;
  for (int i = first + lane_index(); i < min(width, first + 256); i += kLanes) {
    precise float value = is_float(kFormat) ? float_weight(kFormat, w, 0, row, i)
                                            : weight_value(kFormat, w, i / len * block_words(kFormat), row, i % len);
    if (scale != 1.0) value *= scale;
    d.v[i] = value;
  }
}
