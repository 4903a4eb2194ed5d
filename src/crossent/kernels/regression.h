// The C interface of the kernels of softmax regression: rows of features to the derivatives of their loss, in one pass.
#pragma once

#include <cstdint>

namespace crossent {

// Arrays are of one Real type, float or double, and contiguous. Absent arrays are null. W is K rounded up to 16; what
// stands beyond K is 0 in `weight` and `direction`, and does not matter in the rest.
struct RegressionProblem {
  int64_t rows;
  int64_t features;          // in all
  int64_t dense_features;    // the first of them, as
  int64_t classes;           // K
  const void* dense;         // (rows, dense_features); and any, the first ones too, as compressed sparse rows:
  const int64_t* ends;       // (rows + 1,): where the elements of each row begin, and at last end; or null
  const int32_t* columns;
  const void* values;
  const void* weight;     // (features + 1, W): the bias last
  const int64_t* target;  // (rows,) class indices; or
  const void* distribution;  // (rows, K)
  const void* row_weight;    // (rows,)
  void* probs;            // (rows, K): written by the gradient, read by the product
  const void* direction;  // (features + 1, W)
  void* sums;             // (features + 1, W): added to
  double loss;            // the sum of the cross entropies
};

// Rows of sparse features alone, each with probabilities of its own; absent and padded as above.
struct DualProblem {
  int64_t rows;          // to visit
  int64_t features;
  int64_t classes;       // K
  const int64_t* order;  // (rows,): which, one after the other
  const int64_t* ends;
  const int32_t* columns;
  const void* values;
  const void* strength;  // of each row: its weight by the penalty; rows of 0 are left alone
  void* theta;           // (features + 1, W): sum over rows of strength * (target - probs) * features; changed with them
  void* log_probs;       // of each row, (W,)
  double gap;  // sum of strength * divergence of the probabilities from those of the weights, at each row's turn
};

struct RegressionKernels {
  void (*gradient)(RegressionProblem* of_float);
  void (*product)(RegressionProblem* of_float);  // of the Hessian and the direction
  void (*wide_gradient)(RegressionProblem* of_double);
  void (*wide_product)(RegressionProblem* of_double);
  void (*ascend)(DualProblem* of_float);
  void (*wide_ascend)(DualProblem* of_double);
};

}  // namespace crossent
