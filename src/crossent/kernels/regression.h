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

// Of few features and classes: sums over the rows of weight * p_k * ((k == l) - p_l) * x_i * x_j, for k <= l and i <= j.
struct CouplingProblem {
  int64_t rows;
  int64_t features;        // d
  int64_t classes;         // K
  const void* dense;       // (rows, d)
  const void* probs;       // (rows, K)
  const void* row_weight;  // (rows,)
  void* sums;              // (K (K + 1) / 2, d (d + 1) / 2 rounded up to 16, and 16 more): added to
};

struct RegressionKernels {
  void (*gradient)(RegressionProblem* of_float);
  void (*product)(RegressionProblem* of_float);  // of the Hessian and the direction
  void (*couplings)(CouplingProblem* of_float);
  void (*wide_gradient)(RegressionProblem* of_double);
  void (*wide_product)(RegressionProblem* of_double);
  void (*wide_couplings)(CouplingProblem* of_double);
};

}  // namespace crossent
