// Rows to lanes: a square of numbers is turned in its vectors.
#pragma once

#include <utility>

#include "vector.h"

namespace {

// Of two rows `h` apart in a square: the halves that stay, and those that change places.
template <class A, int h, size_t... lane>
inline Vector<A> upper_of(Vector<A> a, Vector<A> b, std::index_sequence<lane...>) {
  return __builtin_shufflevector(a, b, (lane & h ? kWidth<A> + lane - h : lane)...);
}
template <class A, int h, size_t... lane>
inline Vector<A> lower_of(Vector<A> a, Vector<A> b, std::index_sequence<lane...>) {
  return __builtin_shufflevector(a, b, (lane & h ? kWidth<A> + lane : lane + h)...);
}

// Turns a square by exchanging its off-diagonal quarters, then the same in each quarter.
template <class A, int h = kWidth<A> / 2>
inline void turn(Vector<A>* rows) {
  using Lanes = std::make_index_sequence<kWidth<A>>;
  for (int i = 0; i < kWidth<A>; ++i) {
    if (i & h) continue;
    const Vector<A> upper = upper_of<A, h>(rows[i], rows[i + h], Lanes{});
    rows[i + h] = lower_of<A, h>(rows[i], rows[i + h], Lanes{});
    rows[i] = upper;
  }
  if constexpr (h > 1) turn<A, h / 2>(rows);
}

// Brings element j of row i to lanes[j * stride + i], for as many rows as there are lanes, in the order of j.
template <class A>
void rows_to_lanes(const A* const* rows, int64_t n, A* lanes, int64_t stride = kWidth<A>) {
  constexpr int64_t w = kWidth<A>;
  Vector<A> square[w];
  if (n < w) {
    for (int64_t i = 0; i < w; ++i) square[i] = load_part(rows[i], n, A(0));
    turn<A>(square);
    for (int64_t i = 0; i < n; ++i) store<A>(lanes + i * stride, square[i]);
    return;
  }
  for (int64_t j = 0; j < n; j += w) {
    const int64_t first = j + w <= n ? j : n - w;  // the last square may overlap the one before
    for (int64_t i = 0; i < w; ++i) square[i] = load(rows[i] + first);
    turn<A>(square);
    for (int64_t i = 0; i < w; ++i) store<A>(lanes + (first + i) * stride, square[i]);
  }
}

}  // namespace
