// Sums of squares as the CPU adds them: 16 partial sums, value i to sum i % 16, ascending; then a tree.
shared float partial[16];

// Of what all lanes have written there, once they have.
float sum_of_partials() {
  barrier();
  precise float s[16];
  for (int i = 0; i < 16; ++i) s[i] = partial[i];
  for (int half_size = 8; half_size > 0; half_size /= 2)
    for (int i = 0; i < half_size; ++i) s[i] += s[i + half_size];
  return s[0];
}
