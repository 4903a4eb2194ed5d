// Linear layer and cross entropy in one pass over the rows, for layers of few classes.
//
// A block of rows stays in the second cache from its logits to its share of the gradients: three small matrix products
// with the row kernels between them. The rows are cut into shares that depend on the shape alone; each has its own sums
// of the weights' gradient, which are added in their order, so that the number of threads does not change a bit.
//
// Compiled once for each instruction set, with CROSSENT_LEVEL naming it.

#include "linear.h"
#include "memory.h"
#include "parallel.h"
#include "products.h"

#define CROSSENT_JOIN(a, b) a##b
#define CROSSENT_NAMED(name, level) CROSSENT_JOIN(name, level)

namespace crossent {
extern const RowKernels CROSSENT_NAMED(row_kernels_, CROSSENT_LEVEL);
}

namespace {

using crossent::LinearProblem;
using crossent::RowProblem;
using crossent::View;

constexpr const crossent::RowKernels& kRowKernels = crossent::CROSSENT_NAMED(row_kernels_, CROSSENT_LEVEL);
// Bytes of input in a block of rows.
constexpr int64_t kBlockBytes = 65536;

// The data that all blocks share: the weights with padded rows, and their transpose with the classes side by side.
template <class A>
struct Weights {
  Array<A> by_class;    // (C, padded d)
  Array<A> by_feature;  // (d, padded C)
};

template <class A>
void arrange(const LinearProblem& p, Weights<A>& weights) {
  const int64_t d = p.features, classes = p.rows.classes, wide = padded(d), high = padded(classes);
  const A* weight = static_cast<const A*>(p.weight);
  for (int64_t c = 0; c < classes; ++c) {
    for (int64_t k = 0; k < d; ++k) {
      weights.by_class[c * wide + k] = weights.by_feature[k * high + c] = weight[c * d + k];
    }
  }
}

// Room for one block of rows, of each thread.
template <class A>
struct Block {
  Array<A> logits;      // (rows, padded C)
  Array<A> input;       // (rows, padded d), used if d is no multiple of the padding
  Array<A> grad_input;  // the same
  Array<A> stats;
  Array<int64_t> largest;
};

inline void advance(View& view, int64_t rows) {
  if (view.data) view.data = static_cast<char*>(view.data) + rows * view.outer * crossent::kBytes[view.dtype];
}

template <class A>
inline void advance(const void*& values, int64_t rows) {
  if (values) values = static_cast<const A*>(values) + rows;
}

// The row kernels' problem of the rows [begin, begin + rows), over the block's logits.
template <class A>
RowProblem rows_of_block(const LinearProblem& p, int64_t begin, int64_t rows, Block<A>& block, A* result) {
  RowProblem q = p.rows;
  q.outer_rows = rows;
  const int64_t dtype = sizeof(A) == 4 ? crossent::kFloat32 : crossent::kFloat64;
  q.logits = q.gradient = {block.logits.data, dtype, padded(q.classes), 0, 1};
  advance(q.distribution, begin);
  advance(q.possible, begin);
  if (q.target) q.target += begin;
  advance<A>(q.sample_weight, begin);
  advance<A>(q.possible_count, begin);
  advance<A>(q.grad_rows, begin);
  q.losses = static_cast<A*>(q.losses) + begin;
  q.stats = block.stats.data;
  q.largest = block.largest.data;
  q.result = result;
  q.parallel_for = nullptr;
  return q;
}

template <class A>
const A* padded_input(const LinearProblem& p, int64_t begin, int64_t rows, Block<A>& block) {
  const int64_t d = p.features, wide = padded(d);
  const A* input = static_cast<const A*>(p.input) + begin * d;
  if (wide == d) return input;
  for (int64_t i = 0; i < rows; ++i) __builtin_memcpy(&block.input[i * wide], input + i * d, d * sizeof(A));
  return block.input.data;
}

template <class A>
void write_grad_input(const LinearProblem& p, int64_t begin, int64_t rows, const Weights<A>& weights, Block<A>& block) {
  const int64_t d = p.features, wide = padded(d), high = padded(p.rows.classes);
  A* out = static_cast<A*>(p.grad_input) + begin * d;
  A* place = wide == d ? out : block.grad_input.data;
  const Matrix<A> slopes{block.logits.data, high, 1};
  multiply<A, false>(slopes, rows, p.rows.classes, weights.by_class.data, wide, wide, place, wide);
  if (place == out) return;
  for (int64_t i = 0; i < rows; ++i) __builtin_memcpy(out + i * d, place + i * wide, d * sizeof(A));
}

// Logits, losses and gradients of the rows [begin, begin + rows); 0, or 1 + the first with a bad class index.
template <class A>
int64_t take_block(const LinearProblem& p, int64_t begin, int64_t rows, const Weights<A>& weights, Block<A>& block,
                   A* sums) {
  const int64_t d = p.features, classes = p.rows.classes, wide = padded(d), high = padded(classes);
  const A* input = padded_input(p, begin, rows, block);
  multiply<A, false>({input, wide, 1}, rows, d, weights.by_feature.data, high, high, block.logits.data, high);
  if (p.bias) {
    const A* bias = static_cast<const A*>(p.bias);
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t c = 0; c < classes; ++c) block.logits[i * high + c] += bias[c];
    }
  }
  A result;
  RowProblem q = rows_of_block(p, begin, rows, block, &result);
  const bool back = p.grad_input || sums;
  const int64_t wrong = back ? kRowKernels.forward_backward(&q) : kRowKernels.forward(&q);
  if (wrong) return wrong;
  if (p.grad_input) write_grad_input(p, begin, rows, weights, block);
  if (!sums) return 0;
  multiply<A, true>({block.logits.data, 1, high}, classes, rows, input, wide, wide, sums, wide);
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t c = 0; c < classes; ++c) sums[classes * wide + c] += block.logits[i * high + c];
  }
  return 0;
}

template <class A>
struct Job {
  const LinearProblem& problem;
  const Weights<A>& weights;
  Array<int64_t>& wrong;  // of each part, 1 + a row with a class index out of range
};

// Elements of a part's sums: of the weights' gradient, then of the bias's.
inline int64_t size_of_sums(const LinearProblem& p) {
  return p.rows.classes * padded(p.features) + padded(p.rows.classes);
}

template <class A>
void take_parts(int64_t begin, int64_t end, void* context) {
  const Job<A>& job = *static_cast<Job<A>*>(context);
  const LinearProblem& p = job.problem;
  const int64_t n = p.rows.outer_rows, d = p.features, wide = padded(d), size = size_of_sums(p);
  // Whole multiples of the tiles of rows, 6, and of the vectors that the row kernels fill with rows.
  const int64_t fitting = smaller(kBlockBytes / int64_t(d * sizeof(A)) / 48, 16);
  const int64_t most = fitting > 0 ? fitting * 48 : 48;
  const int64_t room = wide == d ? 0 : most * wide;
  Block<A> block{Array<A>(most * padded(p.rows.classes)), Array<A>(room), Array<A>(room), Array<A>(4 * most),
                 Array<int64_t>(most)};
  for (int64_t part = begin; part < end; ++part) {
    A* sums = p.sums ? static_cast<A*>(p.sums) + part * size : nullptr;
    for (int64_t i = 0; i < size && sums; ++i) sums[i] = 0;
    const int64_t last = n * (part + 1) / p.parts;
    for (int64_t row = n * part / p.parts; row < last && !job.wrong[part]; row += most) {
      const int64_t wrong = take_block(p, row, smaller(most, last - row), job.weights, block, sums);
      if (wrong) job.wrong[part] = row + wrong;
    }
  }
}

// Adds element i of all parts, in their order.
template <class A>
void add_parts(const LinearProblem& p, int64_t i, A& to) {
  const A* sums = static_cast<const A*>(p.sums) + i;
  double total = 0;
  for (int64_t part = 0; part < p.parts; ++part) total += sums[part * size_of_sums(p)];
  to += A(total);
}

template <class A>
int64_t losses_and_gradients(LinearProblem& p) {
  const int64_t d = p.features, classes = p.rows.classes, wide = padded(d);
  Weights<A> weights{Array<A>(classes * wide), Array<A>(d * padded(classes))};
  arrange(p, weights);
  use_large_pages(p.grad_input, p.rows.outer_rows * d * sizeof(A));
  Array<int64_t> wrong(p.parts);
  Job<A> job{p, weights, wrong};
  for_parts(p.rows.parallel_for, p.parts, 1, take_parts<A>, &job);
  for (int64_t part = 0; part < p.parts; ++part) {
    if (wrong[part]) return wrong[part];
  }
  if (!p.sums) return 0;
  for (int64_t c = 0; c < classes; ++c) {
    for (int64_t k = 0; k < d && p.grad_weight; ++k) add_parts(p, c * wide + k, static_cast<A*>(p.grad_weight)[c * d + k]);
    if (p.grad_bias) add_parts(p, classes * wide + c, static_cast<A*>(p.grad_bias)[c]);
  }
  return 0;
}

int64_t by_dtype(LinearProblem* problem) {
  const bool wide = problem->rows.logits.dtype == crossent::kFloat64;
  return wide ? losses_and_gradients<double>(*problem) : losses_and_gradients<float>(*problem);
}

}  // namespace

namespace crossent {
extern const LinearKernel CROSSENT_NAMED(linear_kernel_, CROSSENT_LEVEL);
const LinearKernel CROSSENT_NAMED(linear_kernel_, CROSSENT_LEVEL) = by_dtype;
}  // namespace crossent
