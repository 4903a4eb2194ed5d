// Products of rows of many features with few classes, with features in the lanes, because few classes would fill
// vectors badly.
#pragma once

#include "memory.h"
#include "products.h"

namespace {

// Number of rows and vectors of a tile, and largest number of classes: sums and operands fit into 32 registers.
constexpr int kTileRows = 4, kTileVectors = 4, kTileClasses = 5;
// With fewer features, summing the lanes takes longer than the lanes that classes leave empty.
constexpr int64_t kFewestFeatures = 256;

// Calls `run` with a tile's first class and, as a constant, the number of its classes.
template <class Run>
void for_class_tiles(int64_t classes, Run run) {
  const int64_t tiles = (classes + kTileClasses - 1) / kTileClasses;
  for (int64_t tile = 0, k = 0; tile < tiles; ++tile) {
    const int64_t next = classes * (tile + 1) / tiles;
    switch (next - k) {
      case 1: run(k, std::integral_constant<int, 1>{}); break;
      case 2: run(k, std::integral_constant<int, 2>{}); break;
      case 3: run(k, std::integral_constant<int, 3>{}); break;
      case 4: run(k, std::integral_constant<int, 4>{}); break;
      default: run(k, std::integral_constant<int, kTileClasses>{});
    }
    k = next;
  }
}

// The first features of some rows, a whole number of vectors of them, and the weights or sums that belong to them.
template <class A>
struct FeatureLanes {
  int64_t classes, features, of_class;  // of_class: where the next class begins
  Array<A> turned;                      // (classes, of_class)

  FeatureLanes(int64_t classes_, int64_t d)
      : classes(classes_), features(d / kWidth<A> * kWidth<A>), of_class(features + kWidth<A>), turned(classes * of_class) {}

  static bool suit(int64_t classes, int64_t d) {
    const int64_t columns = (classes + kWidth<A> - 1) / kWidth<A> * kWidth<A>;
    return d >= kFewestFeatures && classes * 4 <= columns * 3;
  }

  void take(const A* weight, int64_t stride) {
    for (int64_t j = 0; j < features; ++j) {
      for (int64_t k = 0; k < classes; ++k) turned[k * of_class + j] = weight[j * stride + k];
    }
  }

  void add_to(A* sums, int64_t stride) const {
    for (int64_t j = 0; j < features; ++j) {
      for (int64_t k = 0; k < classes; ++k) sums[j * stride + k] += turned.data[k * of_class + j];
    }
  }

  // out (rows, stride) += left @ turned.T
  void add_product(const A* left, int64_t d, int64_t rows, A* out, int64_t stride) const {
    for (int64_t i = 0; i < rows;) {
      const bool whole = i + kTileRows <= rows;
      for_class_tiles(classes, [&](int64_t k, auto count) {
        const A* x = left + i * d;
        A* to = out + i * stride + k;
        if (whole) {
          product_tile<kTileRows, count()>(x, d, turned.data + k * of_class, to, stride);
        } else {
          product_tile<1, count()>(x, d, turned.data + k * of_class, to, stride);
        }
      });
      i += whole ? kTileRows : 1;
    }
  }

  // turned += slopes.T @ left
  void add_slopes(const A* left, int64_t d, int64_t rows, const A* slopes, int64_t stride) {
    constexpr int64_t w = kWidth<A>;
    for (int64_t j = 0; j < features;) {
      const bool whole = j + kTileVectors * w <= features;
      for_class_tiles(classes, [&](int64_t k, auto count) {
        A* to = turned.data + k * of_class + j;
        if (whole) {
          slopes_tile<kTileVectors, count()>(left + j, d, rows, slopes + k, stride, to);
        } else {
          slopes_tile<1, count()>(left + j, d, rows, slopes + k, stride, to);
        }
      });
      j += whole ? kTileVectors * w : w;
    }
  }

  template <int rows, int count>
  void product_tile(const A* left, int64_t d, const A* weight, A* out, int64_t stride) const {
    constexpr int64_t w = kWidth<A>;
    Vector<A> sums[rows][count] = {};
    for (int64_t j = 0; j < features; j += w) {
      Vector<A> x[rows];
      for (int i = 0; i < rows; ++i) x[i] = load(left + i * d + j);
      for (int k = 0; k < count; ++k) {
        const Vector<A> of_class_k = load(weight + k * of_class + j);
        for (int i = 0; i < rows; ++i) sums[i][k] += x[i] * of_class_k;
      }
    }
    for (int i = 0; i < rows; ++i) {
      for (int k = 0; k < count; ++k) out[i * stride + k] += A(sum_lanes(sums[i][k]));
    }
  }

  template <int vectors, int count>
  void slopes_tile(const A* left, int64_t d, int64_t rows, const A* slopes, int64_t stride, A* to) const {
    constexpr int64_t w = kWidth<A>;
    Vector<A> sums[count][vectors];
    for (int k = 0; k < count; ++k) {
      for (int v = 0; v < vectors; ++v) sums[k][v] = load(to + k * of_class + v * w);
    }
    for (int64_t i = 0; i < rows; ++i) {
      Vector<A> x[vectors];
      for (int v = 0; v < vectors; ++v) x[v] = load(left + i * d + v * w);
      for (int k = 0; k < count; ++k) {
        const Vector<A> slope = all<A>(slopes[i * stride + k]);
        for (int v = 0; v < vectors; ++v) sums[k][v] += slope * x[v];
      }
    }
    for (int k = 0; k < count; ++k) {
      for (int v = 0; v < vectors; ++v) store<A>(to + k * of_class + v * w, sums[k][v]);
    }
  }
};

}  // namespace
