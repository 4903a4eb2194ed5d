// The C interface of the kernels of curves: embeddings of numbers by straight pieces between knots.
#pragma once

#include "rows.h"

namespace crossent {

// Arrays are of floats and contiguous. A number x lies on the last piece that begins below it, and covers the share (x
// - left) * slope of it, from 0 to 1. Its embedding is the sum of this share of the piece's weight, the weights of all
// pieces below, the bias, and the line times bent(x) = x / sqrt(1 + (x / farthest)^2).
struct CurveProblem {
  int64_t rows;
  int64_t numbers;      // p
  int64_t pieces;       // b
  int64_t size;         // s
  double farthest;
  const float* values;  // (rows, p)
  const float* left;    // (p, b): where pieces begin, rising; those that are not there come last
  const float* slope;   // (p, b): one over their lengths; 0: not there
  const float* weight;  // (p, b, s)
  const float* line;    // (p, s)
  const float* bias;    // (p, s)
  float* out;           // (rows, p * s): written forward
  const float* out_gradient;  // (rows, p * s): read backward, when those of weight, line and bias are written
  float* weight_gradient;
  float* line_gradient;
  float* bias_gradient;
  ParallelFor parallel_for;
};

struct CurveKernels {
  void (*forward)(CurveProblem* problem);
  void (*backward)(CurveProblem* problem);
};

}  // namespace crossent
