// The C interface of the kernel of log-probabilities in double.
#pragma once

#include <cstdint>

namespace crossent {

// Arrays are contiguous.
struct LogSoftmaxProblem {
  int64_t rows;
  int64_t classes;
  const void* logits;  // (rows, classes), float or double
  int64_t wide;        // 1: they are double
  double* log_probs;   // (rows, classes): written
};

using LogSoftmaxKernel = void (*)(LogSoftmaxProblem* problem);

}  // namespace crossent
