// (M, L, O) <- (M, L, O) merged with (m, l, o): partitions of 512 keys, ascending.
struct Weights {
  float top, of_sum, of_part;
};
Weights merge_weights(float M, float m) {
  Weights w;
  w.top = m > M ? m : M;
  w.of_sum = exp_spec(M - w.top);
  w.of_part = exp_spec(m - w.top);
  return w;
}
float merged(float sum, float part, Weights w) {
  precise float a = sum * w.of_sum, b = part * w.of_part;
  precise float both = a + b;
  return both;
}
