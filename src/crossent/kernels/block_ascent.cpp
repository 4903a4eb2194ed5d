// Softmax regression by dual coordinate ascent (Shalev-Shwartz and Zhang 2013). The dual of the cross entropy of a row is a
// distribution over the classes; a pass sets that of one row after another to its best value, given the others.
//
// Compiled once for each instruction set, with CROSSENT_LEVEL naming it.

#include "block_ascent.h"

#include "memory.h"
#include "products.h"

#define CROSSENT_JOIN(a, b) a##b
#define CROSSENT_NAMED(name, level) CROSSENT_JOIN(name, level)

namespace {

using crossent::BlockAscentProblem;
using Floats = Vector<float>;

constexpr int64_t kLanes = kWidth<float>;
// Elements of a row to ask for before their turn.
constexpr int64_t kAhead = 8;
// Newton steps for a row, and how far from a distribution they may end.
constexpr int kMostSteps = 20;
constexpr float kNear = 1e-3f;
// Changes of a probability, and of the row's own logits by it, that are not worth a walk over the weights.
constexpr float kNegligible = 1e-5f, kNegligibleLogit = 1e-3f;
constexpr float kLowestLog = -80;

Floats size_of(Floats v) { return v < 0.0f ? -v : v; }

// Blocks of classes, each of one vector, by where they begin.
struct Blocks {
  Array<int64_t> begins;
  int64_t count = 0;
  explicit Blocks(int64_t most) : begins(most) {}
  void add(int64_t begin) { begins[count++] = begin; }
  int64_t operator[](int64_t i) { return begins[i]; }
};

// The logits of a row in some blocks that stand side by side.
template <int vectors>
void find_logits_side_by_side(const BlockAscentProblem& p, int64_t row, int64_t stride, int64_t j, float* logits) {
  const float* bias = p.weight + p.features * stride;
  Floats sums[vectors];
  for (int v = 0; v < vectors; ++v) sums[v] = load(p.offset + j + v * kLanes) + load(bias + j + v * kLanes);
  const int64_t end = p.ends[row + 1];
  for (int64_t i = p.ends[row]; i < end; ++i) {
    if (i + kAhead < end) __builtin_prefetch(p.weight + p.columns[i + kAhead] * stride + j);
    const float* of_feature = p.weight + p.columns[i] * stride + j;
    for (int v = 0; v < vectors; ++v) sums[v] += p.values[i] * load(of_feature + v * kLanes);
  }
  for (int v = 0; v < vectors; ++v) store<float>(logits + j + v * kLanes, sums[v]);
}

void find_logits(const BlockAscentProblem& p, int64_t row, int64_t stride, Blocks& blocks, float* logits) {
  int64_t i = 0;
  const auto side_by_side = [&](int64_t n) {
    return i + n <= blocks.count && blocks[i + n - 1] == blocks[i] + (n - 1) * kLanes;
  };
  while (i < blocks.count) {
    if (side_by_side(4)) {
      find_logits_side_by_side<4>(p, row, stride, blocks[i], logits);
      i += 4;
    } else if (side_by_side(2)) {
      find_logits_side_by_side<2>(p, row, stride, blocks[i], logits);
      i += 2;
    } else {
      find_logits_side_by_side<1>(p, row, stride, blocks[i], logits);
      i += 1;
    }
  }
}

double log_sum_exp(const float* values, Blocks& blocks) {
  Floats tops = load(values + blocks[0]), sums{};
  for (int64_t i = 1; i < blocks.count; ++i) tops = larger<float>(tops, load(values + blocks[i]));
  const float top = largest_lane<float>(tops);
  for (int64_t i = 0; i < blocks.count; ++i) sums += exp_of<float>(load(values + blocks[i]) - top);
  return top + std::log(sum_lanes(sums));
}

// What the dual equation of a row is off by at log p: log p + curvature * p - wanted, and its slope by log p.
struct Equation {
  Floats p, residual, slope;
};

Equation equation_at(Floats log_p, Floats wanted, float curvature) {
  const Floats p = exp_of<float>(log_p), curved = p * curvature;
  return {p, log_p + curved - wanted, curved + 1.0f};
}

// Solves log p + curvature * p = wanted - mu with the mu that makes the sum of p the mass, by Newton's method.
void solve_row(const float* wanted, float curvature, float mass, Blocks& blocks, float* log_probs) {
  for (int step = 0; step < kMostSteps; ++step) {
    Floats sums{}, shares{}, residuals{};
    for (int64_t i = 0; i < blocks.count; ++i) {
      const Equation at = equation_at(load(log_probs + blocks[i]), load(wanted + blocks[i]), curvature);
      const Floats share = at.p / at.slope;
      sums += at.p, shares += share, residuals += at.p == 0.0f ? Floats{} : share * at.residual;
    }
    const float sum = float(sum_lanes(sums));
    const float mu = (sum - mass - float(sum_lanes(residuals))) / float(sum_lanes(shares));
    Floats moved{};
    for (int64_t i = 0; i < blocks.count; ++i) {
      const Floats log_p = load(log_probs + blocks[i]);
      const Equation at = equation_at(log_p, load(wanted + blocks[i]), curvature);
      Floats next = log_p - (at.residual + mu) / at.slope;
      // A probability is at most one, and its log is kept in the range of exp.
      next = next > 0.0f ? Floats{} : larger<float>(next, all(kLowestLog));
      moved += at.p * size_of(next - log_p);
      store<float>(log_probs + blocks[i], next);
    }
    if (step > 0 && std::fabs(sum - mass) < kNear && sum_lanes(moved) < kNear) break;
  }
  const float excess = float(log_sum_exp(log_probs, blocks) - std::log(mass));
  for (int64_t i = 0; i < blocks.count; ++i) {
    store<float>(log_probs + blocks[i], load(log_probs + blocks[i]) - excess);
  }
}

// Adds to the weights, for some of the classes, what the duals of a row gave up.
void add_to_weights(const BlockAscentProblem& p, int64_t row, int64_t stride, int64_t j, Floats step) {
  float* bias = p.weight + p.features * stride + j;
  store<float>(bias, load(bias) + step);
  for (int64_t i = p.ends[row]; i < p.ends[row + 1]; ++i) {
    float* of_feature = p.weight + p.columns[i] * stride + j;
    store<float>(of_feature, load(of_feature) + p.values[i] * step);
  }
}

// The bias counts as a feature of value one.
double square_of_row(const BlockAscentProblem& p, int64_t row) {
  double sum = 1;
  for (int64_t i = p.ends[row]; i < p.ends[row + 1]; ++i) sum += double(p.values[i]) * p.values[i];
  return sum;
}

// Finds the blocks of a row that may change; returns what the others leave of one for the sum of their duals.
float find_blocks(const BlockAscentProblem& p, const float* log_probs, int64_t target, int64_t stride, Blocks& blocks) {
  const float least = p.least_dual > 0 ? float(std::log(p.least_dual)) : -INFINITY;
  Floats others{};
  blocks.count = 0;
  for (int64_t j = 0; j < stride; j += kLanes) {
    const Floats log_p = load(log_probs + j);
    if (target / kLanes * kLanes == j || any_lane<float>(log_p > least)) {
      blocks.add(j);
    } else {
      others += exp_of<float>(log_p);
    }
  }
  return float(1 - sum_lanes(others));
}

void ascend(BlockAscentProblem* problem) {
  const BlockAscentProblem& p = *problem;
  const int64_t stride = padded(p.classes);
  Array<float> logits(stride), wanted(stride), found(stride);
  Blocks blocks(stride / kLanes);
  double loss = 0, gap = 0;
  for (int64_t visit = 0; visit < p.visits; ++visit) {
    const int64_t row = p.order[visit];
    float* log_probs = p.log_probs + row * stride;
    const float mass = find_blocks(p, log_probs, p.target[row], stride, blocks);
    find_logits(p, row, stride, blocks, logits.data);
    const float curvature = float(p.C * square_of_row(p, row));
    Floats gaps{};
    for (int64_t i = 0; i < blocks.count; ++i) {
      const int64_t j = blocks[i];
      const Floats log_p = load(log_probs + j), dual = exp_of<float>(log_p), logit = load(logits.data + j);
      gaps += dual == 0.0f ? Floats{} : dual * (log_p - logit);
      store<float>(wanted.data + j, logit + dual * curvature);
      store<float>(found.data + j, log_p);
    }
    const double log_sum = log_sum_exp(logits.data, blocks);
    loss += log_sum - logits[p.target[row]];
    // The Kullback-Leibler divergence from the duals to the softmax of the logits.
    gap += sum_lanes(gaps) + log_sum;
    solve_row(wanted.data, curvature, mass, blocks, found.data);
    const float negligible = std::fmin(kNegligible, kNegligibleLogit / curvature);
    for (int64_t i = 0; i < blocks.count; ++i) {
      const int64_t j = blocks[i];
      const Floats given_up = exp_of<float>(load(log_probs + j)) - exp_of<float>(load(found.data + j));
      if (!any_lane<float>(size_of(given_up) > negligible)) continue;
      store<float>(log_probs + j, load(found.data + j));
      add_to_weights(p, row, stride, j, given_up * float(p.C));
    }
  }
  problem->loss = loss, problem->gap = gap;
}

}  // namespace

namespace crossent {
extern const BlockAscentKernel CROSSENT_NAMED(block_ascent_kernel_, CROSSENT_LEVEL);
const BlockAscentKernel CROSSENT_NAMED(block_ascent_kernel_, CROSSENT_LEVEL) = ascend;
}  // namespace crossent
