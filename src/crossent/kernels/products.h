// Small matrix products, of matrices that stay in the caches.
#pragma once

#include "vector.h"

namespace {

// The room for sums is laid out alike for all instruction sets.
constexpr int64_t kPadding = 16;

inline int64_t padded(int64_t n) { return (n + kPadding - 1) / kPadding * kPadding; }

inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// A matrix whose element (i, k) stands at i * row + k * column.
template <class A>
struct Matrix {
  const A* data;
  int64_t row, column;
};

// out (rows, vectors * width) = or += left (rows, depth) @ right (depth, ...), the last with rows `stride` apart.
template <class A, int rows, int vectors, bool add>
void multiply_tile(Matrix<A> left, const A* right, int64_t stride, int64_t depth, A* out, int64_t out_stride) {
  constexpr int64_t w = kWidth<A>;
  Vector<A> sums[rows][vectors];
  for (int i = 0; i < rows; ++i) {
    for (int v = 0; v < vectors; ++v) sums[i][v] = add ? load(out + i * out_stride + v * w) : Vector<A>{};
  }
  for (int64_t k = 0; k < depth; ++k) {
    Vector<A> of_right[vectors];
    for (int v = 0; v < vectors; ++v) of_right[v] = load(right + k * stride + v * w);
    for (int i = 0; i < rows; ++i) {
      const Vector<A> factor = all<A>(left.data[i * left.row + k * left.column]);
      for (int v = 0; v < vectors; ++v) sums[i][v] += factor * of_right[v];
    }
  }
  for (int i = 0; i < rows; ++i) {
    for (int v = 0; v < vectors; ++v) store<A>(out + i * out_stride + v * w, sums[i][v]);
  }
}

// Columns of `right` and `out` are padded to whole vectors.
template <class A, bool add>
void multiply(Matrix<A> left, int64_t rows, int64_t depth, const A* right, int64_t stride, int64_t columns, A* out,
              int64_t out_stride) {
  constexpr int64_t w = kWidth<A>;
  const auto run = [&](auto kernel, int64_t i, int64_t j) {
    kernel(Matrix<A>{left.data + i * left.row, left.row, left.column}, right + j, stride, depth, out + i * out_stride + j,
           out_stride);
  };
  for (int64_t j = 0; j < columns;) {
    const bool two = j + w < columns;
    int64_t i = 0;
    for (; i + 6 <= rows; i += 6) two ? run(multiply_tile<A, 6, 2, add>, i, j) : run(multiply_tile<A, 6, 1, add>, i, j);
    for (; i + 2 <= rows; i += 2) two ? run(multiply_tile<A, 2, 2, add>, i, j) : run(multiply_tile<A, 2, 1, add>, i, j);
    for (; i < rows; ++i) two ? run(multiply_tile<A, 1, 2, add>, i, j) : run(multiply_tile<A, 1, 1, add>, i, j);
    j += two ? 2 * w : w;
  }
}

}  // namespace
