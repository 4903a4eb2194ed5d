// Lanes of vectors hold classes while a row is read, and rows when the results of several rows are combined.
#pragma once

#include "halves.h"
#include "transpose.h"

namespace {

struct Whole {};  // a vector of classes
struct Even {};   // every other class of two vectors, from the first on
struct Odd {};    // the others
struct Part {};   // the last classes of a row, fewer than a vector

template <class A, class T>
inline Vector<A> take(Whole, const T* from, int64_t, A) {
  return load_wide<A>(from);
}
template <class A, class T>
inline Vector<A> take(Even, const T* from, int64_t, A) {
  return even_of(from);
}
template <class A, class T>
inline Vector<A> take(Odd, const T* from, int64_t, A) {
  return odd_of(from);
}
template <class A, class T>
inline Vector<A> take(Part, const T* from, int64_t n, A filling) {
  return load_wide_part<A>(from, n, filling);
}
// Whether numbers of this type are taken from memory as even and odd ones.
template <class T>
constexpr bool kInPairs = false;
template <>
constexpr bool kInPairs<BFloat16> = true;

// Calls body(extent, i, j, n) for the vectors of the classes of a row of type T, that begin or lie at class j, of n
// classes, with i = 0, 1, 0, 1, ... for sums of their own.
template <class A, class T, class Body>
inline void each_vector(int64_t classes, const Body& body) {
  constexpr int64_t w = kWidth<A>;
  int64_t j = 0;
  for (; j + 2 * w <= classes; j += 2 * w) {
    if constexpr (kInPairs<T>) body(Even{}, 0, j, w), body(Odd{}, 1, j, w);
    else body(Whole{}, 0, j, w), body(Whole{}, 1, j + w, w);
  }
  if (j + w <= classes) body(Whole{}, 0, j, w), j += w;
  if (j < classes) body(Part{}, 1, j, classes - j);
}

// Writes to a row what value(extent, j, n) makes of each vector of classes.
template <class A, class T, class Value>
inline void write_row(T* to, int64_t classes, const Value& value) {
  constexpr int64_t w = kWidth<A>;
  int64_t j = 0;
  for (; j + 2 * w <= classes; j += 2 * w) {
    if constexpr (kInPairs<T>) {
      const Vector<A> even = value(Even{}, j, w);
      store_even_odd(to + j, even, value(Odd{}, j, w));
    } else {
      const Vector<A> first = value(Whole{}, j, w);
      store_narrow<A>(to + j + w, value(Whole{}, j + w, w));
      store_narrow<A>(to + j, first);
    }
  }
  if (j + w <= classes) store_narrow<A>(to + j, value(Whole{}, j, w)), j += w;
  if (j < classes) store_narrow_part<A>(to + j, classes - j, value(Part{}, j, classes - j));
}

// A number of each row, to be written and read one by one.
template <class A>
struct alignas(64) Lanes {
  A of[kWidth<A>] = {};
  Vector<A> together() const { return load(of); }
};

template <class A>
inline Lanes<A> apart(Vector<A> v) {
  Lanes<A> lanes;
  store<A>(lanes.of, v);
  return lanes;
}

// One vector of results, that of row i in lane i, from a vector of each row.
template <class A, int h = kWidth<A> / 2, class Operation>
inline Vector<A> fold(Vector<A>* of_rows, const Operation& operation) {
  using Numbers = std::make_index_sequence<kWidth<A>>;
  for (int i = 0; i < h; ++i) {
    const Vector<A> a = of_rows[i], b = of_rows[i + h];
    of_rows[i] = operation(upper_of<A, h>(a, b, Numbers{}), lower_of<A, h>(a, b, Numbers{}));
  }
  if constexpr (h > 1) return fold<A, h / 2>(of_rows, operation);
  else return of_rows[0];
}

template <class A>
inline Vector<A> fold_sums(Vector<A>* of_rows) {
  return fold<A>(of_rows, [](Vector<A> a, Vector<A> b) { return a + b; });
}

}  // namespace
