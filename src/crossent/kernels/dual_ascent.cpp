// Softmax regression by dual coordinate ascent (Shalev-Shwartz and Zhang 2013). The dual of the cross entropy of a row
// is a distribution over the classes; a pass sets the dual of one row after another to its best value, given the
// others.
//
// Compiled once for each instruction set, with CROSSENT_LEVEL naming it.

#include "dual_ascent.h"

#include "memory.h"
#include "sparse_rows.h"

#define CROSSENT_JOIN(a, b) a##b
#define CROSSENT_NAMED(name, level) CROSSENT_JOIN(name, level)

namespace {

using crossent::DualProblem;

// Newton steps for a row, and how far from a distribution they may end.
constexpr int kMostSteps = 20;
constexpr double kNear = 1e-5;
constexpr int kLowestLog = -80;
// The weights of the next row are prefetched if the weights of a feature have at most this number of bytes.
constexpr int64_t kMostAhead = 256;
// Number of neighbouring classes that are left out, or not changed, together: the size of the widest vector, so that
// every instruction set leaves out the same classes.
constexpr int64_t kTogether = 16;
// A change of the row's own logits is negligible up to this many times the negligible change of a probability.
constexpr double kLogits = 100;

template <class A>
Vector<A> size_of(Vector<A> v) { return v < A(0) ? -v : v; }

template <class A>
A* weight_of(const DualProblem& p) {
  return static_cast<A*>(p.weight);
}

// Blocks of classes, each of one vector, by where they begin.
struct Blocks {
  Array<int64_t> begins;
  int64_t count = 0;
  explicit Blocks(int64_t most) : begins(most) {}
  void add(int64_t begin) { begins[count++] = begin; }
  int64_t operator[](int64_t i) { return begins[i]; }
};

template <class A>
SparseRow<A> elements_of(const DualProblem& p, int64_t row) {
  return SparseRow<A>{p.columns, static_cast<const A*>(p.values), 0}.part(p.ends + row);
}

// The logits of a row in some blocks; neighbouring blocks are computed together.
template <class A>
void find_logits(const DualProblem& p, int64_t row, int64_t stride, Blocks& blocks, A* logits) {
  const A *weight = weight_of<A>(p), *bias = weight + p.features * stride, *offset = static_cast<const A*>(p.offset);
  const SparseRow<A> elements = elements_of<A>(p, row);
  for (int64_t i = 0; i < blocks.count; ++i) {
    const int64_t j = blocks[i];
    store<A>(logits + j, load(offset + j) + load(bias + j));
  }
  for (int64_t i = 0; i < blocks.count;) {
    const int64_t j = blocks[i];
    const auto side_by_side = [&](int64_t n) {
      return i + n <= blocks.count && blocks[i + n - 1] == j + (n - 1) * kWidth<A>;
    };
    if (side_by_side(4)) {
      add_row_times_part<A, 4>(elements, weight + j, stride, logits + j);
      i += 4;
    } else if (side_by_side(2)) {
      add_row_times_part<A, 2>(elements, weight + j, stride, logits + j);
      i += 2;
    } else {
      add_row_times_part<A, 1>(elements, weight + j, stride, logits + j);
      i += 1;
    }
  }
}

template <class A>
double log_sum_exp(const A* values, Blocks& blocks) {
  Vector<A> tops = load(values + blocks[0]), sums{};
  for (int64_t i = 1; i < blocks.count; ++i) tops = larger<A>(tops, load(values + blocks[i]));
  const A top = largest_lane<A>(tops);
  for (int64_t i = 0; i < blocks.count; ++i) sums += exp_of<A>(load(values + blocks[i]) - top);
  return top + std::log(sum_lanes(sums));
}

// The residual of the dual equation of a row at log p: log p + curvature * p - wanted, and its derivative by log p.
template <class A>
struct Equation {
  Vector<A> p, residual, slope;
};

template <class A>
Equation<A> equation_at(Vector<A> log_p, Vector<A> wanted, A curvature) {
  const Vector<A> p = exp_of<A>(log_p), curved = p * curvature;
  return {p, log_p + curved - wanted, curved + A(1)};
}

// Solves log p + curvature * p = wanted - mu with the mu that makes the sum of p the mass, by Newton's method.
template <class A>
void solve_row(const A* wanted, A curvature, A mass, Blocks& blocks, A* log_probs) {
  for (int step = 0; step < kMostSteps; ++step) {
    Vector<A> sums{}, shares{}, residuals{};
    for (int64_t i = 0; i < blocks.count; ++i) {
      const Equation<A> at = equation_at<A>(load(log_probs + blocks[i]), load(wanted + blocks[i]), curvature);
      const Vector<A> share = at.p / at.slope;
      sums += at.p, shares += share, residuals += at.p == A(0) ? Vector<A>{} : share * at.residual;
    }
    const A sum = A(sum_lanes(sums));
    const A mu = (sum - mass - A(sum_lanes(residuals))) / A(sum_lanes(shares));
    Vector<A> moved{};
    for (int64_t i = 0; i < blocks.count; ++i) {
      const Vector<A> log_p = load(log_probs + blocks[i]);
      const Equation<A> at = equation_at<A>(log_p, load(wanted + blocks[i]), curvature);
      Vector<A> next = log_p - (at.residual + mu) / at.slope;
      // A probability is at most one, and its log is kept in the range of exp.
      next = next > A(0) ? Vector<A>{} : larger<A>(next, all<A>(kLowestLog));
      moved += at.p * size_of<A>(next - log_p);
      store<A>(log_probs + blocks[i], next);
    }
    if (step > 0 && std::fabs(sum - mass) < kNear && sum_lanes(moved) < kNear) break;
  }
  const A excess = A(log_sum_exp(log_probs, blocks) - std::log(mass));
  for (int64_t i = 0; i < blocks.count; ++i) {
    store<A>(log_probs + blocks[i], load(log_probs + blocks[i]) - excess);
  }
}

// Subtracts the changes of a row's duals from the weights, for the classes of neighbouring vectors; meanwhile the
// weights of the next row are prefetched, element by element.
template <class A, int vectors>
void add_to_weights(const DualProblem& p, SparseRow<A> elements, int64_t stride, int64_t j, const A* steps, SparseRow<A> next) {
  A* weight = weight_of<A>(p) + j;
  A* bias = weight + p.features * stride;
  Vector<A> step[vectors];
  for (int64_t k = 0; k < vectors; ++k) {
    step[k] = load(steps + j + k * kWidth<A>);
    store<A>(bias + k * kWidth<A>, load(bias + k * kWidth<A>) + step[k]);
  }
  for (int64_t i = 0; i < elements.size; ++i) {
    if (i < next.size) __builtin_prefetch(weight + next.columns[i] * stride, 1, 2);
    A* of_feature = weight + elements.columns[i] * stride;
    for (int64_t k = 0; k < vectors; ++k) {
      store<A>(of_feature + k * kWidth<A>, load(of_feature + k * kWidth<A>) + elements.values[i] * step[k]);
    }
  }
}

// The bias counts as a feature of value one.
template <class A>
double square_of_row(SparseRow<A> elements) {
  double sum = 1;
  for (int64_t i = 0; i < elements.size; ++i) sum += double(elements.values[i]) * elements.values[i];
  return sum;
}

// Finds the blocks of a row that may change; returns one minus the sum of the duals of the other blocks. Vectors after
// the last class hold zeros.
template <class A>
A find_blocks(const DualProblem& p, const A* log_probs, int64_t target, Blocks& blocks) {
  const A least = p.least_dual > 0 ? A(std::log(p.least_dual)) : -INFINITY;
  Vector<A> others{};
  blocks.count = 0;
  for (int64_t first = 0; first < p.classes; first += kTogether) {
    const int64_t end = first + kTogether < p.classes ? first + kTogether : p.classes;
    bool kept = target >= first && target < end;
    for (int64_t j = first; j < end; j += kWidth<A>) kept = kept || any_lane<A>(load(log_probs + j) > least);
    for (int64_t j = first; j < end; j += kWidth<A>) {
      if (kept) blocks.add(j);
      else others += exp_of<A>(load(log_probs + j));
    }
  }
  return A(1 - sum_lanes(others));
}

// Changes the duals of a row, except where the changes of all neighbours are negligible, and the weights.
template <class A>
void take_changes(const DualProblem& p, SparseRow<A> elements, A strength, A negligible, Blocks& blocks, const A* found,
                  A* log_probs, A* steps, SparseRow<A> next) {
  for (int64_t i = 0, end = 0; i < blocks.count; i = end) {
    bool changes = false;
    for (; end < blocks.count && blocks[end] / kTogether == blocks[i] / kTogether; ++end) {
      const int64_t j = blocks[end];
      const Vector<A> change = exp_of<A>(load(log_probs + j)) - exp_of<A>(load(found + j));
      changes = changes || any_lane<A>(size_of<A>(change) > negligible);
      store<A>(steps + j, change * strength);
    }
    for (int64_t k = i; changes && k < end; ++k) store<A>(log_probs + blocks[k], load(found + blocks[k]));
    for (int64_t k = i; changes && k < end;) {
      const bool two = k + 2 <= end;
      const auto add = two ? add_to_weights<A, 2> : add_to_weights<A, 1>;
      add(p, elements, padded(p.classes), blocks[k], steps, next);
      k += two ? 2 : 1;
    }
  }
}

template <class A>
void ascend(DualProblem* problem) {
  const DualProblem& p = *problem;
  const int64_t stride = padded(p.classes);
  Array<A> logits(stride), wanted(stride), found(stride);
  Blocks blocks(stride / kWidth<A>);
  double loss = 0, gap = 0;
  for (int64_t visit = 0; visit < p.visits; ++visit) {
    const int64_t row = p.order[visit], target = p.target ? p.target[row] : -1;
    const A strength = static_cast<const A*>(p.strength)[row];
    if (strength == 0) continue;
    const SparseRow<A> elements = elements_of<A>(p, row);
    A* log_probs = static_cast<A*>(p.log_probs) + row * stride;
    const A mass = find_blocks(p, log_probs, target, blocks);
    find_logits(p, row, stride, blocks, logits.data);
    const A curvature = A(strength * square_of_row(elements));
    Vector<A> gaps{};
    for (int64_t i = 0; i < blocks.count; ++i) {
      const int64_t j = blocks[i];
      const Vector<A> log_p = load(log_probs + j), dual = exp_of<A>(log_p), logit = load(logits.data + j);
      gaps += dual == A(0) ? Vector<A>{} : dual * (log_p - logit);
      store<A>(wanted.data + j, logit + dual * curvature);
      store<A>(found.data + j, log_p);
    }
    const double log_sum = log_sum_exp(logits.data, blocks);
    if (target >= 0) loss += strength * (log_sum - logits[target]);
    // The Kullback-Leibler divergence from the duals to the softmax of the logits.
    gap += strength * (sum_lanes(gaps) + log_sum);
    solve_row(wanted.data, curvature, mass, blocks, found.data);
    const bool asks = stride * int64_t(sizeof(A)) <= kMostAhead && visit + 1 < p.visits;
    const SparseRow<A> next = asks ? elements_of<A>(p, p.order[visit + 1]) : SparseRow<A>{};
    const A negligible = A(std::fmin(p.negligible, kLogits * p.negligible / curvature));
    take_changes<A>(p, elements, strength, negligible, blocks, found.data, log_probs, logits.data, next);
  }
  problem->loss = loss, problem->gap = gap;
}

}  // namespace

namespace crossent {
extern const DualKernels CROSSENT_NAMED(dual_kernels_, CROSSENT_LEVEL);
const DualKernels CROSSENT_NAMED(dual_kernels_, CROSSENT_LEVEL) = {ascend<float>, ascend<double>};
}  // namespace crossent
