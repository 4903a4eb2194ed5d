// The C interface of the matrix products: of any layout and dtype, to the same bits in tiles of any size.
#pragma once

#include "rows.h"

namespace crossent {

// The terms of each element of a product are summed in blocks of this many, and the blocks in their order. A product may
// be computed piece by piece along its depth, with the same bits, if the pieces end between blocks.
constexpr int64_t kSumBlock = 128;

// Real is double if the dtype of `out` is, else float. All of `left` and `right` is converted to it.
struct ProductProblem {
  int64_t rows;
  int64_t depth;
  int64_t columns;
  View left;         // (rows, depth): element (i, k) at i * outer + k * classes
  View right;        // (columns, depth), so turned: element (j, k) at j * outer + k * classes
  View out;          // (rows, columns), Real: element (i, j) at i * outer + j
  const void* bias;  // Real (columns,), or null: what each row begins with
  int64_t add;       // 1: to what is in `out`
  int64_t threads;   // how many the work is cut for
  ParallelFor parallel_for;
};

// Adds the sum of each column to `out`, in the same blocks of rows.
struct ColumnSumProblem {
  int64_t rows;
  int64_t columns;
  View values;  // (rows, columns), Real: element (i, j) at i * outer + j
  void* out;    // Real (columns,)
  ParallelFor parallel_for;
};

// Adds to row target[i] of `out`, row after row, factor[i] times row i of the values. Rows with a factor of 0 are not read.
struct ScatterProblem {
  int64_t rows;
  int64_t columns;
  View values;            // (rows, columns): element (i, j) at i * outer + j * classes
  const void* factor;     // Real (rows,)
  const int64_t* target;  // (rows,)
  View out;               // (..., columns), Real: element (i, j) at i * outer + j
  ParallelFor parallel_for;
};

struct ProductKernels {
  void (*product)(ProductProblem* problem);
  void (*column_sums)(ColumnSumProblem* problem);
  void (*scatter)(ScatterProblem* problem);
};

}  // namespace crossent
