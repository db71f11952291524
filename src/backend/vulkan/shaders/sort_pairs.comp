// Sorts the pairs (row, chosen expert) by expert and cuts them into tiles of at most `most` pairs of one
// expert. One workgroup. A pair is row * top_k + rank; sorted it has a place. Where pairs of one expert stand
// among each other is left to the order of atomics: no result depends on it.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
const int kMaxExperts = 1024;
layout(push_constant) uniform Push {
  uint64_t n_rows, expert;  // where the number of rows is; expert by pair
  uint64_t pair_at, place;  // by place, by pair
  uint64_t tiles;           // their number, 3 unused; then each: expert, first place, pairs, unused
  int n_experts, top_k, most;
};

shared int count[kMaxExperts];
shared int cursor[kMaxExperts];
shared ivec2 before[kLanes];  // pairs and tiles of a lane's experts

int tiles_of(int n) { return (n + most - 1) / most; }

void main() {
  const int n_pairs = ConstInts(n_rows).v[0] * top_k, lane = lane_index();
  ConstInts chosen = ConstInts(expert);
  for (int e = lane; e < n_experts; e += kLanes) count[e] = 0;
  barrier();
  for (int p = lane; p < n_pairs; p += kLanes) atomicAdd(count[chosen.v[p]], 1);
  barrier();

  const int share = (n_experts + kLanes - 1) / kLanes, begin = lane * share, end = min(n_experts, begin + share);
  ivec2 mine = ivec2(0);
  for (int e = begin; e < end; ++e) mine += ivec2(count[e], tiles_of(count[e]));
  before[lane] = mine;
  barrier();
  ivec2 at = ivec2(0);
  for (int l = 0; l < lane; ++l) at += before[l];
  Ints t = Ints(tiles);
  for (int e = begin; e < end; ++e) {
    cursor[e] = at.x;
    for (int first = 0; first < count[e]; first += most, ++at.y) {
      t.v[4 + 4 * at.y] = e;
      t.v[5 + 4 * at.y] = at.x + first;
      t.v[6 + 4 * at.y] = min(most, count[e] - first);
    }
    at.x += count[e];
  }
  if (lane == kLanes - 1) t.v[0] = at.y;
  barrier();
  for (int p = lane; p < n_pairs; p += kLanes) {
    const int to = atomicAdd(cursor[chosen.v[p]], 1);
    Ints(place).v[p] = to;
    Ints(pair_at).v[to] = p;
  }
}
