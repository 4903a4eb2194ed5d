// Embeddings of numbers by curves of straight pieces, and their gradients.
//
// A number lies on one piece, and only the sum of the pieces below it counts. With these sums computed before, a number
// takes the same time for any number of pieces, and so does its gradient, which is summed over the pieces at the end.
//
// Compiled once for each instruction set, with CROSSENT_LEVEL naming it.

#include "curves.h"

#include <cmath>

#include "memory.h"
#include "parallel.h"

#define CROSSENT_JOIN(a, b) a##b
#define CROSSENT_NAMED(name, level) CROSSENT_JOIN(name, level)

namespace {

using crossent::CurveProblem;

inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// The length of embeddings for which the innermost loops are unrolled.
constexpr int64_t kUsualSize = 16;

// The curve of one number, with its own number of pieces.
struct Curve {
  const float* left;
  const float* slope;
  int64_t pieces;
  float farthest;
};

// The numbers of one column, and their places on the curve.
constexpr int64_t kBlock = 64;
struct Places {
  int32_t piece[kBlock];
  float share[kBlock], bent[kBlock];
};

Curve curve_of(const CurveProblem& p, int64_t number) {
  const float* slope = p.slope + number * p.pieces;
  int64_t pieces = 0;
  while (pieces < p.pieces && slope[pieces] > 0) ++pieces;
  return {p.left + number * p.pieces, slope, pieces, float(p.farthest)};
}

// Finds the places of rows [first, first + n) of a column, n up to a block.
void find(const CurveProblem& p, const Curve& curve, int64_t number, int64_t first, int64_t n, Places& places) {
  float x[kBlock] = {};
  for (int64_t i = 0; i < n; ++i) x[i] = p.values[(first + i) * p.numbers + number];
  int32_t below[kBlock] = {};
  for (int64_t k = 0; k < curve.pieces; ++k) {
    const float left = curve.left[k];
    for (int64_t i = 0; i < kBlock; ++i) below[i] += left < x[i];
  }
  for (int64_t i = 0; i < kBlock; ++i) {
    const int32_t piece = below[i] ? below[i] - 1 : 0;
    const float share = (x[i] - curve.left[piece]) * curve.slope[piece];
    const float far = x[i] / curve.farthest;
    places.piece[i] = piece;
    places.share[i] = below[i] == 0 ? 0 : share < 1 ? share : 1;
    places.bent[i] = x[i] / std::sqrt(1 + far * far);
  }
}

// A constant size, or the size that the problem says.
template <int64_t fixed>
void embed(const CurveProblem& p, int64_t number) {
  const int64_t size = fixed ? fixed : p.size, stride = p.numbers * size;
  const Curve curve = curve_of(p, number);
  const float* weight = p.weight + number * p.pieces * size;
  const float* line = p.line + number * size;
  // Where each piece begins: the bias and the pieces below.
  Array<float> starts((curve.pieces + 1) * size);
  for (int64_t s = 0; s < size; ++s) starts.data[s] = p.bias[number * size + s];
  for (int64_t k = 0; k < curve.pieces * size; ++k) starts.data[k + size] = starts.data[k] + weight[k];
  Places places;
  for (int64_t first = 0; first < p.rows; first += kBlock) {
    const int64_t n = smaller(kBlock, p.rows - first);
    find(p, curve, number, first, n, places);
    for (int64_t i = 0; i < n; ++i) {
      const float* start = starts.data + places.piece[i] * size;
      const float* rise = weight + places.piece[i] * size;
      const float share = places.share[i], bent = places.bent[i];
      float* __restrict out = p.out + (first + i) * stride + number * size;
      for (int64_t s = 0; s < size; ++s) out[s] = start[s] + share * rise[s] + bent * line[s];
    }
  }
}

template <int64_t fixed>
void sum_gradients(const CurveProblem& p, int64_t number) {
  const int64_t size = fixed ? fixed : p.size, stride = p.numbers * size;
  const Curve curve = curve_of(p, number);
  float* of_weight = p.weight_gradient + number * p.pieces * size;
  float* __restrict of_line = p.line_gradient + number * size;
  float* of_bias = p.bias_gradient + number * size;
  // Sums of the gradients of the numbers on each piece; a curve without pieces has one place for all numbers.
  const int64_t used = curve.pieces ? curve.pieces : 1;
  Array<float> whole(used * size);
  for (int64_t k = 0; k < p.pieces * size; ++k) of_weight[k] = 0;
  for (int64_t s = 0; s < size; ++s) of_line[s] = of_bias[s] = 0;
  Places places;
  for (int64_t first = 0; first < p.rows; first += kBlock) {
    const int64_t n = smaller(kBlock, p.rows - first);
    find(p, curve, number, first, n, places);
    for (int64_t i = 0; i < n; ++i) {
      const float* gradient = p.out_gradient + (first + i) * stride + number * size;
      float* __restrict on_it = whole.data + places.piece[i] * size;
      float* __restrict rise = of_weight + places.piece[i] * size;
      const float share = places.share[i], bent = places.bent[i];
      for (int64_t s = 0; s < size; ++s) {
        on_it[s] += gradient[s];
        rise[s] += share * gradient[s];
        of_line[s] += bent * gradient[s];
      }
    }
  }
  // A number counts fully for the pieces below its own piece, and for the bias.
  for (int64_t k = used - 1; k >= 0; --k) {
    for (int64_t s = 0; s < size; ++s) {
      if (curve.pieces) of_weight[k * size + s] += of_bias[s];
      of_bias[s] += whole.data[k * size + s];
    }
  }
}

template <void (*usual)(const CurveProblem&, int64_t), void (*other)(const CurveProblem&, int64_t)>
void take_numbers(int64_t begin, int64_t end, void* context) {
  const CurveProblem& p = *static_cast<CurveProblem*>(context);
  for (int64_t number = begin; number < end; ++number) (p.size == kUsualSize ? usual : other)(p, number);
}

void forward(CurveProblem* p) {
  for_parts(p->parallel_for, p->numbers, 1, take_numbers<embed<kUsualSize>, embed<0>>, p);
}

void backward(CurveProblem* p) {
  for_parts(p->parallel_for, p->numbers, 1, take_numbers<sum_gradients<kUsualSize>, sum_gradients<0>>, p);
}

}  // namespace

namespace crossent {
extern const CurveKernels CROSSENT_NAMED(curve_kernels_, CROSSENT_LEVEL);
const CurveKernels CROSSENT_NAMED(curve_kernels_, CROSSENT_LEVEL) = {forward, backward};
}  // namespace crossent
