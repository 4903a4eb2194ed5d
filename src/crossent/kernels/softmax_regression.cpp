// Loss, gradient and Hessian-vector product of softmax regression: each block of rows is read once, and stays in the second
// cache from its logits to its share of the derivatives.
//
// Compiled once for each instruction set, with CROSSENT_LEVEL naming it.

#include "couplings.h"
#include "feature_lanes.h"
#include "memory.h"
#include "products.h"
#include "regression.h"
#include "sparse_rows.h"

#define CROSSENT_JOIN(a, b) a##b
#define CROSSENT_NAMED(name, level) CROSSENT_JOIN(name, level)

namespace {

using crossent::RegressionProblem;

// Bytes of features in a block of rows.
constexpr int64_t kBlockBytes = 131072;
constexpr int64_t kFewestRows = 12, kMostRows = 480;

template <class A>
int64_t rows_of_block(const RegressionProblem& p) {
  const int64_t fitting = kBlockBytes / int64_t((p.dense_features + padded(p.classes)) * sizeof(A));
  const int64_t rows = fitting < kFewestRows ? kFewestRows : smaller(fitting, kMostRows);
  return rows / kFewestRows * kFewestRows;
}

// Weights and sums of the features that come whole vectors at a time, none where classes fill their vectors well.
template <class A>
struct Lanes {
  FeatureLanes<A> right, sums;
  Lanes(const RegressionProblem& p, const A* weight) : right(p.classes, covered(p)), sums(p.classes, covered(p)) {
    right.take(weight, padded(p.classes));
  }
  static int64_t covered(const RegressionProblem& p) {
    return FeatureLanes<A>::suit(p.classes, p.dense_features) ? p.dense_features : 0;
  }
};

// out = features @ right, without the bias, of the rows [begin, begin + rows).
template <class A>
void features_times(const RegressionProblem& p, int64_t begin, int64_t rows, const A* right, const Lanes<A>& lanes, A* out) {
  const int64_t stride = padded(p.classes), columns = columns_of<A>(p.classes);
  const int64_t d = p.dense_features, taken = lanes.right.features;
  const A* dense = static_cast<const A*>(p.dense) + begin * d;
  multiply<A, false>({dense + taken, d, 1}, rows, d - taken, right + taken * stride, stride, columns, out, stride);
  if (taken) lanes.right.add_product(dense, d, rows, out, stride);
  if (!p.ends) return;
  const SparseRow<A> whole{p.columns, static_cast<const A*>(p.values), 0};
  for (int64_t i = 0; i < rows; ++i) add_row_times(whole.part(p.ends + begin + i), right, stride, columns, out + i * stride);
}

// sums += features.T @ slopes, and to the bias their own sum; those of the lanes stay there.
template <class A>
void add_to_sums(const RegressionProblem& p, int64_t begin, int64_t rows, const A* slopes, Lanes<A>& lanes) {
  constexpr int64_t w = kWidth<A>;
  const int64_t stride = padded(p.classes), columns = columns_of<A>(p.classes);
  A* sums = static_cast<A*>(p.sums);
  A* of_bias = sums + p.features * stride;
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; j += w) store<A>(of_bias + j, load(of_bias + j) + load(slopes + i * stride + j));
  }
  const int64_t d = p.dense_features, taken = lanes.sums.features;
  const A* dense = static_cast<const A*>(p.dense) + begin * d;
  multiply<A, true>({dense + taken, 1, d}, d - taken, rows, slopes, stride, columns, sums + taken * stride, stride);
  if (taken) lanes.sums.add_slopes(dense, d, rows, slopes, stride);
  if (!p.ends) return;
  const SparseRow<A> whole{p.columns, static_cast<const A*>(p.values), 0};
  for (int64_t i = 0; i < rows; ++i) add_row(whole.part(p.ends + begin + i), slopes + i * stride, stride, columns, sums);
}

// Adds the bias to the logits of a row, and finds their probabilities; returns the log of the sum of exponentials.
template <class A>
double softmax_of_row(const RegressionProblem& p, A* logits, A* probs) {
  constexpr int64_t w = kWidth<A>;
  const int64_t columns = columns_of<A>(p.classes);
  const A* bias = static_cast<const A*>(p.weight) + p.features * padded(p.classes);
  Vector<A> tops = all<A>(-INFINITY), sums{};
  for (int64_t j = 0; j < columns; j += w) {
    const Vector<A> z = load(logits + j) + load_up_to<A>(bias + j, p.classes - j, -INFINITY);
    store<A>(logits + j, z);
    tops = larger<A>(z, tops);
  }
  const A top = largest_lane<A>(tops);
  for (int64_t j = 0; j < columns; j += w) {
    const Vector<A> e = exp_of<A>(load(logits + j) - top);
    store<A>(probs + j, e);
    sums += e;
  }
  const double sum = sum_lanes(sums);
  for (int64_t j = 0; j < columns; j += w) store<A>(probs + j, load(probs + j) * A(1 / sum));
  return top + std::log(sum);
}

// Puts the derivative of a row's loss by its logits in the place of its probabilities; returns the loss.
template <class A>
double loss_of_row(const RegressionProblem& p, int64_t row, const A* logits, double log_sum, A* slopes) {
  const double weight = p.row_weight ? static_cast<const A*>(p.row_weight)[row] : 1;
  double loss = 0, total = 1;
  if (p.target) {
    const int64_t target = p.target[row];
    loss = log_sum - logits[target];
    slopes[target] -= 1;
  } else {
    const A* distribution = static_cast<const A*>(p.distribution) + row * p.classes;
    total = 0;
    for (int64_t k = 0; k < p.classes; ++k) {
      total += distribution[k];
      if (distribution[k] != 0) loss += distribution[k] * (log_sum - logits[k]);
    }
    for (int64_t k = 0; k < p.classes; ++k) slopes[k] = A(total) * slopes[k] - distribution[k];
  }
  if (weight == 1) return loss;
  for (int64_t k = 0; k < p.classes; ++k) slopes[k] *= A(weight);
  return weight == 0 ? 0 : weight * loss;
}

template <class A>
void gradient(RegressionProblem* problem) {
  const RegressionProblem& p = *problem;
  const int64_t most = rows_of_block<A>(p), stride = padded(p.classes);
  Array<A> logits(most * stride), slopes(most * stride);
  const A* weight = static_cast<const A*>(p.weight);
  Lanes<A> lanes(p, weight);
  double loss = 0;
  for (int64_t begin = 0; begin < p.rows; begin += most) {
    const int64_t rows = smaller(most, p.rows - begin);
    features_times(p, begin, rows, weight, lanes, logits.data);
    for (int64_t i = 0; i < rows; ++i) {
      A *of_row = logits.data + i * stride, *slope = slopes.data + i * stride;
      const double log_sum = softmax_of_row(p, of_row, slope);
      if (p.probs) __builtin_memcpy(static_cast<A*>(p.probs) + (begin + i) * p.classes, slope, p.classes * sizeof(A));
      loss += loss_of_row(p, begin + i, of_row, log_sum, slope);
    }
    if (p.sums) add_to_sums(p, begin, rows, slopes.data, lanes);
  }
  if (p.sums) lanes.sums.add_to(static_cast<A*>(p.sums), stride);
  problem->loss = loss;
}

// Slopes of a row's derivative along a direction in which its logits change by the `change`.
template <class A>
void slopes_of_change(const RegressionProblem& p, int64_t row, A* change) {
  constexpr int64_t w = kWidth<A>;
  const int64_t columns = columns_of<A>(p.classes);
  const A* probs = static_cast<const A*>(p.probs) + row * p.classes;
  const A* of_bias = static_cast<const A*>(p.direction) + p.features * padded(p.classes);
  const A weight = p.row_weight ? static_cast<const A*>(p.row_weight)[row] : A(1);
  Vector<A> sums{};
  for (int64_t j = 0; j < columns; j += w) {
    const Vector<A> q = load_up_to<A>(probs + j, p.classes - j, 0) * (load(change + j) + load(of_bias + j));
    store<A>(change + j, q);
    sums += q;
  }
  const A mean = A(sum_lanes(sums));
  for (int64_t j = 0; j < columns; j += w) {
    const Vector<A> given = load_up_to<A>(probs + j, p.classes - j, 0);
    store<A>(change + j, (load(change + j) - given * mean) * weight);
  }
}

template <class A>
void product(RegressionProblem* problem) {
  const RegressionProblem& p = *problem;
  const int64_t most = rows_of_block<A>(p), stride = padded(p.classes);
  Array<A> changes(most * stride);
  const A* direction = static_cast<const A*>(p.direction);
  Lanes<A> lanes(p, direction);
  for (int64_t begin = 0; begin < p.rows; begin += most) {
    const int64_t rows = smaller(most, p.rows - begin);
    features_times(p, begin, rows, direction, lanes, changes.data);
    for (int64_t i = 0; i < rows; ++i) slopes_of_change(p, begin + i, changes.data + i * stride);
    add_to_sums(p, begin, rows, changes.data, lanes);
  }
  lanes.sums.add_to(static_cast<A*>(p.sums), stride);
}

}  // namespace

namespace crossent {
extern const RegressionKernels CROSSENT_NAMED(regression_kernels_, CROSSENT_LEVEL);
const RegressionKernels CROSSENT_NAMED(regression_kernels_, CROSSENT_LEVEL) = {
    gradient<float>,  product<float>,  add_couplings<float>,
    gradient<double>, product<double>, add_couplings<double>};
}  // namespace crossent
