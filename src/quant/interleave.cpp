#include "quant/interleave.h"

#include <cstring>

namespace moraine::quant {
namespace {

// Every format is described by how the bytes of one file block map to the group's block. `move` is
// called with (file offset, group offset, number of bytes) for plain moves; the few bit fields that are not
// whole bytes are done apart, in both directions, by the format.

// n_bytes of a row's block starting at `from` become 32-byte steps at `to`: byte 4s+i -> step s.
template <class F>
void steps(int n_bytes, int from, int to, int row, F&& move) {
  for (int b = 0; b < n_bytes; b += 4) move(from + b, to + b * 8 + row * 4, 4);
}

template <class F>
void half_field(int from, int to, int row, F&& move) {
  move(from, to + row * 2, 2);
}

struct Q4_0 {
  static constexpr DType kType = DType::kQ4_0;
  static constexpr int kBytes = 18, kWidth = 32;
  template <class F>
  static void moves(int row, F&& move) {
    half_field(0, 0, row, move);
    steps(16, 2, 16, row, move);
  }
  static void bits_in(const uint8_t*, int, uint8_t*) {}
  static void bits_out(const uint8_t*, int, uint8_t*) {}
};

struct Q4_1 {
  static constexpr DType kType = DType::kQ4_1;
  static constexpr int kBytes = 20, kWidth = 32;
  template <class F>
  static void moves(int row, F&& move) {
    half_field(0, 0, row, move);
    half_field(2, 16, row, move);
    steps(16, 4, 32, row, move);
  }
  static void bits_in(const uint8_t*, int, uint8_t*) {}
  static void bits_out(const uint8_t*, int, uint8_t*) {}
};

// The fifth bits of q5_0 and q5_1. File: bit v of 32 is bit 4 of value v. Group: bit t of byte (row, i),
// v = 4t + i.
struct FifthBits {
  static void in(const uint8_t* file4, int row, uint8_t* out32) {
    uint32_t all = 0;
    for (int b = 0; b < 4; ++b) all |= uint32_t{file4[b]} << (8 * b);
    for (int i = 0; i < 4; ++i) {
      uint32_t bits =
          all >> i & 0x11111111;  // every fourth; then they move together, by pairs, fours, eights
      bits = (bits | bits >> 3) & 0x03030303;
      bits = (bits | bits >> 6) & 0x000f000f;
      out32[row * 4 + i] = static_cast<uint8_t>(bits | bits >> 12);
    }
  }
  static void out(const uint8_t* in32, int row, uint8_t* file4) {
    const uint8_t* qh = in32 + row * 4;
    std::memset(file4, 0, 4);
    for (int v = 0; v < 32; ++v)
      file4[v / 8] |= static_cast<uint8_t>(((qh[v % 4] >> (v / 4)) & 1) << (v % 8));
  }
};

struct Q5_0 {
  static constexpr DType kType = DType::kQ5_0;
  static constexpr int kBytes = 22, kWidth = 32;
  template <class F>
  static void moves(int row, F&& move) {
    half_field(0, 0, row, move);
    steps(16, 6, 48, row, move);
  }
  static void bits_in(const uint8_t* file, int row, uint8_t* group) {
    FifthBits::in(file + 2, row, group + 16);
  }
  static void bits_out(const uint8_t* group, int row, uint8_t* file) {
    FifthBits::out(group + 16, row, file + 2);
  }
};

struct Q5_1 {
  static constexpr DType kType = DType::kQ5_1;
  static constexpr int kBytes = 24, kWidth = 32;
  template <class F>
  static void moves(int row, F&& move) {
    half_field(0, 0, row, move);
    half_field(2, 16, row, move);
    steps(16, 8, 64, row, move);
  }
  static void bits_in(const uint8_t* file, int row, uint8_t* group) {
    FifthBits::in(file + 4, row, group + 32);
  }
  static void bits_out(const uint8_t* group, int row, uint8_t* file) {
    FifthBits::out(group + 32, row, file + 4);
  }
};

struct Q8_0 {
  static constexpr DType kType = DType::kQ8_0;
  static constexpr int kBytes = 34, kWidth = 32;
  template <class F>
  static void moves(int row, F&& move) {
    half_field(0, 0, row, move);
    steps(32, 2, 16, row, move);
  }
  static void bits_in(const uint8_t*, int, uint8_t*) {}
  static void bits_out(const uint8_t*, int, uint8_t*) {}
};

struct Q2_K {
  static constexpr DType kType = DType::kQ2_K;
  static constexpr int kBytes = 84, kWidth = 256;
  template <class F>
  static void moves(int row, F&& move) {
    half_field(80, 0, row, move);
    half_field(82, 16, row, move);
    for (int j = 0; j < 16; ++j) move(j, 32 + j * 8 + row, 1);
    steps(64, 16, 160, row, move);
  }
  static void bits_in(const uint8_t*, int, uint8_t*) {}
  static void bits_out(const uint8_t*, int, uint8_t*) {}
};

struct Q3_K {
  static constexpr DType kType = DType::kQ3_K;
  static constexpr int kBytes = 110, kWidth = 256;
  template <class F>
  static void moves(int row, F&& move) {
    half_field(108, 0, row, move);
    for (int j = 0; j < 12; ++j) move(96 + j, 16 + j * 8 + row, 1);
    steps(32, 0, 112, row, move);  // high bits
    steps(64, 32, 368, row, move);
  }
  static void bits_in(const uint8_t*, int, uint8_t*) {}
  static void bits_out(const uint8_t*, int, uint8_t*) {}
};

// The 12 bytes of 6-bit scales and mins of q4_K and q5_K (see quant/q4_k.cpp for the file's packing).
struct KScales {
  static void in(const uint8_t* file12, int row, uint8_t* out96) {
    for (int part = 0; part < 2; ++part) {
      uint8_t* lo = out96 + 48 * part;
      uint8_t* hi = lo + 32;
      for (int j = 0; j < 4; ++j) lo[j * 8 + row] = 0;
      for (int t = 0; t < 2; ++t) hi[t * 8 + row] = 0;
      for (int j = 0; j < 8; ++j) {
        const uint8_t v = get(file12, part, j);
        lo[(j % 4) * 8 + row] |= static_cast<uint8_t>((v & 15) << (4 * (j / 4)));
        hi[(j / 4) * 8 + row] |= static_cast<uint8_t>((v >> 4) << (2 * (j % 4)));
      }
    }
  }
  static void out(const uint8_t* in96, int row, uint8_t* file12) {
    std::memset(file12, 0, 12);
    for (int part = 0; part < 2; ++part) {
      const uint8_t* lo = in96 + 48 * part;
      const uint8_t* hi = lo + 32;
      for (int j = 0; j < 8; ++j) {
        const int v = ((lo[(j % 4) * 8 + row] >> (4 * (j / 4))) & 15) |
                      (((hi[(j / 4) * 8 + row] >> (2 * (j % 4))) & 3) << 4);
        put(file12, part, j, v);
      }
    }
  }

 private:
  static uint8_t get(const uint8_t* s, int part, int j) {
    if (j < 4) return s[j + 4 * part] & 63;
    const int low = part == 0 ? s[j + 4] & 15 : s[j + 4] >> 4;
    return static_cast<uint8_t>(low | ((s[j - 4 + 4 * part] >> 6) << 4));
  }
  static void put(uint8_t* s, int part, int j, int v) {
    if (j < 4) {
      s[j + 4 * part] |= static_cast<uint8_t>(v);
    } else {
      s[j + 4] |= static_cast<uint8_t>((v & 15) << (4 * part));
      s[j - 4 + 4 * part] |= static_cast<uint8_t>((v >> 4) << 6);
    }
  }
};

struct Q4_K {
  static constexpr DType kType = DType::kQ4_K;
  static constexpr int kBytes = 144, kWidth = 256;
  template <class F>
  static void moves(int row, F&& move) {
    half_field(0, 0, row, move);
    half_field(2, 16, row, move);
    steps(128, 16, 128, row, move);
  }
  static void bits_in(const uint8_t* file, int row, uint8_t* group) {
    KScales::in(file + 4, row, group + 32);
  }
  static void bits_out(const uint8_t* group, int row, uint8_t* file) {
    KScales::out(group + 32, row, file + 4);
  }
};

struct Q5_K {
  static constexpr DType kType = DType::kQ5_K;
  static constexpr int kBytes = 176, kWidth = 256;
  template <class F>
  static void moves(int row, F&& move) {
    half_field(0, 0, row, move);
    half_field(2, 16, row, move);
    steps(32, 16, 128, row, move);         // qh
    steps(128, 48, 128 + 256, row, move);  // nibbles
  }
  static void bits_in(const uint8_t* file, int row, uint8_t* group) {
    KScales::in(file + 4, row, group + 32);
  }
  static void bits_out(const uint8_t* group, int row, uint8_t* file) {
    KScales::out(group + 32, row, file + 4);
  }
};

struct Q6_K {
  static constexpr DType kType = DType::kQ6_K;
  static constexpr int kBytes = 210, kWidth = 256;
  template <class F>
  static void moves(int row, F&& move) {
    half_field(208, 0, row, move);
    for (int j = 0; j < 16; ++j) move(192 + j, 16 + j * 8 + row, 1);
    for (int n = 0; n < 2; ++n) {
      const int to = 144 + n * 768;
      steps(32, 64 * n, to, row, move);
      steps(32, 64 * n + 32, to + 256, row, move);
      steps(32, 128 + 32 * n, to + 512, row, move);
    }
  }
  static void bits_in(const uint8_t*, int, uint8_t*) {}
  static void bits_out(const uint8_t*, int, uint8_t*) {}
};

struct IQ4_NL : Q4_0 {
  static constexpr DType kType = DType::kIQ4_NL;
};

struct IQ4_XS {
  static constexpr DType kType = DType::kIQ4_XS;
  static constexpr int kBytes = 136, kWidth = 256;
  template <class F>
  static void moves(int row, F&& move) {
    half_field(0, 0, row, move);
    for (int t = 0; t < 2; ++t)
      move(2 + t, 48 + t * 8 + row, 1);  // high bits of the scales: the same packing
    steps(128, 8, 64, row, move);
  }
  // File: byte i holds the low bits of scales 2i and 2i + 1. Group: those of i and i + 4.
  static void bits_in(const uint8_t* file, int row, uint8_t* group) {
    for (int i = 0; i < 4; ++i)
      group[16 + i * 8 + row] = static_cast<uint8_t>(nibble(file + 4, i) | nibble(file + 4, i + 4) << 4);
  }
  static void bits_out(const uint8_t* group, int row, uint8_t* file) {
    const auto low = [&](int j) { return group[16 + j % 4 * 8 + row] >> (j / 4 * 4) & 15; };
    for (int i = 0; i < 4; ++i) file[4 + i] = static_cast<uint8_t>(low(2 * i) | low(2 * i + 1) << 4);
  }

 private:
  static int nibble(const uint8_t* bytes, int j) { return bytes[j / 2] >> (j % 2 * 4) & 15; }
};

struct MXFP4 {
  static constexpr DType kType = DType::kMXFP4;
  static constexpr int kBytes = 17, kWidth = 32;
  template <class F>
  static void moves(int row, F&& move) {
    move(0, row, 1);
    steps(16, 1, 8, row, move);
  }
  static void bits_in(const uint8_t*, int, uint8_t*) {}
  static void bits_out(const uint8_t*, int, uint8_t*) {}
};

template <class T>
void interleave(const uint8_t* const rows[8], int64_t n_blocks, uint8_t* out) {
  static constexpr uint8_t kZero[T::kBytes] = {};
  for (int64_t b = 0; b < n_blocks; ++b, out += 8 * T::kBytes)
    for (int r = 0; r < 8; ++r) {
      const uint8_t* src = rows[r] ? rows[r] + b * T::kBytes : kZero;
      T::moves(r, [&](int from, int to, int n)
                      __attribute__((always_inline)) { std::memcpy(out + to, src + from, n); });
      T::bits_in(src, r, out);
    }
}

template <class T>
void extract(const uint8_t* group, int64_t n_blocks, int row, uint8_t* out) {
  for (int64_t b = 0; b < n_blocks; ++b, group += 8 * T::kBytes, out += T::kBytes) {
    T::bits_out(group, row, out);
    T::moves(row, [&](int from, int to, int n)
                      __attribute__((always_inline)) { std::memcpy(out + from, group + to, n); });
  }
}

template <int kSize>
void interleave_plain(const uint8_t* const rows[8], int64_t n, uint8_t* out) {
  for (int64_t k = 0; k < n; ++k)
    for (int r = 0; r < 8; ++r, out += kSize) {
      if (rows[r])
        std::memcpy(out, rows[r] + k * kSize, kSize);
      else
        std::memset(out, 0, kSize);
    }
}

template <int kSize>
void extract_plain(const uint8_t* group, int64_t n, int row, uint8_t* out) {
  for (int64_t k = 0; k < n; ++k) std::memcpy(out + k * kSize, group + (k * 8 + row) * kSize, kSize);
}

template <class T>
constexpr Layout block_layout() {
  return {T::kType, T::kWidth, interleave<T>, extract<T>};
}

constexpr Layout kLayouts[] = {
    {DType::kF32, 0, interleave_plain<4>, extract_plain<4>},
    {DType::kF16, 0, interleave_plain<2>, extract_plain<2>},
    {DType::kBF16, 0, interleave_plain<2>, extract_plain<2>},
    block_layout<Q4_0>(),
    block_layout<Q4_1>(),
    block_layout<Q5_0>(),
    block_layout<Q5_1>(),
    block_layout<Q8_0>(),
    block_layout<Q2_K>(),
    block_layout<Q3_K>(),
    block_layout<Q4_K>(),
    block_layout<Q5_K>(),
    block_layout<Q6_K>(),
    block_layout<IQ4_NL>(),
    block_layout<IQ4_XS>(),
    block_layout<MXFP4>(),
};

}  // namespace

const Layout* find_layout(DType t) noexcept {
  for (const Layout& l : kLayouts)
    if (l.dtype == t) return &l;
  return nullptr;
}

}  // namespace moraine::quant
