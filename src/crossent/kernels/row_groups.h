// Losses and gradients of several rows at a time, one for each lane of a vector.
//
// Classes lie in the lanes while a row is read. What the rows of a group end with, their largest logits and their sums,
// is then folded into vectors with a row in each lane, so that logarithms and quotients are taken for all of them at
// once. Each row is computed in the same order of operations whatever rows are beside it.
#pragma once

#include "lanes.h"
#include "one_row.h"

namespace {

// If loss and gradient are wanted at once, longer rows are faster one by one, because exponentials are computed once.
constexpr int64_t kMostAtOnce = 128;

// Rows that are read and written as they lie, and short enough for their sums to be of floats.
inline bool is_grouped(const RowProblem& p, bool at_once) {
  const bool as_it_lies = !p.gradient.data || (p.gradient.classes == 1 && p.gradient.dtype == p.logits.dtype);
  const int64_t most = at_once ? kMostAtOnce : kBlock;
  return p.classes <= most && !p.states && !is_transformed(p) && p.logits.classes == 1 && as_it_lies;
}

// Losses without z-loss and focal factor are a few operations on whole vectors.
inline bool is_common(const RowProblem& p) { return p.focal_gamma == 0 && p.z_loss == 0; }

template <class T>
inline T* row_of(const RowProblem& p, const View& view, int64_t row) {
  return static_cast<T*>(view.data) + offset(p, view, row);
}

template <class A, class T>
inline Vector<A> largest_of_row(const T* logits, int64_t classes) {
  Vector<A> tops[2] = {all<A>(-INFINITY), all<A>(-INFINITY)};
  each_vector<A, T>(classes, [&](auto extent, int i, int64_t j, int64_t n) {
    tops[i] = larger<A>(take<A>(extent, logits + j, n, A(-INFINITY)), tops[i]);
  });
  return larger<A>(tops[0], tops[1]);
}

// Besides the index's own, the weights in a row's target: none, the same in all rows, those made of its distribution,
// or this as it lies, of the dtype of the logits.
enum class Weights { kNone, kEven, kOwn, kAsGiven };

inline Weights weights_in(const RowProblem& p) {
  if (!p.distribution.data) return p.even_weight ? Weights::kEven : Weights::kNone;
  const bool lies_alike = p.distribution.dtype == p.logits.dtype && p.distribution.classes == 1;
  return lies_alike && !p.class_weight && p.label_smoothing == 0 ? Weights::kAsGiven : Weights::kOwn;
}

template <Weights weights, class A, class T>
inline auto weights_of(const RowProblem& p, int64_t row, Buffers<A>& buffers) {
  if constexpr (weights == Weights::kNone) return static_cast<const A*>(nullptr);
  else if constexpr (weights == Weights::kAsGiven) return static_cast<const T*>(row_of<T>(p, p.distribution, row));
  else return weight_block(p, row, 0, p.classes, buffers);
}

// Sums over the classes of a row: of the exponentials to its largest logit, and of those of the classes below it; and
// over the weights, of weight * (top - logit), of all, and of those of the classes below.
template <class A>
struct RowSums {
  Vector<A> all, all_below, distance, weight, weight_below;
};

// `ahead` is what will be read soon.
template <class A, Weights weights, class T, class W>
inline RowSums<A> sums_of_row(const T* logits, const W* weight, int64_t classes, A top, const T* ahead) {
  RowSums<A> sums[2] = {};
  each_vector<A, T>(classes, [&](auto extent, int i, int64_t j, int64_t n) {
    RowSums<A>& s = sums[i];
    __builtin_prefetch(ahead + j);
    const Vector<A> x = take<A>(extent, logits + j, n, A(-INFINITY)) - top, e = exp_of<A>(x);
    const Integers<A> is_top = x == 0;
    s.all += e;
    s.all_below += is_top ? Vector<A>{} : e;
    if constexpr (weights == Weights::kNone) return;
    const Vector<A> of_class = take<A>(extent, weight + j, n, A(0));
    s.distance += of_class * (top - take<A>(extent, logits + j, n, top));
    if constexpr (weights == Weights::kEven) return;
    s.weight += of_class;
    s.weight_below += is_top ? Vector<A>{} : of_class;
  });
  const RowSums<A>&a = sums[0], &b = sums[1];
  return {a.all + b.all, a.all_below + b.all_below, a.distance + b.distance, a.weight + b.weight,
          a.weight_below + b.weight_below};
}

// What the rows of a group end with, a row in each lane.
template <class A>
struct Found {
  Vector<A> top, others, below, weight, weight_others;
  int64_t largest[kWidth<A>];  // the class of the largest logit of a distribution that has most of its weight there; or -1
};

template <class A>
inline Vector<A> size_of(Vector<A> v) {
  return v < 0 ? -v : v;
}

// Looks at the rows of distributions one by one where sums are not enough: where a zero weight meets an infinite
// distance, and where most of the weight is on the largest logit.
template <class A>
void look_again(const RowProblem& p, int64_t row, const bool* counts, Found<A>& found, Buffers<A>& buffers) {
  const Integers<A> is_infinite = found.below - found.below != 0;
  const Integers<A> most = A(2) * size_of<A>(found.weight_others) < size_of<A>(found.weight);
  const Integers<A> is_apart = p.distribution.data ? most : Integers<A>{};
  if (!any_lane<A>(is_infinite | is_apart)) return;
  const Lanes<A> tops = apart<A>(found.top);
  for (int64_t lane = 0; lane < kWidth<A>; ++lane) {
    if (!counts[lane] || !(is_infinite[lane] || is_apart[lane])) continue;
    const A* weight = weight_block(p, row + lane, 0, p.classes, buffers);
    const A* logits = read(p.logits, offset(p, p.logits, row + lane), p.classes, buffers.logits);
    if (is_infinite[lane]) found.below[lane] = A(weighted_below_infinite(logits, weight, p.classes, tops.of[lane]));
    if (!is_apart[lane]) continue;
    const int64_t largest = find(logits, p.classes, tops.of[lane]);
    found.weight_others[lane] = A(sum_others(weight, p.classes, largest));
    if (2 * std::fabs(weight[largest]) > std::fabs(found.weight[lane])) found.largest[lane] = largest;
  }
}

// The index targets of the rows, times the weights of class and sample; zeros for rows that do not count.
template <class A>
struct Targets {
  Vector<A> weight, sample_weight, logit;
};

template <class A, class T>
Targets<A> targets_of(const RowProblem& p, int64_t row, const bool* counts) {
  Lanes<A> weight, of_sample, logit;
  const A certain = A(1 - p.label_smoothing);
  for (int64_t lane = 0; lane < kWidth<A>; ++lane) {
    if (!counts[lane]) continue;
    of_sample.of[lane] = at<A>(p.sample_weight, row + lane, 1);
    if (!p.target) continue;
    weight.of[lane] = certain * target_weight<A>(p, row + lane);
    logit.of[lane] = A(Convert<T>::widen(row_of<T>(p, p.logits, row + lane)[p.target[row + lane]]));
  }
  return {weight.together(), of_sample.together(), logit.together()};
}

// The product, in which zero times infinity is zero.
template <class A>
inline Vector<A> weigh_lanes(Vector<A> weight, Vector<A> value) {
  return weight == 0 && value == A(INFINITY) ? Vector<A>{} : weight * value;
}

template <class A>
void finish_common(const RowProblem& p, int64_t row, int64_t rows, const Found<A>& s, const Targets<A>& t) {
  const Vector<A> log_sum = log1p_of(s.others);
  Vector<A> losses{};
  if (p.target) losses = weigh_lanes<A>(t.weight, (t.logit < s.top ? s.top - t.logit : Vector<A>{}) + log_sum);
  if (has_distribution(p)) losses += s.below + weigh_lanes<A>(s.weight, log_sum);
  losses = t.sample_weight == 0 ? Vector<A>{} : losses * t.sample_weight;
  store_up_to(static_cast<A*>(p.losses) + row, rows, losses);
  store_up_to(&stat<A>(p, kTop, row), rows, s.top);
  store_up_to(&stat<A>(p, kOthers, row), rows, s.others);
  store_up_to(&stat<A>(p, kWeight, row), rows, s.weight);
  store_up_to(&stat<A>(p, kWeightOthers, row), rows, s.weight_others);
  if (p.distribution.data) __builtin_memcpy(p.largest + row, s.largest, rows * sizeof(int64_t));
}

template <class A>
void finish_any(const RowProblem& p, int64_t row, int64_t rows, const bool* counts, const Found<A>& found,
                const Targets<A>& t) {
  const Vector<A> log_sums = log1p_of(found.others);
  for (int64_t lane = 0; lane < rows; ++lane) {
    if (!counts[lane]) {
      static_cast<A*>(p.losses)[row + lane] = 0;
      continue;
    }
    State s;
    s.top = found.top[lane];
    s.others = found.others[lane];
    s.below = found.below[lane];
    s.weight = found.weight[lane];
    s.weight_others = found.weight_others[lane];
    s.largest = double(found.largest[lane]);
    s.target_logit = t.logit[lane];
    finish_row<A>(p, row + lane, s, log_sums[lane]);
  }
}

// A row in each lane of the sums; zeros where rows do not count.
template <class A, Weights weights, class T>
RowSums<A> sums_of_group(const RowProblem& p, int64_t row, const bool* counts, const Lanes<A>& tops,
                         Buffers<A>& buffers) {
  constexpr int64_t w = kWidth<A>;
  Vector<A> all[w], all_below[w], distance[w], weight[w], weight_below[w];
  for (int64_t lane = 0; lane < w; ++lane) {
    RowSums<A> s{};
    if (counts[lane]) {
      const T *logits = row_of<T>(p, p.logits, row + lane), *ahead = row_of<T>(p, p.logits, row + w + lane);
      const auto* of_row = weights_of<weights, A, T>(p, row + lane, buffers);
      s = sums_of_row<A, weights>(logits, of_row, p.classes, tops.of[lane], ahead);
    }
    all[lane] = s.all, all_below[lane] = s.all_below;
    if (weights != Weights::kNone) distance[lane] = s.distance;
    if (weights >= Weights::kOwn) weight[lane] = s.weight, weight_below[lane] = s.weight_below;
  }
  RowSums<A> folded{fold_sums<A>(all), fold_sums<A>(all_below)};
  if constexpr (weights != Weights::kNone) folded.distance = fold_sums<A>(distance);
  if constexpr (weights == Weights::kEven) folded.weight = ::all<A>(A(p.even_total));
  if constexpr (weights >= Weights::kOwn) {
    folded.weight = fold_sums<A>(weight);
    folded.weight_below = fold_sums<A>(weight_below);
  }
  return folded;
}

// False, with nothing done, if a logit is plus infinity.
template <class A, Weights weights, class T>
bool forward_group(const RowProblem& p, int64_t row, int64_t rows, const bool* counts, Buffers<A>& buffers) {
  constexpr int64_t w = kWidth<A>;
  Vector<A> tops[w];
  for (int64_t lane = 0; lane < w; ++lane) {
    tops[lane] = counts[lane] ? largest_of_row<A>(row_of<T>(p, p.logits, row + lane), p.classes) : Vector<A>{};
  }
  Found<A> found{};
  found.top = fold<A>(tops, larger<A>);
  if (any_lane<A>(found.top == A(INFINITY))) return false;
  const Lanes<A> reference = apart<A>(found.top > A(-INFINITY) ? found.top : Vector<A>{});
  const RowSums<A> sums = sums_of_group<A, weights, T>(p, row, counts, reference, buffers);
  // The classes that share the largest logit add one each: all but the first are others.
  const Vector<A> ties = whole_numbers<A>(sums.all - sums.all_below);
  found.others = found.top > A(-INFINITY) ? sums.all_below + (ties - A(1)) : all<A>(NAN);
  found.below = sums.distance;
  found.weight = sums.weight;
  found.weight_others = sums.weight_below;
  for (int64_t& largest : found.largest) largest = -1;
  if (weights != Weights::kNone) look_again(p, row, counts, found, buffers);
  const Targets<A> t = targets_of<A, T>(p, row, counts);
  is_common(p) ? finish_common(p, row, rows, found, t) : finish_any(p, row, rows, counts, found, t);
  return true;
}

// The gradient of each row: alpha * exp(logit - top) - g * weight, and at one column, if any, a value of its own.
template <class A>
struct Slopes {
  Lanes<A> alpha, top, g, value;
  int64_t column[kWidth<A>];
};

template <class A>
struct Stats {
  Vector<A> top, others, weight, weight_others;
};

template <class A>
Stats<A> read_stats(const RowProblem& p, int64_t row, int64_t rows, Integers<A> counts) {
  const auto of = [&](Stat which) {
    const Vector<A> v = load_up_to(&stat<A>(p, which, row), rows, A(0));
    return counts ? v : Vector<A>{};
  };
  return {of(kTop), of(kOthers), of(kWeight), of(kWeightOthers)};
}

// Of rows with an index target: where that is the largest logit, 1 - p is the share of the others, to the last digit.
template <class A, class T>
void slopes_of_indices(const RowProblem& p, int64_t row, const bool* counts, const Stats<A>& s, Slopes<A>& slopes) {
  const Targets<A> t = targets_of<A, T>(p, row, counts);
  const Vector<A> g = slopes.g.together(), prob = A(1) / (A(1) + s.others), beta = g * t.weight, spread = g * s.weight;
  const Vector<A> alpha = (beta + spread) * prob;
  Lanes<A> weight;
  for (int64_t lane = 0; lane < kWidth<A>; ++lane) {
    slopes.column[lane] = counts[lane] ? p.target[row + lane] : -1;
    if (counts[lane] && p.even_weight) weight.of[lane] = static_cast<const A*>(p.even_weight)[p.target[row + lane]];
  }
  const Vector<A> even = weight.together();
  // Nothing is rounded before the difference, so that the only class of a row gives 0.
  const Vector<A> at_top = g * (s.weight * prob - even) - beta * (prob * s.others);
  const Vector<A> elsewhere = alpha * exp_of<A>(t.logit - s.top) - beta - g * even;
  slopes.alpha = apart<A>(alpha);
  slopes.value = apart<A>(t.logit < s.top ? elsewhere : at_top);
}

// Of rows with a distribution: the same, where it has most of its weight on the largest logit.
template <class A>
void slopes_of_distributions(const RowProblem& p, int64_t row, const bool* counts, const Stats<A>& s,
                             Slopes<A>& slopes) {
  const Vector<A> g = slopes.g.together(), prob = A(1) / (A(1) + s.others);
  slopes.alpha = apart<A>(g * s.weight * prob);
  slopes.value = apart<A>(g * (s.weight_others - s.weight * (prob * s.others)));
  for (int64_t lane = 0; lane < kWidth<A>; ++lane) slopes.column[lane] = counts[lane] ? p.largest[row + lane] : -1;
}

// Of rows with a focal factor or a z-loss.
template <class A, class T>
void slopes_of_any(const RowProblem& p, int64_t row, double scale, const bool* counts, Slopes<A>& slopes,
                   Buffers<A>& buffers) {
  const Targets<A> t = targets_of<A, T>(p, row, counts);
  for (int64_t lane = 0; lane < kWidth<A>; ++lane) {
    slopes.column[lane] = -1;
    if (!counts[lane]) continue;
    const Slope s = slope_of<A>(p, row + lane, t.logit[lane], scale);
    slopes.alpha.of[lane] = A((s.beta + s.spread) * s.prob);
    const int64_t column = p.target ? p.target[row + lane] : largest_column(p, row + lane, s);
    slopes.column[lane] = column;
    if (column >= 0) slopes.value.of[lane] = A(exact_gradient(p, row + lane, s, column, buffers));
  }
}

template <class A, class T, class W>
inline void write_gradient(T* gradient, const T* logits, const W* weight, int64_t classes, A alpha, A top, A g,
                           const T* ahead) {
  write_row<A>(gradient, classes, [&](auto extent, int64_t j, int64_t n) {
    __builtin_prefetch(ahead + j);
    const Vector<A> v = alpha * exp_of<A>(take<A>(extent, logits + j, n, A(-INFINITY)) - top);
    return weight ? v - g * take<A>(extent, weight + j, n, A(0)) : v;
  });
}

// False, with nothing done, if a logit is plus infinity.
template <class A, Weights weights, class T>
bool backward_group(const RowProblem& p, int64_t row, int64_t rows, double scale, const bool* counts,
                    Buffers<A>& buffers) {
  bool has_slope[kWidth<A>] = {};
  Slopes<A> slopes{};
  for (int64_t lane = 0; lane < rows; ++lane) {
    if (counts[lane]) slopes.g.of[lane] = A(scale * at<A>(p.grad_rows, row + lane, 1) * sample_weight<A>(p, row + lane));
    has_slope[lane] = slopes.g.of[lane] != 0;
  }
  const Stats<A> stats = read_stats<A>(p, row, rows, slopes.g.together() != 0);
  if (any_lane<A>(stats.top == A(INFINITY))) return false;
  slopes.top = apart<A>(stats.top);
  // Checked before anything is written, because the gradient may overwrite the logits.
  if (!is_common(p)) slopes_of_any<A, T>(p, row, scale, has_slope, slopes, buffers);
  else if (p.target) slopes_of_indices<A, T>(p, row, has_slope, stats, slopes);
  else slopes_of_distributions(p, row, has_slope, stats, slopes);
  for (int64_t lane = 0; lane < rows; ++lane) {
    if (!has_slope[lane]) {
      write_zeros(p, row + lane, buffers);
      continue;
    }
    T* gradient = row_of<T>(p, p.gradient, row + lane);
    const auto* weight = weights_of<weights, A, T>(p, row + lane, buffers);
    const T *logits = row_of<T>(p, p.logits, row + lane), *ahead = row_of<T>(p, p.logits, row + kWidth<A> + lane);
    write_gradient(gradient, logits, weight, p.classes, slopes.alpha.of[lane], slopes.top.of[lane], slopes.g.of[lane],
                   ahead);
    if (slopes.column[lane] >= 0) gradient[slopes.column[lane]] = Convert<T>::narrow(slopes.value.of[lane]);
  }
  return true;
}

template <class A, class T, bool forth, bool back, Weights weights>
void groups_between(const RowProblem& p, int64_t begin, int64_t end, Buffers<A>& buffers) {
  constexpr int64_t w = kWidth<A>;
  for (int64_t row = begin; row < end; row += w) {
    const int64_t rows = end - row < w ? end - row : w;
    bool counts[w] = {};
    for (int64_t lane = 0; lane < rows; ++lane) counts[lane] = sample_weight<A>(p, row + lane) != 0;
    bool done = true;
    if (forth) done = forward_group<A, weights, T>(p, row, rows, counts, buffers);
    if (done && back) done = backward_group<A, weights, T>(p, row, rows, p.grad_scale, counts, buffers);
    for (int64_t lane = 0; lane < rows && !done; ++lane) {
      if (forth) forward_row(p, row + lane, buffers);
      if (back) backward_row(p, row + lane, p.grad_scale, buffers);
    }
  }
}

template <class A, class T, bool forth, bool back>
void groups_between(const RowProblem& p, int64_t begin, int64_t end, Buffers<A>& buffers) {
  switch (weights_in(p)) {
    case Weights::kNone: return groups_between<A, T, forth, back, Weights::kNone>(p, begin, end, buffers);
    case Weights::kEven: return groups_between<A, T, forth, back, Weights::kEven>(p, begin, end, buffers);
    case Weights::kOwn: return groups_between<A, T, forth, back, Weights::kOwn>(p, begin, end, buffers);
    case Weights::kAsGiven: return groups_between<A, T, forth, back, Weights::kAsGiven>(p, begin, end, buffers);
  }
}

}  // namespace
