// A step of AdamW over parameters that lie side by side: each number is read once and written once.
//
// Compiled once for each instruction set, with CROSSENT_LEVEL naming it.

#include "adamw.h"

#include <cmath>

#include "parallel.h"

#define CROSSENT_JOIN(a, b) a##b
#define CROSSENT_NAMED(name, level) CROSSENT_JOIN(name, level)

namespace {

using crossent::AdamWProblem;

// Parameters for each thread: with fewer, waking the thread takes longer than its work.
constexpr int64_t kGrain = 1 << 15;

void step_part(const AdamWProblem& p, int64_t begin, int64_t end, float kept) {
  const float rate = p.rate, mean_share = p.mean_share, square_share = p.square_share;
  const float square_scale = p.square_scale, epsilon = p.epsilon;
  const float* gradient = p.gradient;
  float* __restrict values = p.values;
  float* __restrict mean = p.mean;
  float* __restrict square = p.square;
  for (int64_t i = begin; i < end; ++i) {
    const float g = gradient[i];
    const float m = mean[i] + mean_share * (g - mean[i]);
    const float s = square[i] + square_share * (g * g - square[i]);
    mean[i] = m;
    square[i] = s;
    values[i] = kept * values[i] - rate * m / (std::sqrt(s) * square_scale + epsilon);
  }
}

void take_parts(int64_t begin, int64_t end, void* context) {
  const AdamWProblem& p = *static_cast<AdamWProblem*>(context);
  const int64_t border = p.decaying < begin ? begin : p.decaying < end ? p.decaying : end;
  step_part(p, begin, border, p.kept);
  step_part(p, border, end, 1);
}

void step(AdamWProblem* p) { for_parts(p->parallel_for, p->count, kGrain, take_parts, p); }

}  // namespace

namespace crossent {
extern const AdamWKernel CROSSENT_NAMED(adamw_kernel_, CROSSENT_LEVEL);
const AdamWKernel CROSSENT_NAMED(adamw_kernel_, CROSSENT_LEVEL) = step;
}  // namespace crossent
