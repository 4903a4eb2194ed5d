// Blocks of a row: its logits and the weights of its target as the loss takes them, and sums over them.
#pragma once

#include "elements.h"
#include "memory.h"
#include "rows.h"
#include "vector.h"

namespace {

using crossent::kBytes;
using crossent::RowProblem;

// Each float of a vector sums up to 64 numbers of a block; more would lose digits.
constexpr int64_t kBlock = 32 * kVectorBytes;

template <class A>
struct alignas(64) Buffers {
  A logits[kBlock];
  A derivative[kBlock];
  A weight[kBlock];
  A gradient[kBlock];
  A possible[kBlock];
};

inline int64_t offset(const RowProblem& p, const View& view, int64_t row) {
  if (p.inner_rows == 1) return row * view.outer;
  return row / p.inner_rows * view.outer + row % p.inner_rows * view.inner;
}

template <class A>
inline A at(const void* values, int64_t i, A absent) {
  return values ? static_cast<const A*>(values)[i] : absent;
}

template <class A>
inline A sample_weight(const RowProblem& p, int64_t row) {
  return p.target && p.target[row] == p.ignore_index ? A(0) : at<A>(p.sample_weight, row, 1);
}

template <class A>
inline A target_weight(const RowProblem& p, int64_t row) {
  return p.target ? at<A>(p.class_weight, p.target[row], 1) : A(1);
}

inline bool has_distribution(const RowProblem& p) { return p.distribution.data || p.label_smoothing > 0; }

inline bool is_transformed(const RowProblem& p) {
  return p.softcap > 0 || p.temperature != 1 || p.log_prior || p.possible.data;
}

// Caps the logits in the buffer and leaves the derivative of the capped by the uncapped.
template <class A>
void cap(A* logits, int64_t n, A softcap, A* derivative) {
  for (int64_t j = n; j % kWidth<A>; ++j) logits[j] = 0;
  for (int64_t j = 0; j < n; j += kWidth<A>) {
    const Tanh<A> t = tanh_of<A>(load(logits + j) / softcap);
    store<A>(logits + j, t.value * softcap);
    store<A>(derivative + j, t.slope);
  }
}

// One at the classes among columns [j, j + n) that are possible, zero at the others.
template <class A>
const A* possible_block(const RowProblem& p, int64_t row, int64_t j, int64_t n, Buffers<A>& buffers) {
  return read(p.possible, offset(p, p.possible, row) + j * p.possible.classes, n, buffers.possible);
}

// Logits of columns [j, j + n) of a row as the softmax takes them: capped, divided, shifted, minus infinity where a
// class is impossible. The derivative of each by its input is left in its buffer, if there is any transformation.
template <class A>
const A* logits_block(const RowProblem& p, int64_t row, int64_t j, int64_t n, Buffers<A>& buffers) {
  const A* source = read(p.logits, offset(p, p.logits, row) + j * p.logits.classes, n, buffers.logits);
  if (!is_transformed(p)) return source;
  A* logits = buffers.logits;
  A* derivative = buffers.derivative;
  if (source != logits) __builtin_memcpy(logits, source, n * sizeof(A));
  for (int64_t i = 0; i < n; ++i) derivative[i] = 1;
  if (p.softcap > 0) cap(logits, n, A(p.softcap), derivative);
  if (p.temperature != 1) {
    const A temperature = A(p.temperature);
    for (int64_t i = 0; i < n; ++i) logits[i] /= temperature, derivative[i] /= temperature;
  }
  if (p.log_prior) {
    const A* log_prior = static_cast<const A*>(p.log_prior) + p.first_class + j;
    for (int64_t i = 0; i < n; ++i) logits[i] += log_prior[i];
  }
  if (p.possible.data) {
    const A* possible = possible_block(p, row, j, n, buffers);
    for (int64_t i = 0; i < n; ++i) {
      logits[i] = possible[i] != 0 ? logits[i] : A(-INFINITY);
      derivative[i] = possible[i] != 0 ? derivative[i] : A(0);
    }
  }
  return logits;
}

template <class A>
inline void times(A* values, const A* factors, int64_t n) {
  for (int64_t i = 0; i < n; ++i) values[i] *= factors[i];
}

// The target's distribution over columns [j, j + n), smoothed and times the class weights, without the index's share.
template <class A>
const A* weight_block(const RowProblem& p, int64_t row, int64_t j, int64_t n, Buffers<A>& buffers) {
  if (!has_distribution(p)) return nullptr;
  if (p.even_weight) return static_cast<const A*>(p.even_weight) + j;
  A* weight = buffers.weight;
  const A* class_weight = p.class_weight ? static_cast<const A*>(p.class_weight) + p.first_class + j : nullptr;
  if (p.distribution.data) {
    const A kept = A(1 - p.label_smoothing);
    const A* given = read(p.distribution, offset(p, p.distribution, row) + j * p.distribution.classes, n, weight);
    if (!class_weight && p.label_smoothing == 0) return given;
    for (int64_t i = 0; i < n; ++i) weight[i] = given[i] * kept;
    if (class_weight && !p.weighted_smoothing) times(weight, class_weight, n);
  } else {
    for (int64_t i = 0; i < n; ++i) weight[i] = 0;
  }
  const A even = A(p.label_smoothing) / at<A>(p.possible_count, row, A(p.total_classes));
  if (p.possible.data && p.label_smoothing > 0) {
    const A* possible = possible_block(p, row, j, n, buffers);
    for (int64_t i = 0; i < n; ++i) weight[i] += possible[i] * even;
  } else {
    for (int64_t i = 0; i < n; ++i) weight[i] += even;
  }
  if (class_weight && p.weighted_smoothing) times(weight, class_weight, n);
  return weight;
}

// The largest of n values without NaN; minus infinity if there is none.
template <class A>
A largest_value(const A* values, int64_t n) {
  constexpr int64_t w = kWidth<A>;
  Vector<A> top0 = all<A>(-INFINITY), top1 = top0, top2 = top0, top3 = top0;
  int64_t j = 0;
  for (; j + 4 * w <= n; j += 4 * w) {
    top0 = larger<A>(load(values + j), top0);
    top1 = larger<A>(load(values + j + w), top1);
    top2 = larger<A>(load(values + j + 2 * w), top2);
    top3 = larger<A>(load(values + j + 3 * w), top3);
  }
  for (; j + w <= n; j += w) top0 = larger<A>(load(values + j), top0);
  if (j < n) top1 = larger<A>(load_part(values + j, n - j, A(-INFINITY)), top1);
  return largest_lane<A>(larger<A>(larger<A>(top0, top1), larger<A>(top2, top3)));
}

// Place of the first of n values that equals one of them.
template <class A>
int64_t find(const A* values, int64_t n, A value) {
  constexpr int64_t w = kWidth<A>;
  int64_t j = 0;
  for (; j + 4 * w <= n; j += 4 * w) {
    const Integers<A> pair = (load(values + j) == value) | (load(values + j + w) == value);
    const Integers<A> next = (load(values + j + 2 * w) == value) | (load(values + j + 3 * w) == value);
    if (any_lane<A>(pair | next)) break;
  }
  while (values[j] != value) ++j;
  return j;
}

// The address of the elements of a row from column j on, and the bytes of each, for prefetching: memory is read while
// exponentials are computed.
struct Ahead {
  const char* data;
  int64_t bytes;
};

inline Ahead ahead(const RowProblem& p, const View& view, int64_t row, int64_t j) {
  const int64_t bytes = kBytes[view.dtype];
  const int64_t element = offset(p, view, row) + j * view.classes;
  return {static_cast<const char*>(view.data) + element * bytes, view.classes == 1 ? bytes : 0};
}

inline void prefetch(const Ahead& a, int64_t i) { __builtin_prefetch(a.data + i * a.bytes); }
inline void prefetch_to_write(const Ahead& a, int64_t i) { __builtin_prefetch(a.data + i * a.bytes, 1); }

// Sum over n values, except for the one at `omitted` if there is one, of whole(j) for the vector of values from j on.
// The vectors with the omitted value and at the end come from part(j), which fills them up with values that add
// nothing.
template <class A, class Whole, class Part>
inline double sum_vectors(int64_t n, int64_t omitted, const Whole& whole, const Part& part) {
  constexpr int64_t w = kWidth<A>;
  Vector<A> sums[4] = {};
  int64_t j = 0;
  const auto take_until = [&](int64_t end) {
    for (; j + 4 * w <= end; j += 4 * w) {
      for (int64_t i = 0; i < 4; ++i) sums[i] += whole(j + i * w);
    }
    for (; j + w <= end; j += w) sums[0] += whole(j);
  };
  const auto take_apart = [&]() {
    sums[1] += lane_numbers<A>() == typename Types<A>::Integer(omitted - j) ? Vector<A>{} : part(j);
    j += w;
  };
  if (omitted >= 0) {
    take_until(omitted / w * w);
    take_apart();
  }
  take_until(n);
  if (j < n) take_apart();
  return sum_lanes((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

// Sum of exp(value - top); if asked for, all exponentials are stored in `kept`, which may be the array of the values.
template <class A, bool keeps>
double sum_exp(const A* values, int64_t n, A top, int64_t omitted, A* kept, Ahead next) {
  const auto whole = [=](int64_t j) {
    prefetch(next, j);
    const Vector<A> e = exp_of<A>(load(values + j) - top);
    if (keeps) store<A>(kept + j, e);
    return e;
  };
  const auto part = [=](int64_t j) {
    const Vector<A> e = exp_of<A>(load_up_to<A>(values + j, n - j, -INFINITY) - top);
    if (keeps) store_up_to<A>(kept + j, n - j, e);
    return e;
  };
  return sum_vectors<A>(n, omitted, whole, part);
}

template <class A>
double sum_others(const A* values, int64_t n, int64_t omitted) {
  const auto whole = [=](int64_t j) { return load(values + j); };
  const auto part = [=](int64_t j) { return load_up_to<A>(values + j, n - j, 0); };
  return sum_vectors<A>(n, omitted, whole, part);
}

// Smoothed indices without a mask have the same weights in all rows, made once.
template <class A>
struct EvenWeight {
  Array<A> values;

  explicit EvenWeight(RowProblem& p) : values(p.target && p.label_smoothing > 0 && !p.possible.data ? p.classes : 0) {
    if (values.size == 0) return;
    const A* class_weight = p.weighted_smoothing ? static_cast<const A*>(p.class_weight) : nullptr;
    const A even = A(p.label_smoothing) / A(p.total_classes);
    for (int64_t j = 0; j < p.classes; ++j) {
      values[j] = class_weight ? even * class_weight[p.first_class + j] : even;
    }
    p.even_weight = values.data;
    p.even_total = sum_others(values.data, p.classes, -1);
  }
};

// Sum of weight * (top - logit), where zero weight times an infinite distance is zero, and the distance of infinity
// from itself is zero.
template <class A>
double weighted_below_infinite(const A* logits, const A* weight, int64_t n, A top) {
  double sum = 0;
  for (int64_t j = 0; j < n; ++j) {
    if (weight[j] != 0 && logits[j] < top) sum += weight[j] * (top - logits[j]);
  }
  return sum;
}

template <class A>
double weighted_below(const A* logits, const A* weight, int64_t n, A top) {
  constexpr int64_t w = kWidth<A>;
  Vector<A> sums[4] = {};
  int64_t j = 0;
  for (; j + 4 * w <= n; j += 4 * w) {
    for (int64_t i = 0; i < 4; ++i) sums[i] += load(weight + j + i * w) * (top - load(logits + j + i * w));
  }
  for (; j + w <= n; j += w) sums[0] += load(weight + j) * (top - load(logits + j));
  if (j < n) sums[1] += load_part(weight + j, n - j, A(0)) * (top - load_part(logits + j, n - j, A(0)));
  const double sum = sum_lanes((sums[0] + sums[1]) + (sums[2] + sums[3]));
  return std::isfinite(sum) ? sum : weighted_below_infinite(logits, weight, n, top);
}

}  // namespace
