// Loss and gradient of one row of logits.
//
// A row is read in blocks that stay in the first cache. The largest logit so far is the reference of all sums; when a
// block has a larger one, the sums are converted to it. The exponential of the largest logit, which is 1, is left out
// of the sum: log-sum-exp is then log1p of the others, and exact even if they are very small. Sums run over vectors
// inside a block and in double over the blocks, in the same order for any number of threads.
#pragma once

#include "blocks.h"

namespace {

// The state of a row after some of its classes. Sums of weights are over the target's distribution, times the class
// weights, without the share of an index target.
struct State {
  double top = -INFINITY;    // the largest logit
  double others = 0;         // sum of exp(logit - top) over all classes but the largest
  double below = 0;          // sum of weight * (top - logit)
  double weight = 0;         // sum of weights
  double weight_others = 0;  // the same without the class of the largest logit
  double target_logit = NAN;
  double largest = 0;  // the class of the largest logit
  double unused = 0;
};
static_assert(sizeof(State) == 8 * sizeof(double), "Python makes room for eight numbers a row");

// Takes n logits of a row into its state; the first of them is of class `first`. Their exponentials, to the largest
// logit so far, are left in `kept`, if asked for.
template <class A, bool keeps>
void take_block(State& s, const A* logits, const A* weight, int64_t n, int64_t first, A* kept, Ahead next) {
  const A top = largest_value(logits, n);
  // Computed before exponentials are stored, because they may overwrite the logits.
  const double below = weight ? weighted_below(logits, weight, n, top > s.top ? top : A(s.top)) : 0;
  if (top > s.top) {
    const int64_t largest = find(logits, n, top);
    // Without logits above minus infinity so far, `others` is 0, or NaN if one was.
    if (s.top > -INFINITY) s.others = (s.others + 1) * std::exp(s.top - top);
    s.others += sum_exp<A, keeps>(logits, n, top, largest, kept, next);
    if (weight) {
      if (s.weight != 0) s.below += s.weight * (top - s.top);
      s.weight_others = s.weight + sum_others(weight, n, largest);
      s.weight = s.weight_others + weight[largest];
    }
    s.top = top;
    s.largest = double(first + largest);
  } else {
    s.others += sum_exp<A, keeps>(logits, n, s.top > -INFINITY ? A(s.top) : A(0), -1, kept, next);
    if (weight) {
      const double total = sum_others(weight, n, -1);
      s.weight += total;
      s.weight_others += total;
    }
  }
  s.below += below;
}

// Column of the target's class among the logits given here, or -1.
inline int64_t target_column(const RowProblem& p, int64_t row) {
  if (!p.target) return -1;
  const int64_t column = p.target[row] - p.first_class;
  return column >= 0 && column < p.classes ? column : -1;
}

template <class A>
void take_row(const RowProblem& p, int64_t row, State& s, Buffers<A>& buffers) {
  for (int64_t j = 0; j < p.classes; j += kBlock) {
    const int64_t n = p.classes - j < kBlock ? p.classes - j : kBlock;
    const A* logits = logits_block(p, row, j, n, buffers);
    const A* weight = weight_block(p, row, j, n, buffers);
    take_block<A, false>(s, logits, weight, n, p.first_class + j, nullptr, ahead(p, p.logits, row, j + n));
  }
  const int64_t column = target_column(p, row);
  if (column >= 0) s.target_logit = *logits_block(p, row, column, 1, buffers);
}

// The focal loss of a negative log-likelihood and its derivative. At infinity, and where 1 - p is too near zero for the
// power to be a number, the loss stands for itself.
inline double focal(double nll, double gamma, double* derivative) {
  if (gamma == 0 || nll < 1e-300 || nll == INFINITY) {
    *derivative = 1;
    return nll;
  }
  const double error = -std::expm1(-nll);
  const double power = std::pow(error, gamma);
  *derivative = power + nll * gamma * power / error * (1 - error);
  return nll * power;
}

inline double negative_log_likelihood(double top, double log_sum, double target_logit) {
  return (target_logit < top ? top - target_logit : 0) + log_sum;
}

// The product, in which zero times infinity is zero.
inline double weigh(double weight, double value) {
  return weight == 0 && std::isinf(value) ? 0 : weight * value;
}

// What forward leaves for backward: of the row's state, the largest logit and these sums.
enum Stat { kTop, kOthers, kWeight, kWeightOthers };

template <class A>
inline A& stat(const RowProblem& p, Stat which, int64_t row) {
  return static_cast<A*>(p.stats)[which * p.outer_rows * p.inner_rows + row];
}

// Turns a complete state into the row's loss and what backward needs.
template <class A>
void finish_row(const RowProblem& p, int64_t row, const State& s, double log_sum) {
  stat<A>(p, kTop, row) = A(s.top);
  stat<A>(p, kOthers, row) = s.top > -INFINITY ? A(s.others) : A(NAN);
  stat<A>(p, kWeight, row) = A(s.weight);
  stat<A>(p, kWeightOthers, row) = A(s.weight_others);
  p.largest[row] = int64_t(s.largest);
  const double weight = target_weight<A>(p, row);
  double loss = 0, derivative;
  if (p.target) {
    const double nll = negative_log_likelihood(s.top, log_sum, s.target_logit);
    loss = weigh((1 - p.label_smoothing) * weight, focal(nll, p.focal_gamma, &derivative));
  }
  if (has_distribution(p)) loss += s.below + weigh(s.weight, log_sum);
  if (p.z_loss > 0) loss += weigh(weight * p.z_loss, (s.top + log_sum) * (s.top + log_sum));
  static_cast<A*>(p.losses)[row] = A(sample_weight<A>(p, row) * loss);
}

// It is as exact as the numbers from which it is computed.
template <class A>
inline double log_of_sum(const State& s) {
  if (!(s.top > -INFINITY)) return NAN;
  if constexpr (sizeof(A) == 8) return std::log1p(s.others);
  else return log1p_of(all(A(s.others)))[0];
}

template <class A>
void forward_row(const RowProblem& p, int64_t row, Buffers<A>& buffers) {
  State s;
  if (sample_weight<A>(p, row) == 0) {
    if (p.last) static_cast<A*>(p.losses)[row] = 0;
    return;
  }
  if (p.states && p.first_class > 0) __builtin_memcpy(static_cast<void*>(&s), p.states + 8 * row, sizeof s);
  take_row(p, row, s, buffers);
  if (p.last) finish_row<A>(p, row, s, log_of_sum<A>(s));
  if (p.states) __builtin_memcpy(p.states + 8 * row, &s, sizeof s);
}

// The factors of the gradient of a row: alpha * p - g * weight, and beta less at the target.
struct Slope {
  double g;      // derivative of the result by the row's loss
  double beta;   // ... by the log-likelihood of the index target
  double spread; // ... by log-sum-exp, the index target apart
  double z;       // ... of which by the z-loss
  double top;
  double prob;    // of the largest logit
  double others;  // ... and of all others
};

template <class A>
Slope slope_of(const RowProblem& p, int64_t row, double target_logit, double scale) {
  const double weight = target_weight<A>(p, row);
  Slope s{};
  s.g = scale * at<A>(p.grad_rows, row, 1) * sample_weight<A>(p, row);
  const double others = stat<A>(p, kOthers, row);
  s.top = stat<A>(p, kTop, row);
  s.prob = 1 / (1 + others);
  s.others = others * s.prob;
  const double log_sum = p.focal_gamma > 0 || p.z_loss > 0 ? std::log1p(others) : 0;
  if (p.target) {
    double derivative = 1;
    if (p.focal_gamma > 0) focal(negative_log_likelihood(s.top, log_sum, target_logit), p.focal_gamma, &derivative);
    s.beta = s.g * (1 - p.label_smoothing) * weight * derivative;
  }
  if (has_distribution(p)) s.spread += s.g * stat<A>(p, kWeight, row);
  if (p.z_loss > 0) s.z = weigh(2 * s.g * weight * p.z_loss, s.top + log_sum);
  s.spread += s.z;
  return s;
}

// The gradient at one class, where it is a difference that loses digits when it is written like the others.
template <class A>
double exact_gradient(const RowProblem& p, int64_t row, const Slope& s, int64_t column, double logit,
                      Buffers<A>& buffers) {
  const A* weights = weight_block(p, row, column, 1, buffers);
  const double weight = weights ? *weights : 0;
  const bool is_top = logit == s.top;
  const double prob = is_top ? s.prob : std::exp(logit - s.top) * s.prob;
  const double less = is_top ? -s.others : prob - 1;  // prob - 1
  const double beta = column == target_column(p, row) ? s.beta * less : s.beta * prob;
  // Nothing is rounded before the difference, so that the only class of a row gives 0.
  const double total = stat<A>(p, kWeight, row);
  double rest = s.g * (total * prob - weight) + s.z * prob;
  // All but the z-loss, if most of the target's weight is on the largest logit.
  if (p.distribution.data && column + p.first_class == p.largest[row] && 2 * std::fabs(weight) > std::fabs(total)) {
    rest = s.g * (stat<A>(p, kWeightOthers, row) + total * less) + s.z * prob;
  }
  return beta + rest;
}

// The same, of a logit that is still where it was read.
template <class A>
double exact_gradient(const RowProblem& p, int64_t row, const Slope& s, int64_t column, Buffers<A>& buffers) {
  const double logit = *logits_block(p, row, column, 1, buffers);
  const double derivative = is_transformed(p) ? buffers.derivative[0] : 1;
  return exact_gradient(p, row, s, column, logit, buffers) * derivative;
}

// Column of the largest logit, if the gradient there must be written apart; else -1.
inline int64_t largest_column(const RowProblem& p, int64_t row, const Slope& s) {
  const int64_t column = p.largest[row] - p.first_class;
  const bool apart = p.distribution.data || s.top == INFINITY;
  return apart && column >= 0 && column < p.classes ? column : -1;
}

// The inputs and the output of the gradient of the next block.
struct BlockAhead {
  Ahead logits, weight, gradient;
};

inline BlockAhead block_ahead(const RowProblem& p, int64_t row, int64_t j) {
  const View& weight = p.distribution.data ? p.distribution : p.logits;
  return {ahead(p, p.logits, row, j), ahead(p, weight, row, j), ahead(p, p.gradient, row, j)};
}

// Processors predict reads and writes in place, but not of blocks that are converted; these are prefetched.
template <class A, bool asks>
void write_block(A* gradient, const A* logits, const A* weight, int64_t n, const Slope& s, BlockAhead next) {
  const A alpha = A((s.beta + s.spread) * s.prob), top = A(s.top), g = A(s.g);
  constexpr int64_t w = kWidth<A>;
  const auto ask = [=](int64_t j) {
    if (!asks) return;
    prefetch(next.logits, j);
    if (weight) prefetch(next.weight, j);
    prefetch_to_write(next.gradient, j);
  };
  int64_t j = 0;
  if (weight) {
    for (; j + w <= n; j += w) {
      ask(j);
      store<A>(gradient + j, alpha * exp_of<A>(load(logits + j) - top) - g * load(weight + j));
    }
    if (j < n) {
      const Vector<A> e = exp_of<A>(load_part(logits + j, n - j, A(0)) - top);
      store_part(gradient + j, n - j, alpha * e - g * load_part(weight + j, n - j, A(0)));
    }
  } else {
    for (; j + 2 * w <= n; j += 2 * w) {
      ask(j), ask(j + w);
      const Vector<A> first = alpha * exp_of<A>(load(logits + j) - top);
      store<A>(gradient + j + w, alpha * exp_of<A>(load(logits + j + w) - top));
      store<A>(gradient + j, first);
    }
    for (; j + w <= n; j += w) store<A>(gradient + j, alpha * exp_of<A>(load(logits + j) - top));
    if (j < n) store_part(gradient + j, n - j, alpha * exp_of<A>(load_part(logits + j, n - j, A(0)) - top));
  }
}

template <class A>
void write_one(const RowProblem& p, int64_t row, int64_t column, A value) {
  A buffer = value;
  const int64_t where = offset(p, p.gradient, row) + column * p.gradient.classes;
  *place(p.gradient, where, &buffer) = value;
  finish(p.gradient, where, 1, &buffer);
}

template <class A>
void write_zeros(const RowProblem& p, int64_t row, Buffers<A>& buffers) {
  for (int64_t j = 0; j < p.classes; j += kBlock) {
    const int64_t n = p.classes - j < kBlock ? p.classes - j : kBlock;
    const int64_t where = offset(p, p.gradient, row) + j * p.gradient.classes;
    A* gradient = place(p.gradient, where, buffers.gradient);
    for (int64_t i = 0; i < n; ++i) gradient[i] = 0;
    finish(p.gradient, where, n, buffers.gradient);
  }
}

template <class A>
void backward_row(const RowProblem& p, int64_t row, double scale, Buffers<A>& buffers) {
  if (scale * at<A>(p.grad_rows, row, 1) * sample_weight<A>(p, row) == 0) return write_zeros(p, row, buffers);
  const int64_t target = target_column(p, row);
  const double target_logit = p.target && target >= 0 ? *logits_block(p, row, target, 1, buffers) : NAN;
  const Slope s = slope_of<A>(p, row, p.states ? p.states[8 * row + 5] : target_logit, scale);
  const int64_t largest = largest_column(p, row, s);
  // Checked before anything is written, because the gradient may overwrite the logits.
  const double at_target = target >= 0 ? exact_gradient(p, row, s, target, buffers) : 0;
  const double at_largest = largest >= 0 ? exact_gradient(p, row, s, largest, buffers) : 0;
  for (int64_t j = 0; j < p.classes; j += kBlock) {
    const int64_t n = p.classes - j < kBlock ? p.classes - j : kBlock;
    const int64_t where = offset(p, p.gradient, row) + j * p.gradient.classes;
    A* gradient = place(p.gradient, where, buffers.gradient);
    const A* logits = logits_block(p, row, j, n, buffers);
    const A* weight = weight_block(p, row, j, n, buffers);
    const auto write = gradient == buffers.gradient ? write_block<A, true> : write_block<A, false>;
    write(gradient, logits, weight, n, s, block_ahead(p, row, j + n));
    if (is_transformed(p)) {
      for (int64_t i = 0; i < n; ++i) {
        gradient[i] = buffers.derivative[i] == 0 ? A(0) : gradient[i] * buffers.derivative[i];
      }
    }
    finish(p.gradient, where, n, buffers.gradient);
  }
  if (largest >= 0) write_one(p, row, largest, A(at_largest));
  if (target >= 0) write_one(p, row, target, A(at_target));
}

// Rows with more classes than these blocks hold are read twice.
constexpr int64_t kMostBlocks = 1024;

// Whether the exponentials of the first reading can wait where the gradient will be. If not, they are taken twice,
// which rounds in another way: where the logits' layout forbids it, the gradient's does not matter, so that the same
// logits have the same gradient in their own place and elsewhere.
template <class A>
bool keeps_exponentials(const RowProblem& p) {
  const bool has_room = p.gradient.dtype == kOwnDType<A> && p.gradient.classes == 1 && p.logits.classes == 1;
  return !is_transformed(p) && p.classes <= (has_room ? kMostBlocks : 1) * kBlock;
}

// gradient = factor * gradient - g * weight.
template <class A>
void scale_block(A* gradient, const A* weight, int64_t n, A factor, A g) {
  if (weight) {
    for (int64_t i = 0; i < n; ++i) gradient[i] = factor * gradient[i] - g * weight[i];
  } else {
    for (int64_t i = 0; i < n; ++i) gradient[i] *= factor;
  }
}

// Loss and gradient with one exponential a class: each block's are taken to the largest logit so far, and brought to
// the largest of the row when this is known.
template <class A>
void forward_backward_row(const RowProblem& p, int64_t row, double scale, Buffers<A>& buffers) {
  if (sample_weight<A>(p, row) == 0 || !keeps_exponentials<A>(p)) {
    forward_row(p, row, buffers);
    return backward_row(p, row, scale, buffers);
  }
  State state;
  const int64_t target = target_column(p, row), start = offset(p, p.gradient, row);
  if (target >= 0) state.target_logit = *logits_block(p, row, target, 1, buffers);
  double tops[kMostBlocks];
  for (int64_t j = 0; j < p.classes; j += kBlock) {
    const int64_t n = p.classes - j < kBlock ? p.classes - j : kBlock;
    A* kept = place(p.gradient, start + j * p.gradient.classes, buffers.gradient);
    const A* logits = logits_block(p, row, j, n, buffers);
    const A* weight = weight_block(p, row, j, n, buffers);
    take_block<A, true>(state, logits, weight, n, j, kept, ahead(p, p.logits, row, j + n));
    tops[j / kBlock] = state.top;
  }
  finish_row<A>(p, row, state, log_of_sum<A>(state));
  const Slope s = slope_of<A>(p, row, state.target_logit, scale);
  if (s.g == 0) return write_zeros(p, row, buffers);
  const double alpha = (s.beta + s.spread) * s.prob;
  for (int64_t j = 0; j < p.classes; j += kBlock) {
    const int64_t n = p.classes - j < kBlock ? p.classes - j : kBlock;
    const double top = tops[j / kBlock], moved = top > -INFINITY && top < s.top ? std::exp(top - s.top) : 1;
    A* gradient = place(p.gradient, start + j * p.gradient.classes, buffers.gradient);
    scale_block(gradient, weight_block(p, row, j, n, buffers), n, A(alpha * moved), A(s.g));
    finish(p.gradient, start + j * p.gradient.classes, n, buffers.gradient);
  }
  const int64_t largest = largest_column(p, row, s);
  if (largest >= 0) write_one(p, row, largest, A(exact_gradient(p, row, s, largest, s.top, buffers)));
  if (target >= 0) write_one(p, row, target, A(exact_gradient(p, row, s, target, state.target_logit, buffers)));
}

}  // namespace
