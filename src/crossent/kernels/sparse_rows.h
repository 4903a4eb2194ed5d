// One sparse row times a matrix that has a row for each feature and a column for each class, padded to whole vectors.
#pragma once

#include "products.h"

namespace {

// Elements of a sparse row to ask for before their turn.
constexpr int64_t kElementsAhead = 8;

// Elements that hold the classes: whole vectors.
template <class A>
int64_t columns_of(int64_t classes) {
  return (classes + kWidth<A> - 1) / kWidth<A> * kWidth<A>;
}

template <class A>
struct SparseRow {
  const int32_t* columns;
  const A* values;
  int64_t size;
  // The row whose elements begin and end where `ends` says.
  SparseRow part(const int64_t* ends) const { return {columns + ends[0], values + ends[0], ends[1] - ends[0]}; }
};

// out += row @ right
template <class A, int vectors>
void add_row_times_part(SparseRow<A> row, const A* right, int64_t stride, A* out) {
  constexpr int64_t w = kWidth<A>;
  Vector<A> sums[vectors];
  for (int v = 0; v < vectors; ++v) sums[v] = load(out + v * w);
  for (int64_t i = 0; i < row.size; ++i) {
    if (i + kElementsAhead < row.size) {
      for (int v = 0; v < vectors; ++v) __builtin_prefetch(right + row.columns[i + kElementsAhead] * stride + v * w);
    }
    const A* of_feature = right + row.columns[i] * stride;
    for (int v = 0; v < vectors; ++v) sums[v] += row.values[i] * load(of_feature + v * w);
  }
  for (int v = 0; v < vectors; ++v) store<A>(out + v * w, sums[v]);
}

template <class A>
void add_row_times(SparseRow<A> row, const A* right, int64_t stride, int64_t columns, A* out) {
  constexpr int64_t w = kWidth<A>;
  int64_t j = 0;
  for (; j + 4 * w <= columns; j += 4 * w) add_row_times_part<A, 4>(row, right + j, stride, out + j);
  for (; j + 2 * w <= columns; j += 2 * w) add_row_times_part<A, 2>(row, right + j, stride, out + j);
  for (; j < columns; j += w) add_row_times_part<A, 1>(row, right + j, stride, out + j);
}

// sums += row.T @ slopes
template <class A>
void add_row(SparseRow<A> row, const A* slopes, int64_t stride, int64_t columns, A* sums) {
  constexpr int64_t w = kWidth<A>;
  for (int64_t i = 0; i < row.size; ++i) {
    if (i + kElementsAhead < row.size) __builtin_prefetch(sums + row.columns[i + kElementsAhead] * stride, 1);
    A* of_feature = sums + row.columns[i] * stride;
    for (int64_t j = 0; j < columns; j += w) {
      store<A>(of_feature + j, load(of_feature + j) + row.values[i] * load(slopes + j));
    }
  }
}

}  // namespace
