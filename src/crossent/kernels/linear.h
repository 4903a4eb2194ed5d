// The C interface of the kernel of linear layers with few classes: rows of input to losses and gradients in one pass.
#pragma once

#include "rows.h"

namespace crossent {

// Arrays are of the Real type of `rows` and contiguous. Absent arrays are null.
struct LinearProblem {
  RowProblem rows;  // of all n rows, its logits and gradient apart, which stay inside; the normalizer is not 0
  int64_t features;
  const void* input;   // (n, d)
  const void* weight;  // (C, d)
  const void* bias;    // (C,)
  int64_t parts;       // how many equal shares of the rows have sums of their own
  void* sums;          // (parts, C * D + C'), with d and C rounded up to 16 in D and C': room for these
  void* grad_input;    // (n, d): written
  void* grad_weight;   // (C, d): added to
  void* grad_bias;     // (C,): added to
};

// Result of a call: 0, or 1 + the first row whose class index is out of range, with nothing written.
using LinearKernel = int64_t (*)(LinearProblem* problem);

}  // namespace crossent
