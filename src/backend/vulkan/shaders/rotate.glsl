// Rotations by position. Cos and sin come from the host, in double and rounded once (Vulkan's own are only good to
// 2^-11): of a row, n_pairs cosines and then as many sines.

// adjacent 0: pairs (i, i + n_pairs), 1: (2i, 2i + 1).
ivec2 pair_at(int i, int n_pairs, int adjacent) {
  return adjacent != 0 ? ivec2(2 * i, 2 * i + 1) : ivec2(i, i + n_pairs);
}

vec2 rotate_pair(vec2 x, uint64_t angles, int i, int n_pairs) {
  const float c = ConstFloats(angles).v[i], s = ConstFloats(angles).v[n_pairs + i];
  precise float bs = x.y * s, bc = x.y * c;
  precise vec2 turned = vec2(fma(x.x, c, -bs), fma(x.x, s, bc));
  return turned;
}
