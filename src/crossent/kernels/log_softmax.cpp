// Log-probabilities of rows of logits, in double: logit - largest - log of the sum of exp(logit - largest).
//
// Each row is computed separately, so that the bits do not depend on the threads. The last vector of a row overlaps the
// one before; lanes that were already counted are left out of the sum.
//
// Compiled once for each instruction set, with CROSSENT_LEVEL naming it.

#include "log_softmax.h"

#include "vector.h"

#define CROSSENT_JOIN(a, b) a##b
#define CROSSENT_NAMED(level) CROSSENT_JOIN(log_softmax_kernel_, level)

namespace {

using crossent::LogSoftmaxProblem;

constexpr int64_t kLanes = kWidth<double>;
// With up to this many classes, a group of rows (one for each lane) stays in the first cache.
constexpr int64_t kMostTogether = 1024;

inline Vector<double> load_double(const double* from) { return load(from); }
inline Vector<double> load_double(const float* from) {
  typedef float Half __attribute__((vector_size(kVectorBytes / 2)));
  Half half;
  __builtin_memcpy(&half, from, sizeof half);
  return __builtin_convertvector(half, Vector<double>);
}

// Calls body(j, seen) for the vectors of a row that begin at class j, of which `seen` lanes were in the one before.
template <class Body>
inline void each_vector(int64_t classes, const Body& body) {
  int64_t j = 0;
  for (; j + kLanes <= classes; j += kLanes) body(j, int64_t(0));
  if (j < classes) body(classes - kLanes, kLanes - (classes - j));
}

// log(x) for x >= 1 that is no infinity: x = 2^k m with m in [1/sqrt(2), sqrt(2)], of which log m is twice the area
// tangent of (m - 1) / (m + 1), by its series. NaN stays NaN.
inline Vector<double> log_of(Vector<double> x) {
  const Integers<double> bits = numbers_as_bits<double>(x);
  const Integers<double> k = (bits - 0x3fe6a09e667f3bcd) >> 52;
  const Vector<double> m = bits_as_numbers<double>(bits - (k << 52));
  const Vector<double> f = (m - 1.0) / (m + 1.0), square = f * f;
  Vector<double> p = square * (1.0 / 23) + 1.0 / 21;
  for (int odd = 19; odd >= 3; odd -= 2) p = p * square + 1.0 / odd;
  const Vector<double> whole = __builtin_convertvector(k, Vector<double>);
  const Vector<double> value = whole * 0.693145751953125 + (2.0 * f + (2.0 * f * square * p + whole * 1.42860682030941723212e-6));
  return x == x ? value : x;
}

// The largest of a row with at least as many classes as there are lanes, and the sum of the exponentials to it.
template <class T>
double sum_row(const T* logits, int64_t classes, double* top) {
  Vector<double> tops = load_double(logits), sums{};
  each_vector(classes, [&](int64_t j, int64_t) { tops = larger<double>(tops, load_double(logits + j)); });
  *top = largest_lane<double>(tops);
  each_vector(classes, [&](int64_t j, int64_t seen) {
    const Vector<double> e = exp_of<double>(load_double(logits + j) - *top);
    sums += lane_numbers<double>() < seen ? Vector<double>{} : e;
  });
  return sum_lanes(sums);
}

// Of some such rows, no more than there are lanes: their logarithms are taken together.
template <class T>
void take_long_rows(const T* logits, int64_t rows, int64_t classes, double* log_probs) {
  double tops[kLanes], sums[kLanes] = {}, log_sums[kLanes];
  for (int64_t i = 0; i < rows; ++i) sums[i] = sum_row(logits + i * classes, classes, tops + i);
  store<double>(log_sums, log_of(load(sums)));
  for (int64_t i = 0; i < rows; ++i) {
    const T* from = logits + i * classes;
    double* to = log_probs + i * classes;
    each_vector(classes, [=](int64_t j, int64_t) { store<double>(to + j, (load_double(from + j) - tops[i]) - log_sums[i]); });
  }
}

// Of rows with fewer classes than there are lanes: a row in each lane, the last again where there are not enough.
template <class T>
void take_short_rows(const T* logits, int64_t rows, int64_t classes, double* log_probs) {
  Vector<double> columns[kLanes], tops = all<double>(-INFINITY), sums{};
  const auto begin_of = [=](int64_t lane) { return (lane < rows ? lane : rows - 1) * classes; };
  for (int64_t j = 0; j < classes; ++j) {
    for (int64_t lane = 0; lane < kLanes; ++lane) columns[j][lane] = double(logits[begin_of(lane) + j]);
    tops = larger<double>(tops, columns[j]);
  }
  for (int64_t j = 0; j < classes; ++j) sums += exp_of<double>(columns[j] - tops);
  const Vector<double> log_sums = log_of(sums);
  for (int64_t j = 0; j < classes; ++j) {
    const Vector<double> found = (columns[j] - tops) - log_sums;
    for (int64_t lane = 0; lane < kLanes && lane < rows; ++lane) log_probs[lane * classes + j] = found[lane];
  }
}

template <class T>
void take_rows(const LogSoftmaxProblem& p) {
  const T* logits = static_cast<const T*>(p.logits);
  const int64_t step = p.classes > kMostTogether ? 1 : kLanes;
  for (int64_t row = 0; row < p.rows; row += step) {
    const T* from = logits + row * p.classes;
    double* to = p.log_probs + row * p.classes;
    if (p.classes < kLanes) take_short_rows(from, p.rows - row, p.classes, to);
    else take_long_rows(from, p.rows - row < step ? p.rows - row : step, p.classes, to);
  }
}

void log_softmax(LogSoftmaxProblem* problem) {
  (problem->wide ? take_rows<double> : take_rows<float>)(*problem);
}

}  // namespace

namespace crossent {
extern const LogSoftmaxKernel CROSSENT_NAMED(CROSSENT_LEVEL);
const LogSoftmaxKernel CROSSENT_NAMED(CROSSENT_LEVEL) = log_softmax;
}  // namespace crossent
