// The C interface of the kernel of dual ascent, which improves a softmax regression with each sparse row.
#pragma once

#include <cstdint>

namespace crossent {

// Arrays are of one Real type, float or double, and contiguous. W is K rounded up to 16. After K, `offset` and
// `log_probs` hold logarithms that stand for zero (-1e9 or less, and -80), so that these columns get no probability.
struct DualProblem {
  int64_t visits;        // rows that the pass goes by
  int64_t features;
  int64_t classes;       // K
  const int64_t* order;  // (visits,): which ones
  const int64_t* ends;   // where the elements of each row begin, and at last end
  const int32_t* columns;
  const void* values;
  const int64_t* target;  // class of each row; or null
  const void* offset;     // (W,): added to the logits
  const void* strength;   // of each row: its weight by the penalty; rows of 0 are left alone
  double least_dual;      // duals of blocks of classes that are all smaller stay as they are; 0: all may change
  double negligible;      // changes of blocks of duals that are all smaller are left undone
  void* log_probs;        // of each row, (W,): logs of the dual variables
  void* weight;           // (features + 1, W), the bias last: sum of strength * (target - dual) x features
  double loss;            // found, if all duals may change: sums of strength times, each row as the pass came by, its cross
                          // entropy, if there are targets,
  double gap;             // and what its dual lacks
};

struct DualKernels {
  void (*ascend)(DualProblem* of_float);
  void (*wide_ascend)(DualProblem* of_double);
};

}  // namespace crossent
