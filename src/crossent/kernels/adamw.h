// The C interface of the kernel of AdamW.
#pragma once

#include "rows.h"

namespace crossent {

// A step of all parameters in one pass:
//   mean     += mean_share * (gradient - mean)
//   square   += square_share * (gradient^2 - square)
//   value     = kept * value - rate * mean / (sqrt(square) * square_scale + epsilon), kept being 1 behind the first
//               `decaying` ones
struct AdamWProblem {
  int64_t count;     // P
  int64_t decaying;  // of these
  double rate;
  double kept;
  double mean_share;
  double square_share;
  double square_scale;
  double epsilon;
  const float* gradient;  // (P,), as are all
  float* values;
  float* mean;
  float* square;
  ParallelFor parallel_for;
};

using AdamWKernel = void (*)(AdamWProblem* problem);

}  // namespace crossent
