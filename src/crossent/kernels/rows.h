// The C interface of the row kernels: what a call needs, as plain structs that Python fills by ctypes.
#pragma once

#include <cstdint>

namespace crossent {

enum DType : int64_t { kFloat32 = 0, kFloat64 = 1, kBFloat16 = 2, kFloat16 = 3, kBool = 4 };

constexpr int64_t kBytes[] = {4, 8, 2, 2, 1};

// Element (outer row i, inner row s, class j) stands at i * outer + s * inner + j * classes. No data: absent.
struct View {
  void* data;
  int64_t dtype;
  int64_t outer;
  int64_t inner;
  int64_t classes;
};

// Runs body(begin, end, context) over parts of [begin, end), as torch_parallel_for does; null: serially.
using Body = void (*)(int64_t begin, int64_t end, void* context);
using ParallelFor = int (*)(int64_t begin, int64_t end, int64_t grain, Body body, void* context);

// "Real" is double for float64 logits and float for all others. Absent arrays are null.
struct RowProblem {
  int64_t outer_rows;
  int64_t inner_rows;
  int64_t classes;        // columns of the logits given here
  int64_t first_class;    // the class of their first column
  int64_t total_classes;  // K
  View logits;
  View distribution;  // soft targets, in place of indices
  View possible;      // bool: classes that can occur
  View gradient;      // backward: written
  const int64_t* target;
  int64_t ignore_index;
  const void* class_weight;   // Real (K,)
  const void* sample_weight;  // Real (rows,); 0 ignores the row
  const void* log_prior;      // Real (K,)
  double label_smoothing;
  double temperature;
  double softcap;  // 0: none
  double z_loss;
  double focal_gamma;
  int64_t weighted_smoothing;  // 1: the class weights hold for the smoothed part of the target too
  const void* possible_count;  // Real (rows,): how many classes are possible, for label smoothing; absent: K
  double* states;         // (rows, 8): what is known of each row, where its classes come in several calls; absent: one call
  int64_t last;           // 1 in the last or only of these
  void* losses;           // Real (rows,): forward writes them, times the sample weight
  void* stats;            // Real (4, rows): forward writes, backward reads
  int64_t* largest;       // (rows,): forward writes the class of the largest logit, or -1 if backward has no use for it
  const void* grad_rows;  // Real (rows,): derivative of the result by each loss; times grad_scale
  double normalizer;  // divides the sum of the losses; 0: the sum of the weights of the rows that count
  double empty;       // the result if these are none
  void* result;       // Real: forward writes the sum of the losses, divided
  double grad_scale;  // forward writes the derivative of the result by each loss; backward reads it
  ParallelFor parallel_for;
  const void* even_weight;  // Real (classes,), the target's distribution where all rows have the same: made inside
  double even_total;        // its sum
};

// Result of a call: 0, or 1 + the first row whose class index is out of range, with nothing written.
using RowKernel = int64_t (*)(RowProblem* problem);

// A whole small problem of float logits, classes side by side, and their class indices, in plain arguments, because
// filling the struct takes longer than the computation. No gradient is written if its pointer is null.
using SmallKernel = int64_t (*)(const float* logits, const int64_t* target, int64_t rows, int64_t classes,
                                int64_t ignore_index, double normalizer, double empty, float* gradient, float* result);

struct RowKernels {
  RowKernel forward;           // losses, stats, result, grad_scale
  RowKernel backward;          // gradient from stats
  RowKernel forward_backward;  // both, row by row; the gradient may lie over the logits
  SmallKernel small;
};

}  // namespace crossent
