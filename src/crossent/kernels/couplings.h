// The exact Hessian of a softmax regression: for each pair of classes the second moments of the features.
#pragma once

#include "memory.h"
#include "products.h"
#include "regression.h"
#include "sparse_rows.h"

namespace {

// Number of rows whose weights and products of features are in the caches at once, and about the number of either.
constexpr int64_t kCoupledRows = 128, kCoupledPairs = 384, kCoupledProducts = 512;

inline int64_t pairs_of(int64_t n) { return n * (n + 1) / 2; }

// Rows [begin, end) of the triangle of pairs (i, j), i <= j < n, and the pairs in them.
struct TriangleRows {
  int64_t n, most, begin = 0, end = 0, pairs = 0;
  TriangleRows(int64_t n_, int64_t most_) : n(n_), most(most_ > n_ ? most_ : n_) {}
  // The next rows, no more pairs than fit; false after the last.
  bool next() {
    begin = end, pairs = 0;
    while (end < n && pairs + n - end <= most) pairs += n - end++;
    return begin < n;
  }
};

// An odd number of cache lines, so that rows at this distance do not push each other out of the cache.
template <class A>
int64_t spread_stride(int64_t n) {
  constexpr int64_t line = 64 / sizeof(A);
  return ((n + line - 1) / line | 1) * line;
}

// Weights of rows in the moments of pairs of classes, (pairs, rows), from their probabilities, (classes, rows).
template <class A>
void find_weights(const TriangleRows& classes, const A* probs, const A* row_weight, A* weights) {
  constexpr int64_t w = kWidth<A>, rows = kCoupledRows;
  for (int64_t k = classes.begin; k < classes.end; ++k) {
    for (int64_t l = k; l < classes.n; ++l, weights += rows) {
      for (int64_t i = 0; i < rows; i += w) {
        const Vector<A> other = load(probs + l * rows + i), weighted = load(probs + k * rows + i) * load(row_weight + i);
        store<A>(weights + i, weighted * (l == k ? A(1) - other : -other));
      }
    }
  }
}

// Products of pairs of features, (rows, pairs), filled up with zeros to whole vectors.
template <class A>
void find_products(const TriangleRows& features, const A* dense, int64_t rows, A* products, int64_t stride) {
  constexpr int64_t w = kWidth<A>;
  for (int64_t i = 0; i < rows; ++i, dense += features.n + w, products += stride) {
    A* to = products;
    for (int64_t j = features.begin; j < features.end; to += features.n - j++) {
      // The surplus of a whole vector is overwritten by the next one.
      for (int64_t l = j; l < features.n; l += w) store<A>(to + l - j, load(dense + l) * dense[j]);
    }
    store<A>(to, Vector<A>{});
  }
}

template <class A>
struct CoupledRows {
  Array<A> probs, row_weight, dense;
  CoupledRows(int64_t classes, int64_t d) : probs(classes * kCoupledRows), row_weight(kCoupledRows), dense(kCoupledRows * (d + kWidth<A>)) {}
  void take(const crossent::CouplingProblem& p, int64_t begin, int64_t rows) {
    for (int64_t i = 0; i < rows; ++i) {
      const A* of_row = static_cast<const A*>(p.probs) + (begin + i) * p.classes;
      for (int64_t k = 0; k < p.classes; ++k) probs[k * kCoupledRows + i] = of_row[k];
      row_weight[i] = static_cast<const A*>(p.row_weight)[begin + i];
      const A* from = static_cast<const A*>(p.dense) + (begin + i) * p.features;
      __builtin_memcpy(dense.data + i * (p.features + kWidth<A>), from, p.features * sizeof(A));
    }
  }
};

// Adds to `sums`, (pairs of classes, pairs of features), the pairs of both in the order of a triangle's rows.
template <class A>
void add_couplings(crossent::CouplingProblem* problem) {
  const crossent::CouplingProblem& p = *problem;
  constexpr int64_t w = kWidth<A>;
  const int64_t stride = padded(pairs_of(p.features)) + kPadding;
  TriangleRows features(p.features, kCoupledProducts), classes(p.classes, kCoupledPairs);
  const int64_t of_products = spread_stride<A>(features.most + 2 * w);
  CoupledRows<A> coupled(p.classes, p.features);
  Array<A> weights(classes.most * kCoupledRows), products(kCoupledRows * of_products);
  for (int64_t begin = 0; begin < p.rows; begin += kCoupledRows) {
    const int64_t rows = smaller(kCoupledRows, p.rows - begin);
    coupled.take(p, begin, rows);
    A* sums = static_cast<A*>(p.sums);
    for (features.end = 0; features.next(); sums += features.pairs) {
      find_products(features, coupled.dense.data, rows, products.data, of_products);
      const int64_t columns = columns_of<A>(features.pairs);
      A* out = sums;
      for (classes.end = 0; classes.next(); out += classes.pairs * stride) {
        find_weights(classes, coupled.probs.data, coupled.row_weight.data, weights.data);
        multiply<A, true>({weights.data, kCoupledRows, 1}, classes.pairs, rows, products.data, of_products, columns, out, stride);
      }
    }
  }
}

}  // namespace
