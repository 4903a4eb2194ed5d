// Row kernels: loss and gradient of softmax cross entropy, one row of logits at a time.
//
// A row is read in blocks that stay in the first cache. The largest logit so far is the reference of all sums; when a
// block brings a larger one, the sums are moved to it. The largest logit's own exponential, which is 1, is left out of
// the sum: log-sum-exp is then log1p of the others, exact however small they are. Sums run over vectors inside a block
// and in double over the blocks, in one order whatever the number of threads.
//
// Compiled once for each instruction set, with CROSSENT_LEVEL naming it.

#include "elements.h"
#include "memory.h"
#include "rows.h"
#include "vector.h"

namespace {

using crossent::kBytes;
using crossent::RowProblem;

constexpr int64_t kBlock = 2048;
// Elements that are worth a thread of their own.
constexpr int64_t kGrain = 32768;

template <class A>
struct Buffers {
  A logits[kBlock];
  A derivative[kBlock];
  A weight[kBlock];
  A gradient[kBlock];
  A possible[kBlock];
};

// What is known of a row after some of its classes. Sums of weights are of the target's distribution, class weights
// included, without the share of an index target.
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

inline int64_t offset(const RowProblem& p, const View& view, int64_t row) {
  if (p.inner_rows == 1) return row * view.outer;
  return row / p.inner_rows * view.outer + row % p.inner_rows * view.inner;
}

template <class A>
inline A at(const void* values, int64_t i, A absent) {
  return values ? static_cast<const A*>(values)[i] : absent;
}

template <class A>
inline A sample_weight(const RowProblem& p, int64_t row) {
  return p.target && p.target[row] == p.ignore_index ? A(0) : at<A>(p.sample_weight, row, 1);
}

template <class A>
inline A target_weight(const RowProblem& p, int64_t row) {
  return p.target ? at<A>(p.class_weight, p.target[row], 1) : A(1);
}

inline bool has_distribution(const RowProblem& p) { return p.distribution.data || p.label_smoothing > 0; }

inline bool is_transformed(const RowProblem& p) {
  return p.softcap > 0 || p.temperature != 1 || p.log_prior || p.possible.data;
}

// Caps the logits in the buffer and leaves the derivative of the capped by the uncapped.
template <class A>
void cap(A* logits, int64_t n, A softcap, A* derivative) {
  for (int64_t j = n; j % kWidth<A>; ++j) logits[j] = 0;
  for (int64_t j = 0; j < n; j += kWidth<A>) {
    const Vector<A> t = tanh_of<A>(load(logits + j) / softcap);
    store<A>(logits + j, t * softcap);
    store<A>(derivative + j, A(1) - t * t);
  }
}

// One at the classes among columns [j, j + n) that are possible, zero at the others.
template <class A>
const A* possible_block(const RowProblem& p, int64_t row, int64_t j, int64_t n, Buffers<A>& buffers) {
  return read(p.possible, offset(p, p.possible, row) + j * p.possible.classes, n, buffers.possible);
}

// Logits of columns [j, j + n) of a row as the softmax takes them: capped, divided, shifted, minus infinity where a
// class is impossible. The derivative of each by its input is left in its buffer, if there is any transformation.
template <class A>
const A* logits_block(const RowProblem& p, int64_t row, int64_t j, int64_t n, Buffers<A>& buffers) {
  const A* source = read(p.logits, offset(p, p.logits, row) + j * p.logits.classes, n, buffers.logits);
  if (!is_transformed(p)) return source;
  A* logits = buffers.logits;
  A* derivative = buffers.derivative;
  if (source != logits) __builtin_memcpy(logits, source, n * sizeof(A));
  for (int64_t i = 0; i < n; ++i) derivative[i] = 1;
  if (p.softcap > 0) cap(logits, n, A(p.softcap), derivative);
  if (p.temperature != 1) {
    const A temperature = A(p.temperature);
    for (int64_t i = 0; i < n; ++i) logits[i] /= temperature, derivative[i] /= temperature;
  }
  if (p.log_prior) {
    const A* log_prior = static_cast<const A*>(p.log_prior) + p.first_class + j;
    for (int64_t i = 0; i < n; ++i) logits[i] += log_prior[i];
  }
  if (p.possible.data) {
    const A* possible = possible_block(p, row, j, n, buffers);
    for (int64_t i = 0; i < n; ++i) {
      logits[i] = possible[i] != 0 ? logits[i] : A(-INFINITY);
      derivative[i] = possible[i] != 0 ? derivative[i] : A(0);
    }
  }
  return logits;
}

template <class A>
inline void times(A* values, const A* factors, int64_t n) {
  for (int64_t i = 0; i < n; ++i) values[i] *= factors[i];
}

// The target's distribution over columns [j, j + n), smoothed and times the class weights, without the index's share.
template <class A>
const A* weight_block(const RowProblem& p, int64_t row, int64_t j, int64_t n, Buffers<A>& buffers) {
  if (!has_distribution(p)) return nullptr;
  A* weight = buffers.weight;
  const A* class_weight = p.class_weight ? static_cast<const A*>(p.class_weight) + p.first_class + j : nullptr;
  if (p.distribution.data) {
    const A kept = A(1 - p.label_smoothing);
    const A* given = read(p.distribution, offset(p, p.distribution, row) + j * p.distribution.classes, n, weight);
    if (!class_weight && p.label_smoothing == 0) return given;
    for (int64_t i = 0; i < n; ++i) weight[i] = given[i] * kept;
    if (class_weight && !p.weighted_smoothing) times(weight, class_weight, n);
  } else {
    for (int64_t i = 0; i < n; ++i) weight[i] = 0;
  }
  const A even = A(p.label_smoothing) / at<A>(p.possible_count, row, A(p.total_classes));
  if (p.possible.data && p.label_smoothing > 0) {
    const A* possible = possible_block(p, row, j, n, buffers);
    for (int64_t i = 0; i < n; ++i) weight[i] += possible[i] * even;
  } else {
    for (int64_t i = 0; i < n; ++i) weight[i] += even;
  }
  if (class_weight && p.weighted_smoothing) times(weight, class_weight, n);
  return weight;
}

// The largest of n values, passing over NaN; minus infinity if there is none.
template <class A>
A largest_value(const A* values, int64_t n) {
  constexpr int64_t w = kWidth<A>;
  Vector<A> top0 = all<A>(-INFINITY), top1 = top0, top2 = top0, top3 = top0;
  int64_t j = 0;
  for (; j + 4 * w <= n; j += 4 * w) {
    top0 = larger<A>(load(values + j), top0);
    top1 = larger<A>(load(values + j + w), top1);
    top2 = larger<A>(load(values + j + 2 * w), top2);
    top3 = larger<A>(load(values + j + 3 * w), top3);
  }
  for (; j + w <= n; j += w) top0 = larger<A>(load(values + j), top0);
  if (j < n) top1 = larger<A>(load_part<A>(values + j, n - j, -INFINITY), top1);
  return largest_lane<A>(larger<A>(larger<A>(top0, top1), larger<A>(top2, top3)));
}

// Place of the first of n values that equals one of them.
template <class A>
int64_t find(const A* values, int64_t n, A value) {
  constexpr int64_t w = kWidth<A>;
  int64_t j = 0;
  for (; j + 4 * w <= n; j += 4 * w) {
    const Integers<A> pair = (load(values + j) == value) | (load(values + j + w) == value);
    const Integers<A> next = (load(values + j + 2 * w) == value) | (load(values + j + 3 * w) == value);
    if (any_lane<A>(pair | next)) break;
  }
  while (values[j] != value) ++j;
  return j;
}

// Sum of exp(value - top) over n values, but the one at `omitted`, if any.
template <class A>
double sum_exp(const A* values, int64_t n, A top, int64_t omitted) {
  constexpr int64_t w = kWidth<A>;
  const int64_t border = omitted < 0 ? n : omitted / w * w;
  Vector<A> sum0{}, sum1{};
  int64_t j = 0;
  for (; j + 2 * w <= border; j += 2 * w) {
    sum0 += exp_of<A>(load(values + j) - top);
    sum1 += exp_of<A>(load(values + j + w) - top);
  }
  for (; j + w <= border; j += w) sum0 += exp_of<A>(load(values + j) - top);
  if (omitted >= 0) {
    A kept[w];
    for (int64_t i = 0; i < w; ++i) kept[i] = j + i < n && j + i != omitted ? values[j + i] : A(-INFINITY);
    sum1 += exp_of<A>(load(kept) - top);
    j += w;
  }
  for (; j + 2 * w <= n; j += 2 * w) {
    sum0 += exp_of<A>(load(values + j) - top);
    sum1 += exp_of<A>(load(values + j + w) - top);
  }
  for (; j + w <= n; j += w) sum0 += exp_of<A>(load(values + j) - top);
  if (j < n) sum1 += exp_of<A>(load_part<A>(values + j, n - j, -INFINITY) - top);
  return sum_lanes<A>(sum0 + sum1);
}

// Sum of weight * (top - logit), in which zero weight on an infinite distance is zero.
template <class A>
double weighted_below(const A* logits, const A* weight, int64_t n, A top) {
  constexpr int64_t w = kWidth<A>;
  const auto product = [top](Vector<A> z, Vector<A> weights) {
    const Vector<A> below = z < top ? top - z : Vector<A>{};
    return weights == 0 ? Vector<A>{} : weights * below;
  };
  Vector<A> sum0{}, sum1{};
  int64_t j = 0;
  for (; j + 2 * w <= n; j += 2 * w) {
    sum0 += product(load(logits + j), load(weight + j));
    sum1 += product(load(logits + j + w), load(weight + j + w));
  }
  for (; j + w <= n; j += w) sum0 += product(load(logits + j), load(weight + j));
  if (j < n) sum1 += product(load_part<A>(logits + j, n - j, 0), load_part<A>(weight + j, n - j, 0));
  return sum_lanes<A>(sum0 + sum1);
}

template <class A>
double sum(const A* values, int64_t n) {
  constexpr int64_t w = kWidth<A>;
  Vector<A> sum0{}, sum1{};
  int64_t j = 0;
  for (; j + 2 * w <= n; j += 2 * w) sum0 += load(values + j), sum1 += load(values + j + w);
  double rest = 0;
  for (; j < n; ++j) rest += values[j];
  return sum_lanes<A>(sum0 + sum1) + rest;
}

// Takes n logits of a row into its state; the first of them is of class `first`.
template <class A>
void take_block(State& s, const A* logits, const A* weight, int64_t n, int64_t first) {
  const A top = largest_value(logits, n);
  if (top > s.top) {
    const int64_t largest = find(logits, n, top);
    // Without logits above minus infinity so far, `others` is 0, or NaN if one was.
    if (s.top > -INFINITY) s.others = (s.others + 1) * std::exp(s.top - top);
    s.others += sum_exp(logits, n, top, largest);
    if (weight) {
      if (s.weight != 0) s.below += s.weight * (top - s.top);
      s.weight_others = s.weight + sum(weight, largest) + sum(weight + largest + 1, n - largest - 1);
      s.weight = s.weight_others + weight[largest];
    }
    s.top = top;
    s.largest = double(first + largest);
  } else {
    s.others += sum_exp(logits, n, s.top > -INFINITY ? A(s.top) : A(0), -1);
    if (weight) {
      const double total = sum(weight, n);
      s.weight += total;
      s.weight_others += total;
    }
  }
  if (weight) s.below += weighted_below(logits, weight, n, A(s.top));
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
    take_block(s, logits, weight_block(p, row, j, n, buffers), n, p.first_class + j);
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

// Turns a complete state into the row's loss and what backward needs.
template <class A>
void finish_row(const RowProblem& p, int64_t row, const State& s, double log_sum) {
  A* stats = static_cast<A*>(p.stats) + 4 * row;
  stats[0] = A(s.top);
  stats[1] = s.top > -INFINITY ? A(s.others) : A(NAN);
  stats[2] = A(s.weight);
  stats[3] = A(s.weight_others);
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

inline double log_of_sum(const State& s) { return s.top > -INFINITY ? std::log1p(s.others) : NAN; }

template <class A>
void forward_row(const RowProblem& p, int64_t row, Buffers<A>& buffers) {
  State s;
  if (sample_weight<A>(p, row) == 0) {
    if (p.last) static_cast<A*>(p.losses)[row] = 0;
    return;
  }
  if (p.states && p.first_class > 0) __builtin_memcpy(static_cast<void*>(&s), p.states + 8 * row, sizeof s);
  take_row(p, row, s, buffers);
  if (p.last) finish_row<A>(p, row, s, log_of_sum(s));
  if (p.states) __builtin_memcpy(p.states + 8 * row, &s, sizeof s);
}

// What the gradient of a row is made of: alpha * p - g * weight, and beta less at the target.
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
  const A* stats = static_cast<const A*>(p.stats) + 4 * row;
  const double weight = target_weight<A>(p, row);
  Slope s{};
  s.g = scale * at<A>(p.grad_rows, row, 1) * sample_weight<A>(p, row);
  s.top = stats[0];
  s.prob = 1 / (1 + double(stats[1]));
  s.others = stats[1] * s.prob;
  const double log_sum = p.focal_gamma > 0 || p.z_loss > 0 ? std::log1p(double(stats[1])) : 0;
  if (p.target) {
    double derivative = 1;
    if (p.focal_gamma > 0) focal(negative_log_likelihood(s.top, log_sum, target_logit), p.focal_gamma, &derivative);
    s.beta = s.g * (1 - p.label_smoothing) * weight * derivative;
  }
  if (has_distribution(p)) s.spread += s.g * stats[2];
  if (p.z_loss > 0) s.z = weigh(2 * s.g * weight * p.z_loss, s.top + log_sum);
  s.spread += s.z;
  return s;
}

// The gradient at one class, where it is a difference that loses digits when it is written like the others.
template <class A>
double exact_gradient(const RowProblem& p, int64_t row, const Slope& s, int64_t column, Buffers<A>& buffers) {
  const A* stats = static_cast<const A*>(p.stats) + 4 * row;
  const double logit = *logits_block(p, row, column, 1, buffers);
  const double derivative = is_transformed(p) ? buffers.derivative[0] : 1;
  const A* weights = weight_block(p, row, column, 1, buffers);
  const double weight = weights ? *weights : 0;
  const bool is_top = logit == s.top;
  const double prob = is_top ? s.prob : std::exp(logit - s.top) * s.prob;
  const double less = is_top ? -s.others : prob - 1;  // prob - 1
  const double beta = column == target_column(p, row) ? s.beta * less : s.beta * prob;
  double rest = s.spread * prob - s.g * weight;
  // All but the z-loss, if most of the target's weight is on the largest logit.
  if (p.distribution.data && column + p.first_class == p.largest[row] && 2 * weight > stats[2]) {
    rest = s.g * (stats[3] + stats[2] * less) + s.z * prob;
  }
  return (beta + rest) * derivative;
}

// Column of the largest logit, if the gradient there must be written apart; else -1.
inline int64_t largest_column(const RowProblem& p, int64_t row, const Slope& s) {
  const int64_t column = p.largest[row] - p.first_class;
  const bool apart = p.distribution.data || s.top == INFINITY;
  return apart && column >= 0 && column < p.classes ? column : -1;
}

template <class A>
void write_block(A* gradient, const A* logits, const A* weight, int64_t n, const Slope& s) {
  const A alpha = A((s.beta + s.spread) * s.prob), top = A(s.top), g = A(s.g);
  constexpr int64_t w = kWidth<A>;
  int64_t j = 0;
  if (weight) {
    for (; j + w <= n; j += w) {
      store<A>(gradient + j, alpha * exp_of<A>(load(logits + j) - top) - g * load(weight + j));
    }
    if (j < n) {
      const Vector<A> e = exp_of<A>(load_part<A>(logits + j, n - j, 0) - top);
      store_part<A>(gradient + j, n - j, alpha * e - g * load_part<A>(weight + j, n - j, 0));
    }
  } else {
    for (; j + 2 * w <= n; j += 2 * w) {
      const Vector<A> first = alpha * exp_of<A>(load(logits + j) - top);
      store<A>(gradient + j + w, alpha * exp_of<A>(load(logits + j + w) - top));
      store<A>(gradient + j, first);
    }
    for (; j + w <= n; j += w) store<A>(gradient + j, alpha * exp_of<A>(load(logits + j) - top));
    if (j < n) store_part<A>(gradient + j, n - j, alpha * exp_of<A>(load_part<A>(logits + j, n - j, 0) - top));
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
  // Before anything is written, for the gradient may lie over the logits.
  const double at_target = target >= 0 ? exact_gradient(p, row, s, target, buffers) : 0;
  const double at_largest = largest >= 0 ? exact_gradient(p, row, s, largest, buffers) : 0;
  for (int64_t j = 0; j < p.classes; j += kBlock) {
    const int64_t n = p.classes - j < kBlock ? p.classes - j : kBlock;
    const int64_t where = offset(p, p.gradient, row) + j * p.gradient.classes;
    A* gradient = place(p.gradient, where, buffers.gradient);
    const A* logits = logits_block(p, row, j, n, buffers);
    write_block(gradient, logits, weight_block(p, row, j, n, buffers), n, s);
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

// ---- Few classes: a vector holds one class of as many rows as it has lanes. ----

// More are faster in their rows: reading, because the exponentials of a row need no two ends; writing, because the way
// back from the lanes costs more than these.
constexpr int64_t kFewClasses = 128;
constexpr int64_t kFewClassesToWrite = 32;

template <class A>
struct Lanes {
  A logits[kFewClasses * kWidth<A>];
  A weight[kFewClasses * kWidth<A>];
  A gradient[kFewClasses * kWidth<A>];
};

inline bool is_few(const RowProblem& p, int64_t limit) {
  return p.classes <= limit && !p.states && !is_transformed(p);
}

template <class A>
inline void spread(const A* row, int64_t n, int64_t lane, A* lanes) {
  for (int64_t j = 0; j < n; ++j) lanes[j * kWidth<A> + lane] = row[j];
}

// Brings rows that count into their lanes, and zeros into the others.
template <class A>
void fill_lanes(const RowProblem& p, int64_t row, int64_t rows, Lanes<A>& lanes, Buffers<A>& buffers) {
  for (int64_t lane = 0; lane < kWidth<A>; ++lane) {
    const bool counts = lane < rows && sample_weight<A>(p, row + lane) != 0;
    if (!counts) __builtin_memset(buffers.gradient, 0, p.classes * sizeof(A));
    spread(counts ? logits_block(p, row + lane, 0, p.classes, buffers) : buffers.gradient, p.classes, lane,
           lanes.logits);
    if (has_distribution(p)) {
      spread(counts ? weight_block(p, row + lane, 0, p.classes, buffers) : buffers.gradient, p.classes, lane,
             lanes.weight);
    }
  }
}

template <class A>
struct LaneStates {
  Vector<A> top, largest, others, below, weight, weight_others;
};

template <class A>
LaneStates<A> take_lanes(const RowProblem& p, const Lanes<A>& lanes) {
  constexpr int64_t w = kWidth<A>;
  LaneStates<A> s{};
  s.top = all<A>(-INFINITY);
  for (int64_t j = 0; j < p.classes; ++j) {
    const Vector<A> z = load(lanes.logits + j * w);
    s.largest = z > s.top ? all<A>(A(j)) : s.largest;
    s.top = larger<A>(z, s.top);
  }
  Vector<A> sums[4] = {};
  for (int64_t j = 0; j < p.classes; ++j) {
    const Vector<A> e = exp_of<A>(load(lanes.logits + j * w) - s.top);
    sums[j % 4] += s.largest == A(j) ? Vector<A>{} : e;
  }
  s.others = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  if (!has_distribution(p)) return s;
  for (int64_t j = 0; j < p.classes; ++j) {
    const Vector<A> z = load(lanes.logits + j * w), weight = load(lanes.weight + j * w);
    s.below += weight == 0 ? Vector<A>{} : weight * (z < s.top ? s.top - z : Vector<A>{});
    s.weight += weight;
    s.weight_others += s.largest == A(j) ? Vector<A>{} : weight;
  }
  return s;
}

// Index targets with class and sample weights alone: losses and gradients are then a few operations on whole vectors.
inline bool is_common(const RowProblem& p) {
  return p.target && p.label_smoothing == 0 && p.focal_gamma == 0 && p.z_loss == 0;
}

// The weight of each row, zero where it does not count, and its target's logit.
template <class A>
struct LaneTargets {
  Vector<A> weight, logit;
  int64_t place[kWidth<A>];  // of the target's logit in the lanes
};

template <class A>
LaneTargets<A> lane_targets(const RowProblem& p, int64_t row, int64_t rows, const Lanes<A>& lanes) {
  A weight[kWidth<A>] = {}, logit[kWidth<A>] = {};
  LaneTargets<A> t{};
  for (int64_t lane = 0; lane < rows; ++lane) {
    const A of_row = sample_weight<A>(p, row + lane);
    if (of_row == 0) continue;
    t.place[lane] = p.target[row + lane] * kWidth<A> + lane;
    weight[lane] = of_row * target_weight<A>(p, row + lane);
    logit[lane] = lanes.logits[t.place[lane]];
  }
  t.weight = load(weight);
  t.logit = load(logit);
  return t;
}

template <class A>
void forward_common_lanes(const RowProblem& p, int64_t row, int64_t rows, const Lanes<A>& lanes) {
  const LaneStates<A> s = take_lanes(p, lanes);
  const LaneTargets<A> t = lane_targets(p, row, rows, lanes);
  const Vector<A> others = s.top > A(-INFINITY) ? s.others : all<A>(NAN);
  const Vector<A> nll = (t.logit < s.top ? s.top - t.logit : Vector<A>{}) + log1p_of(others);
  const Vector<A> losses = t.weight == 0 && nll == A(INFINITY) ? Vector<A>{} : t.weight * nll;
  store_part(static_cast<A*>(p.losses) + row, rows, losses);
  A* stats = static_cast<A*>(p.stats) + 4 * row;
  for (int64_t lane = 0; lane < rows; ++lane) {
    stats[4 * lane] = s.top[lane];
    stats[4 * lane + 1] = others[lane];
    p.largest[row + lane] = int64_t(s.largest[lane]);
  }
}

template <class A>
void forward_lanes(const RowProblem& p, int64_t row, int64_t rows, Lanes<A>& lanes, Buffers<A>& buffers) {
  fill_lanes(p, row, rows, lanes, buffers);
  if (is_common(p)) return forward_common_lanes(p, row, rows, lanes);
  const LaneStates<A> found = take_lanes(p, lanes);
  const Vector<A> log_sums = log1p_of(found.others);
  for (int64_t lane = 0; lane < rows; ++lane) {
    if (sample_weight<A>(p, row + lane) == 0) {
      static_cast<A*>(p.losses)[row + lane] = 0;
      continue;
    }
    State s;
    s.top = found.top[lane];
    s.others = found.others[lane];
    s.below = found.below[lane];
    s.weight = found.weight[lane];
    s.weight_others = found.weight_others[lane];
    s.largest = found.largest[lane];
    if (p.target) s.target_logit = lanes.logits[p.target[row + lane] * kWidth<A> + lane];
    finish_row<A>(p, row + lane, s, s.top > -INFINITY ? double(log_sums[lane]) : NAN);
  }
}

// The slopes of the rows in the lanes; rows that count nothing have none, and zeros in the vectors.
template <class A>
struct LaneSlopes {
  Slope rows[kWidth<A>];
  bool counts[kWidth<A>];
  Vector<A> alpha, top, g;
};

template <class A>
LaneSlopes<A> lane_slopes(const RowProblem& p, int64_t row, int64_t rows, double scale, const Lanes<A>& lanes) {
  LaneSlopes<A> s{};
  for (int64_t lane = 0; lane < rows; ++lane) {
    s.counts[lane] = scale * at<A>(p.grad_rows, row + lane, 1) * sample_weight<A>(p, row + lane) != 0;
    if (!s.counts[lane]) continue;
    const double target_logit = p.target ? lanes.logits[p.target[row + lane] * kWidth<A> + lane] : NAN;
    const Slope slope = s.rows[lane] = slope_of<A>(p, row + lane, target_logit, scale);
    s.alpha[lane] = A((slope.beta + slope.spread) * slope.prob);
    s.top[lane] = A(slope.top);
    s.g[lane] = A(slope.g);
  }
  return s;
}

// Leaves the gradient in the lanes; false if a logit is infinite, and so nothing was done.
template <class A>
bool backward_common_lanes(const RowProblem& p, int64_t row, int64_t rows, double scale, Lanes<A>& lanes) {
  constexpr int64_t w = kWidth<A>;
  const LaneTargets<A> t = lane_targets(p, row, rows, lanes);
  const A* stats = static_cast<const A*>(p.stats) + 4 * row;
  A tops[w] = {}, sums[w] = {}, slopes[w] = {};
  for (int64_t lane = 0; lane < rows; ++lane) {
    if (t.weight[lane] == 0) continue;
    tops[lane] = stats[4 * lane];
    sums[lane] = stats[4 * lane + 1];
    slopes[lane] = A(scale * at<A>(p.grad_rows, row + lane, 1));
    if (tops[lane] == A(INFINITY)) return false;
  }
  const Vector<A> top = load(tops), others = load(sums), beta = load(slopes) * t.weight;
  const Vector<A> prob = A(1) / (A(1) + others), alpha = beta * prob, of_others = alpha * others;
  for (int64_t j = 0; j < p.classes; ++j) {
    const Vector<A> gradient = alpha * exp_of<A>(load(lanes.logits + j * w) - top);
    store<A>(lanes.gradient + j * w, beta == 0 ? Vector<A>{} : gradient);
  }
  for (int64_t lane = 0; lane < rows; ++lane) {
    if (beta[lane] == 0) continue;
    A& gradient = lanes.gradient[t.place[lane]];
    // Where the target is the largest logit, 1 - p is the share of the others, to the last digit.
    gradient = t.logit[lane] < tops[lane] ? gradient - beta[lane] : -of_others[lane];
  }
  return true;
}

template <class A>
void write_lanes(const RowProblem& p, int64_t row, int64_t rows, const Lanes<A>& lanes, Buffers<A>& buffers) {
  for (int64_t lane = 0; lane < rows; ++lane) {
    const int64_t where = offset(p, p.gradient, row + lane);
    A* gradient = place(p.gradient, where, buffers.gradient);
    for (int64_t j = 0; j < p.classes; ++j) gradient[j] = lanes.gradient[j * kWidth<A> + lane];
    finish(p.gradient, where, p.classes, buffers.gradient);
  }
}

template <class A>
void backward_lanes(const RowProblem& p, int64_t row, int64_t rows, double scale, Lanes<A>& lanes,
                    Buffers<A>& buffers) {
  constexpr int64_t w = kWidth<A>;
  fill_lanes(p, row, rows, lanes, buffers);
  if (is_common(p) && backward_common_lanes(p, row, rows, scale, lanes)) {
    return write_lanes(p, row, rows, lanes, buffers);
  }
  const LaneSlopes<A> s = lane_slopes(p, row, rows, scale, lanes);
  const bool weighted = has_distribution(p);
  for (int64_t j = 0; j < p.classes; ++j) {
    Vector<A> gradient = s.alpha * exp_of<A>(load(lanes.logits + j * w) - s.top);
    if (weighted) gradient -= s.g * load(lanes.weight + j * w);
    store<A>(lanes.gradient + j * w, gradient);
  }
  for (int64_t lane = 0; lane < rows; ++lane) {
    const int64_t columns[] = {largest_column(p, row + lane, s.rows[lane]), target_column(p, row + lane)};
    for (const int64_t column : columns) {
      if (column < 0 || !s.counts[lane]) continue;
      lanes.gradient[column * w + lane] = A(exact_gradient(p, row + lane, s.rows[lane], column, buffers));
    }
    for (int64_t j = 0; j < p.classes && !s.counts[lane]; ++j) lanes.gradient[j * w + lane] = 0;
  }
  write_lanes(p, row, rows, lanes, buffers);
}

// 0, or 1 + the first row that counts with a class index out of range.
template <class A>
int64_t check_targets(const RowProblem& p) {
  const int64_t rows = p.outer_rows * p.inner_rows;
  if (!p.target) return 0;
  for (int64_t row = 0; row < rows; ++row) {
    const bool inside = uint64_t(p.target[row]) < uint64_t(p.total_classes);
    if (!inside && p.target[row] != p.ignore_index && at<A>(p.sample_weight, row, 1) != 0) return row + 1;
  }
  return 0;
}

template <class A>
double sum_of_weights(const RowProblem& p) {
  const int64_t rows = p.outer_rows * p.inner_rows;
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
  const int64_t grain = 1 + kGrain / (p.classes + 1);
  if (!p.parallel_for || rows <= grain) {
    body(0, rows, &p);
  } else {
    p.parallel_for(0, rows, grain, body, &p);
  }
}

// The target's logit is wanted before all others of its row.
inline void prefetch_target(const RowProblem& p, int64_t row) {
  const int64_t column = target_column(p, row);
  const int64_t element = offset(p, p.logits, row) + column * p.logits.classes;
  if (column >= 0) __builtin_prefetch(static_cast<const char*>(p.logits.data) + element * kBytes[p.logits.dtype]);
}

// Rows are taken a vector at a time where the classes are few; each is computed alone in its lane all the same.
template <class A, bool forth, bool back>
void rows_between(int64_t begin, int64_t end, void* context) {
  const RowProblem& p = *static_cast<RowProblem*>(context);
  Buffers<A> buffers;
  if (!is_few(p, back ? kFewClassesToWrite : kFewClasses)) {
    for (int64_t row = begin; row < end; ++row) {
      if (forth) forward_row(p, row, buffers);
      if (back) {
        if (!forth && row + 1 < end) prefetch_target(p, row + 1);
        backward_row(p, row, p.grad_scale, buffers);
      }
    }
    return;
  }
  Lanes<A> lanes;
  for (int64_t row = begin; row < end; row += kWidth<A>) {
    const int64_t rows = end - row < kWidth<A> ? end - row : kWidth<A>;
    if (forth) forward_lanes(p, row, rows, lanes, buffers);
    if (back) backward_lanes(p, row, rows, p.grad_scale, lanes, buffers);
  }
}

template <class A>
int64_t forward(RowProblem& p) {
  const int64_t wrong = check_targets<A>(p);
  if (wrong) return wrong;
  run<rows_between<A, true, false>>(p);
  if (!p.last) return 0;
  p.grad_scale = derivative_by_each<A>(p);
  write_result<A>(p);
  return 0;
}

template <class A>
int64_t backward(RowProblem& p) {
  use_large_pages(p.gradient.data, p.outer_rows * p.inner_rows * p.classes * kBytes[p.gradient.dtype]);
  run<rows_between<A, false, true>>(p);
  return 0;
}

template <class A>
int64_t forward_backward(RowProblem& p) {
  const int64_t wrong = check_targets<A>(p);
  if (wrong) return wrong;
  p.grad_scale = derivative_by_each<A>(p);
  run<rows_between<A, true, true>>(p);
  write_result<A>(p);
  return 0;
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
};
}  // namespace crossent
