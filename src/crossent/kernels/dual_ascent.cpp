// Softmax regression by ascent of its dual, one sparse row after the other (Shalev-Shwartz and Zhang 2013): each row has
// probabilities of its own, the weights are what these make of them, and each row in turn takes those that are best while
// all others stay.
//
// Compiled once for each instruction set, with CROSSENT_LEVEL naming it.

#include "memory.h"
#include "regression.h"
#include "sparse_rows.h"

#define CROSSENT_JOIN(a, b) a##b
#define CROSSENT_NAMED(name, level) CROSSENT_JOIN(name, level)

namespace {

using crossent::DualProblem;

// Log-probabilities are kept above this, and those of the columns beyond the classes at it.
constexpr int kLeastLog = -80;
constexpr int kMostSteps = 16;
// Largest change of a log-probability that needs no further step of Newton's method, which squares it.
constexpr double kNear = 0.01;

// What the room for a row holds, each (columns,).
template <class A>
struct Scratch {
  A *logits, *old_probs, *probs, *change;
};

// Finds u = log p with u + q p = c - mu and sum p = 1, where c = logits + q * the old p, by Newton's method on u and mu
// together. `log_probs` holds the old u, and then the new.
template <class A>
void best_of_row(const DualProblem& p, double q, double mu, Scratch<A> at, A* log_probs) {
  constexpr int64_t w = kWidth<A>;
  const int64_t columns = columns_of<A>(p.classes);
  double total = 1;
  for (int64_t j = 0; j < columns; j += w) {
    // Columns beyond the classes get no logit.
    store<A>(at.logits + j, load_up_to<A>(at.logits + j, p.classes - j, A(mu - 1e4)) + A(q) * load(at.old_probs + j));
    store<A>(at.probs + j, load(at.old_probs + j));
  }
  for (int step = 0; step < kMostSteps; ++step) {
    Vector<A> slopes{}, gains{};
    for (int64_t j = 0; j < columns; j += w) {
      const Vector<A> x = load(at.probs + j);
      const Vector<A> slope = x / (A(1) + A(q) * x);
      slopes += slope;
      gains += slope * (load(at.logits + j) - A(mu) - load(log_probs + j) - A(q) * x);
    }
    mu += (sum_lanes(gains) + total * std::log(total)) / sum_lanes(slopes);
    Vector<A> largest{}, sums{};
    for (int64_t j = 0; j < columns; j += w) {
      const Vector<A> x = load(at.probs + j), u = load(log_probs + j);
      const Vector<A> wanted = u + (load(at.logits + j) - A(mu) - u - A(q) * x) / (A(1) + A(q) * x);
      const Vector<A> next = -larger<A>(all<A>(0), -larger<A>(wanted, all<A>(kLeastLog)));
      largest = larger<A>(larger<A>(next - u, u - next), largest);
      const Vector<A> e = exp_of<A>(next);
      store<A>(log_probs + j, next);
      store<A>(at.probs + j, e);
      sums += e;
    }
    total = sum_lanes(sums);
    if (largest_lane<A>(largest) < A(kNear)) break;
  }
  for (int64_t j = 0; j < columns; j += w) {
    const Vector<A> u = larger<A>(load(log_probs + j) - A(std::log(total)), all<A>(kLeastLog));
    store<A>(log_probs + j, u);
    store<A>(at.probs + j, load(at.probs + j) * A(1 / total));
  }
}

// Returns the log of the sum of exponentials of the logits, and adds up by how much the row misses its best.
template <class A>
double log_sum_of_row(const DualProblem& p, Scratch<A> at, const A* log_probs, double* divergence) {
  constexpr int64_t w = kWidth<A>;
  const int64_t columns = columns_of<A>(p.classes);
  Vector<A> tops = all<A>(-INFINITY), sums{}, missing{};
  for (int64_t j = 0; j < columns; j += w) tops = larger<A>(load_up_to<A>(at.logits + j, p.classes - j, -INFINITY), tops);
  const A top = largest_lane<A>(tops);
  for (int64_t j = 0; j < columns; j += w) {
    const Vector<A> z = load_up_to<A>(at.logits + j, p.classes - j, A(-1e30)) - top;
    sums += exp_of<A>(z);
    const Vector<A> u = load(log_probs + j), x = exp_of<A>(u);
    store<A>(at.old_probs + j, x);
    missing += load_up_to<A>(at.old_probs + j, p.classes - j, 0) * (u - z);
  }
  const double log_sum = std::log(sum_lanes(sums));
  *divergence = log_sum + sum_lanes(missing);
  return top + log_sum;
}

template <class A>
void ascend(DualProblem* problem) {
  constexpr int64_t w = kWidth<A>;
  const DualProblem& p = *problem;
  const int64_t stride = padded(p.classes), columns = columns_of<A>(p.classes);
  Array<A> room(4 * stride);
  const Scratch<A> at{room.data, room.data + stride, room.data + 2 * stride, room.data + 3 * stride};
  const SparseRow<A> whole{p.columns, static_cast<const A*>(p.values), 0};
  A* theta = static_cast<A*>(p.theta);
  A* bias = theta + p.features * stride;
  double gap = 0;
  for (int64_t i = 0; i < p.rows; ++i) {
    const int64_t row = p.order[i];
    const double strength = static_cast<const A*>(p.strength)[row];
    if (strength == 0) continue;
    const SparseRow<A> elements = whole.part(p.ends + row);
    double square = 1;
    for (int64_t e = 0; e < elements.size; ++e) square += double(elements.values[e]) * elements.values[e];
    A* log_probs = static_cast<A*>(p.log_probs) + row * stride;
    __builtin_memcpy(at.logits, bias, columns * sizeof(A));
    add_row_times(elements, theta, stride, columns, at.logits);
    double divergence;
    const double log_sum = log_sum_of_row(p, at, log_probs, &divergence);
    gap += strength * divergence;
    best_of_row(p, strength * square, log_sum, at, log_probs);
    for (int64_t j = 0; j < columns; j += w) {
      const Vector<A> change = A(strength) * (load(at.old_probs + j) - load(at.probs + j));
      store<A>(at.change + j, change);
      store<A>(bias + j, load(bias + j) + change);
    }
    add_row(elements, at.change, stride, columns, theta);
  }
  problem->gap = gap;
}

}  // namespace

namespace crossent {
void CROSSENT_NAMED(ascend_, CROSSENT_LEVEL)(DualProblem* problem) { ascend<float>(problem); }
void CROSSENT_NAMED(wide_ascend_, CROSSENT_LEVEL)(DualProblem* problem) { ascend<double>(problem); }
}  // namespace crossent
