// The C interface of the kernel of dual ascent: a softmax regression that gets better with each sparse row.
#pragma once

#include <cstdint>

namespace crossent {

// Arrays are contiguous; W is K rounded up to 16. What stands beyond K in `offset` and `log_probs` is a log of nothing, -1e9
// and -80, so that no probability goes there.
struct BlockAscentProblem {
  int64_t visits;            // rows that the pass goes by
  int64_t features;
  int64_t classes;           // K
  const int64_t* order;      // (visits,): which ones
  const int64_t* ends;       // where the elements of each row begin, and at last end
  const int32_t* columns;
  const float* values;
  const int64_t* target;     // class of each row
  const float* offset;       // (W,): added to the logits
  double C;                  // inverse penalty
  double least_dual;         // duals of blocks of classes that are all smaller stay as they are; 0: all may change
  float* log_probs;          // (rows, W): logs of the dual variables
  float* weight;             // (features + 1, W), the bias last: C * sum of (one-hot target - dual) x features
  double loss;               // found, if all duals may change: cross entropies of the rows when the pass came by, summed
  double gap;                // and what their duals lacked, summed in the same way
};

using BlockAscentKernel = void (*)(BlockAscentProblem*);

}  // namespace crossent
