// Row kernels: losses and gradients of softmax cross entropy, each row by itself and in any thread.
//
// Compiled once for each instruction set, with CROSSENT_LEVEL naming it.

#include "memory.h"
#include "one_row.h"
#include "parallel.h"
#include "row_groups.h"
#include "rows.h"

namespace {

// Elements that are worth a thread of their own.
constexpr int64_t kGrain = 32768;

// Whether any class index is out of range, in a loop without branches.
inline bool any_outside(const RowProblem& p) {
  const int64_t rows = p.outer_rows * p.inner_rows;
  uint64_t found = 0;
  for (int64_t row = 0; row < rows; ++row) {
    found |= uint64_t(p.target[row]) >= uint64_t(p.total_classes) && p.target[row] != p.ignore_index;
  }
  return found != 0;
}

// 0, or 1 + the first row that counts with a class index out of range.
template <class A>
int64_t check_targets(const RowProblem& p) {
  if (!p.target || !any_outside(p)) return 0;
  const int64_t rows = p.outer_rows * p.inner_rows;
  for (int64_t row = 0; row < rows; ++row) {
    const bool inside = uint64_t(p.target[row]) < uint64_t(p.total_classes);
    if (!inside && p.target[row] != p.ignore_index && at<A>(p.sample_weight, row, 1) != 0) return row + 1;
  }
  return 0;
}

template <class A>
double sum_of_weights(const RowProblem& p) {
  const int64_t rows = p.outer_rows * p.inner_rows;
  if (!p.sample_weight && !p.class_weight) {
    int64_t count = 0;
    for (int64_t row = 0; row < rows && p.target; ++row) count += p.target[row] != p.ignore_index;
    return double(p.target ? count : rows);
  }
  double total = 0;
  for (int64_t row = 0; row < rows; ++row) {
    const double weight = sample_weight<A>(p, row);
    if (weight != 0) total += weight * target_weight<A>(p, row);
  }
  return total;
}

template <class A>
double sum_of_losses(const RowProblem& p) {
  const A* losses = static_cast<const A*>(p.losses);
  const int64_t rows = p.outer_rows * p.inner_rows;
  double sums[8] = {};
  int64_t row = 0;
  for (; row + 8 <= rows; row += 8) {
    for (int64_t i = 0; i < 8; ++i) sums[i] += losses[row + i];
  }
  for (; row < rows; ++row) sums[0] += losses[row];
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

// Of the result by each loss: zero if no row counts.
template <class A>
double derivative_by_each(const RowProblem& p) {
  const double divisor = p.normalizer != 0 ? p.normalizer : sum_of_weights<A>(p);
  return divisor == 0 ? 0 : 1 / divisor;
}

template <class A>
void write_result(const RowProblem& p) {
  *static_cast<A*>(p.result) = A(p.grad_scale == 0 ? p.empty : sum_of_losses<A>(p) * p.grad_scale);
}

template <void (*body)(int64_t, int64_t, void*)>
void run(RowProblem& p) {
  const int64_t rows = p.outer_rows * p.inner_rows;
  for_parts(p.parallel_for, rows, 1 + kGrain / (p.classes + 1), body, &p);
}

// The target's logit is wanted before all others of its row.
inline void prefetch_target(const RowProblem& p, int64_t row) {
  const int64_t column = target_column(p, row);
  const int64_t element = offset(p, p.logits, row) + column * p.logits.classes;
  if (column >= 0) __builtin_prefetch(static_cast<const char*>(p.logits.data) + element * kBytes[p.logits.dtype]);
}

template <class A, bool forth, bool back>
void rows_between(int64_t begin, int64_t end, void* context) {
  const RowProblem& p = *static_cast<RowProblem*>(context);
  Buffers<A> buffers;
  if (is_grouped(p, forth && back)) {
    if constexpr (sizeof(A) == 8) return groups_between<A, double, forth, back>(p, begin, end, buffers);
    else if (p.logits.dtype == crossent::kFloat32) return groups_between<A, float, forth, back>(p, begin, end, buffers);
    else if (p.logits.dtype == crossent::kBFloat16) return groups_between<A, BFloat16, forth, back>(p, begin, end, buffers);
    else return groups_between<A, Float16, forth, back>(p, begin, end, buffers);
  }
  for (int64_t row = begin; row < end; ++row) {
    if (!forth && row + 1 < end) prefetch_target(p, row + 1);
    if (!back) forward_row(p, row, buffers);
    if (!forth) backward_row(p, row, p.grad_scale, buffers);
    if (forth && back) forward_backward_row(p, row, p.grad_scale, buffers);
  }
}

template <class A>
int64_t forward(RowProblem& p) {
  const int64_t wrong = check_targets<A>(p);
  if (wrong) return wrong;
  const EvenWeight<A> even(p);
  run<rows_between<A, true, false>>(p);
  if (!p.last) return 0;
  p.grad_scale = derivative_by_each<A>(p);
  write_result<A>(p);
  return 0;
}

template <class A>
int64_t backward(RowProblem& p) {
  use_large_pages(p.gradient.data, p.outer_rows * p.inner_rows * p.classes * kBytes[p.gradient.dtype]);
  const EvenWeight<A> even(p);
  run<rows_between<A, false, true>>(p);
  return 0;
}

template <class A>
int64_t forward_backward(RowProblem& p) {
  const int64_t wrong = check_targets<A>(p);
  if (wrong) return wrong;
  p.grad_scale = derivative_by_each<A>(p);
  const EvenWeight<A> even(p);
  run<rows_between<A, true, true>>(p);
  write_result<A>(p);
  return 0;
}

int64_t small(const float* logits, const int64_t* target, int64_t rows, int64_t classes, int64_t ignore_index,
              double normalizer, double empty, float* gradient, float* result) {
  Array<float> numbers(5 * rows);
  Array<int64_t> largest(rows);
  RowProblem p{};
  p.outer_rows = rows;
  p.inner_rows = p.temperature = p.last = 1;
  p.classes = p.total_classes = classes;
  p.logits = {const_cast<float*>(logits), crossent::kFloat32, classes, 0, 1};
  p.gradient = {gradient, crossent::kFloat32, classes, 0, 1};
  p.target = target;
  p.ignore_index = ignore_index;
  p.normalizer = normalizer;
  p.empty = empty;
  p.stats = numbers.data;
  p.losses = numbers.data + 4 * rows;
  p.largest = largest.data;
  p.result = result;
  return gradient ? forward_backward<float>(p) : forward<float>(p);
}

template <int64_t (*narrow)(RowProblem&), int64_t (*wide)(RowProblem&)>
int64_t by_dtype(RowProblem* problem) {
  return problem->logits.dtype == crossent::kFloat64 ? wide(*problem) : narrow(*problem);
}

}  // namespace

#define CROSSENT_JOIN(a, b) a##b
#define CROSSENT_NAMED(level) CROSSENT_JOIN(row_kernels_, level)

namespace crossent {
extern const RowKernels CROSSENT_NAMED(CROSSENT_LEVEL);
const RowKernels CROSSENT_NAMED(CROSSENT_LEVEL) = {
    by_dtype<forward<float>, forward<double>>,
    by_dtype<backward<float>, backward<double>>,
    by_dtype<forward_backward<float>, forward_backward<double>>,
    small,
};
}  // namespace crossent
