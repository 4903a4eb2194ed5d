// Losses and gradients where the classes are few: a vector holds one class of as many rows as it has lanes.
//
// Each row is computed alone in its lane, in the same order of operations whatever rows are beside it.
#pragma once

#include "one_row.h"
#include "transpose.h"

namespace {

// More are faster in their rows, where the exponentials of a row need no two ends.
constexpr int64_t kFewClasses = 128;

template <class A>
struct alignas(64) Lanes {
  A logits[kFewClasses * kWidth<A>];
  A weight[kFewClasses * kWidth<A>];
  A gradient[kFewClasses * kWidth<A>];
  A rows[kFewClasses * kWidth<A>];  // converted
  A zeros[kFewClasses] = {};
};

inline bool is_few(const RowProblem& p) { return p.classes <= kFewClasses && !p.states && !is_transformed(p); }

template <class A>
inline bool counts_in_lane(const RowProblem& p, int64_t row, int64_t rows, int64_t lane) {
  return lane < rows && sample_weight<A>(p, row + lane) != 0;
}

// Whether each row begins where the one before ends, so that many are converted at once.
inline bool are_together(const RowProblem& p, const View& view) {
  return p.inner_rows == 1 && view.classes == 1 && view.outer == p.classes;
}

// Where the target's distribution is the same in all rows, its lanes are filled once.
template <class A>
void fill_common_weight(const RowProblem& p, Lanes<A>& lanes, Buffers<A>& buffers) {
  if (!p.even_weight) return;
  const A* weight = weight_block(p, 0, 0, p.classes, buffers);
  for (int64_t j = 0; j < p.classes; ++j) store<A>(lanes.weight + j * kWidth<A>, all<A>(weight[j]));
}

// Brings rows that count into their lanes, and zeros into the others.
template <class A>
void fill_lanes(const RowProblem& p, int64_t row, int64_t rows, Lanes<A>& lanes, Buffers<A>& buffers) {
  const A* sources[kWidth<A>];
  const bool together = are_together(p, p.logits);
  const A* first = together ? read(p.logits, offset(p, p.logits, row), rows * p.classes, lanes.rows) : nullptr;
  for (int64_t lane = 0; lane < kWidth<A>; ++lane) {
    A* buffer = lanes.rows + lane * kFewClasses;
    sources[lane] = lanes.zeros;
    if (!counts_in_lane<A>(p, row, rows, lane)) continue;
    const int64_t start = offset(p, p.logits, row + lane);
    sources[lane] = first ? first + lane * p.classes : read(p.logits, start, p.classes, buffer);
  }
  rows_to_lanes(sources, p.classes, lanes.logits);
  if (!p.distribution.data) return;
  const bool as_given = !p.class_weight && p.label_smoothing == 0 && are_together(p, p.distribution);
  first = as_given ? read(p.distribution, offset(p, p.distribution, row), rows * p.classes, lanes.rows) : nullptr;
  for (int64_t lane = 0; lane < kWidth<A>; ++lane) {
    sources[lane] = lanes.zeros;
    if (!counts_in_lane<A>(p, row, rows, lane)) continue;
    sources[lane] = first ? first + lane * p.classes : weight_block(p, row + lane, 0, p.classes, buffers);
    if (sources[lane] != buffers.weight) continue;
    A* buffer = lanes.rows + lane * kFewClasses;
    __builtin_memcpy(buffer, buffers.weight, p.classes * sizeof(A));
    sources[lane] = buffer;
  }
  rows_to_lanes(sources, p.classes, lanes.weight);
}

template <class A>
struct LaneStates {
  Vector<A> top, largest, others, below, weight, weight_others;
};

// Classes are taken four at a time, so that none waits for the sum or the comparison of the one before.
constexpr int64_t kChains = 4;

// The largest logit of each lane, and the first class that has it; the lanes are filled up with minus infinity.
template <class A>
LaneStates<A> largest_in_lanes(const RowProblem& p, Lanes<A>& lanes) {
  constexpr int64_t w = kWidth<A>;
  for (int64_t j = p.classes; j % kChains; ++j) store<A>(lanes.logits + j * w, all<A>(-INFINITY));
  Vector<A> top[kChains], largest[kChains] = {};
  for (int64_t i = 0; i < kChains; ++i) top[i] = all<A>(-INFINITY);
  for (int64_t j = 0; j < p.classes; j += kChains) {
    for (int64_t i = 0; i < kChains; ++i) {
      const Vector<A> z = load(lanes.logits + (j + i) * w);
      largest[i] = z > top[i] ? all<A>(A(j + i)) : largest[i];
      top[i] = larger<A>(z, top[i]);
    }
  }
  for (int64_t i = 1; i < kChains; ++i) {
    const Integers<A> first = (top[i] > top[0]) | ((top[i] == top[0]) & (largest[i] < largest[0]));
    largest[0] = first ? largest[i] : largest[0];
    top[0] = larger<A>(top[i], top[0]);
  }
  LaneStates<A> s{};
  s.top = top[0];
  s.largest = largest[0];
  return s;
}

// Of some rows as many elements a class as there are lanes.
template <class A>
Ahead lanes_ahead(const RowProblem& p, const View& view, int64_t row) {
  const Ahead first = ahead(p, view, row, 0);
  return {first.data, first.bytes * kWidth<A>};
}

template <class A>
LaneStates<A> take_lanes(const RowProblem& p, int64_t next_row, Lanes<A>& lanes) {
  constexpr int64_t w = kWidth<A>;
  const Ahead next = lanes_ahead<A>(p, p.logits, next_row);
  LaneStates<A> s = largest_in_lanes<A>(p, lanes);
  Vector<A> sums[kChains] = {};
  for (int64_t j = 0; j < p.classes; j += kChains) {
    for (int64_t i = 0; i < kChains; ++i) {
      prefetch(next, j + i);
      const Vector<A> e = exp_of<A>(load(lanes.logits + (j + i) * w) - s.top);
      sums[i] += s.largest == A(j + i) ? Vector<A>{} : e;
    }
  }
  s.others = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  if (!has_distribution(p)) return s;
  const Ahead next_weight = lanes_ahead<A>(p, p.distribution.data ? p.distribution : p.logits, next_row);
  for (int64_t j = 0; j < p.classes; ++j) {
    prefetch(next_weight, j);
    const Vector<A> z = load(lanes.logits + j * w), weight = load(lanes.weight + j * w);
    s.below += weight == 0 ? Vector<A>{} : weight * (z < s.top ? s.top - z : Vector<A>{});
    s.weight += weight;
    s.weight_others += s.largest == A(j) ? Vector<A>{} : weight;
  }
  return s;
}

// The index target of each row: its weight with those of the class and the sample, and where its logit lies. Rows that
// do not count have none, nor do distributions.
template <class A>
struct LaneTargets {
  Vector<A> weight, sample_weight, logit;
  int64_t place[kWidth<A>];
};

template <class A>
LaneTargets<A> lane_targets(const RowProblem& p, int64_t row, int64_t rows, const Lanes<A>& lanes) {
  A weight[kWidth<A>] = {}, of_sample[kWidth<A>] = {}, logit[kWidth<A>] = {};
  LaneTargets<A> t{};
  for (int64_t lane = 0; lane < rows; ++lane) {
    of_sample[lane] = sample_weight<A>(p, row + lane);
    if (of_sample[lane] == 0 || !p.target) continue;
    t.place[lane] = p.target[row + lane] * kWidth<A> + lane;
    weight[lane] = A(1 - p.label_smoothing) * target_weight<A>(p, row + lane);
    logit[lane] = lanes.logits[t.place[lane]];
  }
  t.weight = load(weight);
  t.sample_weight = load(of_sample);
  t.logit = load(logit);
  return t;
}

// The product, in which zero times infinity is zero.
template <class A>
inline Vector<A> weigh_lanes(Vector<A> weight, Vector<A> value) {
  return weight == 0 && value == A(INFINITY) ? Vector<A>{} : weight * value;
}

// Losses without z-loss and focal factor are a few operations on whole vectors.
inline bool is_common(const RowProblem& p) { return p.focal_gamma == 0 && p.z_loss == 0; }

template <class A>
void forward_common_lanes(const RowProblem& p, int64_t row, int64_t rows, Lanes<A>& lanes) {
  const LaneStates<A> s = take_lanes(p, row + rows, lanes);
  const LaneTargets<A> t = lane_targets(p, row, rows, lanes);
  const Vector<A> others = s.top > A(-INFINITY) ? s.others : all<A>(NAN);
  const Vector<A> log_sum = log1p_of(others);
  Vector<A> losses{};
  if (p.target) losses = weigh_lanes<A>(t.weight, (t.logit < s.top ? s.top - t.logit : Vector<A>{}) + log_sum);
  if (has_distribution(p)) losses += s.below + weigh_lanes<A>(s.weight, log_sum);
  losses = t.sample_weight == 0 ? Vector<A>{} : losses * t.sample_weight;
  store_up_to(static_cast<A*>(p.losses) + row, rows, losses);
  A* stats = static_cast<A*>(p.stats) + 4 * row;
  for (int64_t lane = 0; lane < rows; ++lane, stats += 4) {
    stats[0] = s.top[lane];
    stats[1] = others[lane];
    stats[2] = s.weight[lane];
    stats[3] = s.weight_others[lane];
    p.largest[row + lane] = int64_t(s.largest[lane]);
  }
}

template <class A>
void forward_lanes(const RowProblem& p, int64_t row, int64_t rows, Lanes<A>& lanes) {
  if (is_common(p)) return forward_common_lanes(p, row, rows, lanes);
  const LaneStates<A> found = take_lanes(p, row + rows, lanes);
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

// What backward reads of the rows in the lanes; zeros in those that count nothing.
template <class A>
struct LaneStats {
  A top[kWidth<A>], others[kWidth<A>], weight[kWidth<A>], weight_others[kWidth<A>], slope[kWidth<A>];
};

// False if a logit is infinite.
template <class A>
bool read_stats(const RowProblem& p, int64_t row, int64_t rows, double scale, LaneStats<A>& s) {
  const A* stats = static_cast<const A*>(p.stats) + 4 * row;
  for (int64_t lane = 0; lane < rows; ++lane, stats += 4) {
    s.slope[lane] = A(scale * at<A>(p.grad_rows, row + lane, 1) * sample_weight<A>(p, row + lane));
    if (s.slope[lane] == 0) continue;
    s.top[lane] = stats[0];
    s.others[lane] = stats[1];
    s.weight[lane] = stats[2];
    s.weight_others[lane] = stats[3];
    if (s.top[lane] == A(INFINITY)) return false;
  }
  return true;
}

// Leaves the gradient in the lanes; false if a logit is infinite, and so nothing was done.
template <class A>
bool backward_common_lanes(const RowProblem& p, int64_t row, int64_t rows, double scale, Lanes<A>& lanes) {
  constexpr int64_t w = kWidth<A>;
  LaneStats<A> s{};
  if (!read_stats(p, row, rows, scale, s)) return false;
  const LaneTargets<A> t = lane_targets(p, row, rows, lanes);
  const bool weighted = has_distribution(p);
  const Vector<A> top = load(s.top), others = load(s.others), g = load(s.slope), beta = g * t.weight;
  const Vector<A> spread = weighted ? g * load(s.weight) : Vector<A>{};
  const Vector<A> prob = A(1) / (A(1) + others), alpha = (beta + spread) * prob, share = prob * others;
  const Ahead next = lanes_ahead<A>(p, p.logits, row + rows), to_write = lanes_ahead<A>(p, p.gradient, row);
  const Ahead next_weight = lanes_ahead<A>(p, p.distribution.data ? p.distribution : p.logits, row + rows);
  for (int64_t j = 0; j < p.classes; ++j) {
    prefetch(next, j);
    if (weighted) prefetch(next_weight, j);
    prefetch_to_write(to_write, j);
    Vector<A> gradient = alpha * exp_of<A>(load(lanes.logits + j * w) - top);
    if (weighted) gradient -= g * load(lanes.weight + j * w);
    store<A>(lanes.gradient + j * w, g == 0 ? Vector<A>{} : gradient);
  }
  for (int64_t lane = 0; lane < rows; ++lane) {
    if (g[lane] == 0) continue;
    if (p.target) {
      A& gradient = lanes.gradient[t.place[lane]];
      // Where the target is the largest logit, 1 - p is the share of the others, to the last digit.
      const bool is_top = !(t.logit[lane] < s.top[lane]);
      const A rest = weighted ? spread[lane] * prob[lane] - g[lane] * lanes.weight[t.place[lane]] : A(0);
      gradient = is_top ? rest - beta[lane] * share[lane] : gradient - beta[lane];
    } else {
      // The same for a distribution that has most of its weight there.
      const int64_t place = p.largest[row + lane] * w + lane;
      const bool most = 2 * lanes.weight[place] > s.weight[lane];
      if (most) lanes.gradient[place] = g[lane] * (s.weight_others[lane] - s.weight[lane] * share[lane]);
    }
  }
  return true;
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

template <class A>
void backward_any_lanes(const RowProblem& p, int64_t row, int64_t rows, double scale, Lanes<A>& lanes,
                        Buffers<A>& buffers) {
  constexpr int64_t w = kWidth<A>;
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
}

template <class A>
void write_lanes(const RowProblem& p, int64_t row, int64_t rows, Lanes<A>& lanes) {
  A* targets[kWidth<A>];
  const bool together = are_together(p, p.gradient);
  const int64_t step = together ? p.classes : kFewClasses;
  for (int64_t lane = 0; lane < rows; ++lane) {
    targets[lane] = place(p.gradient, offset(p, p.gradient, row + lane), lanes.rows + lane * step);
  }
  lanes_to_rows(lanes.gradient, p.classes, targets, rows);
  if (together) return finish(p.gradient, offset(p, p.gradient, row), rows * p.classes, targets[0]);
  for (int64_t lane = 0; lane < rows; ++lane) {
    finish(p.gradient, offset(p, p.gradient, row + lane), p.classes, targets[lane]);
  }
}

template <class A>
void backward_lanes(const RowProblem& p, int64_t row, int64_t rows, double scale, Lanes<A>& lanes,
                    Buffers<A>& buffers) {
  if (!is_common(p) || !backward_common_lanes(p, row, rows, scale, lanes)) {
    backward_any_lanes(p, row, rows, scale, lanes, buffers);
  }
  write_lanes(p, row, rows, lanes);
}

}  // namespace
