// Vectors of the width that the compiler was told to use, and the few functions on them that softmax needs.
//
// Written with the vector extensions of GCC and Clang, so that one source serves SSE2, AVX2, AVX-512 and NEON.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

template <class A>
struct Types;

template <>
struct Types<float> {
  typedef float Vector __attribute__((vector_size(kVectorBytes)));
  typedef int32_t Integers __attribute__((vector_size(kVectorBytes)));
  using Integer = int32_t;
};

template <>
struct Types<double> {
  typedef double Vector __attribute__((vector_size(kVectorBytes)));
  typedef int64_t Integers __attribute__((vector_size(kVectorBytes)));
  using Integer = int64_t;
};

template <class A>
using Vector = typename Types<A>::Vector;
template <class A>
using Integers = typename Types<A>::Integers;
template <class A>
constexpr int64_t kWidth = kVectorBytes / sizeof(A);

template <class A>
inline Vector<A> load(const A* from) {
  Vector<A> v;
  __builtin_memcpy(&v, from, sizeof v);
  return v;
}

template <class A>
inline void store(A* to, Vector<A> v) {
  __builtin_memcpy(to, &v, sizeof v);
}

// Less zero is nothing to do; to add zero to what may be minus zero would be.
template <class A>
inline Vector<A> all(A value) {
  return value - Vector<A>{};
}

// 0, 1, 2, ...
template <class A>
inline Integers<A> lane_numbers() {
  Integers<A> numbers{};
  for (int64_t i = 0; i < kWidth<A>; ++i) numbers[i] = typename Types<A>::Integer(i);
  return numbers;
}

// The first n < width elements, then the filling; and the first n < width lanes to memory.
#if defined(__AVX512F__)
inline Vector<float> load_part(const float* from, int64_t n, float filling) {
  return Vector<float>(_mm512_mask_loadu_ps(__m512(all(filling)), __mmask16((1u << n) - 1), from));
}
inline Vector<double> load_part(const double* from, int64_t n, double filling) {
  return Vector<double>(_mm512_mask_loadu_pd(__m512d(all(filling)), __mmask8((1u << n) - 1), from));
}
inline void store_part(float* to, int64_t n, Vector<float> v) {
  _mm512_mask_storeu_ps(to, __mmask16((1u << n) - 1), __m512(v));
}
inline void store_part(double* to, int64_t n, Vector<double> v) {
  _mm512_mask_storeu_pd(to, __mmask8((1u << n) - 1), __m512d(v));
}
#elif defined(__AVX2__)
inline Vector<float> load_part(const float* from, int64_t n, float filling) {
  const Integers<float> kept = lane_numbers<float>() < int32_t(n);
  const Vector<float> v = Vector<float>(_mm256_maskload_ps(from, __m256i(kept)));
  return kept ? v : all(filling);
}
inline Vector<double> load_part(const double* from, int64_t n, double filling) {
  const Integers<double> kept = lane_numbers<double>() < n;
  const Vector<double> v = Vector<double>(_mm256_maskload_pd(from, __m256i(kept)));
  return kept ? v : all(filling);
}
inline void store_part(float* to, int64_t n, Vector<float> v) {
  _mm256_maskstore_ps(to, __m256i(lane_numbers<float>() < int32_t(n)), __m256(v));
}
inline void store_part(double* to, int64_t n, Vector<double> v) {
  _mm256_maskstore_pd(to, __m256i(lane_numbers<double>() < n), __m256d(v));
}
#else
template <class A>
inline Vector<A> load_part(const A* from, int64_t n, A filling) {
  A padded[kWidth<A>];
  for (int64_t i = 0; i < kWidth<A>; ++i) padded[i] = i < n ? from[i] : filling;
  return load<A>(padded);
}
template <class A>
inline void store_part(A* to, int64_t n, Vector<A> v) {
  for (int64_t i = 0; i < n; ++i) to[i] = v[i];
}
#endif

// The first n <= width elements, then the filling.
template <class A>
inline Vector<A> load_up_to(const A* from, int64_t n, A filling) {
  return n < kWidth<A> ? load_part(from, n, filling) : load(from);
}
template <class A>
inline void store_up_to(A* to, int64_t n, Vector<A> v) {
  if (n < kWidth<A>) return store_part(to, n, v);
  store<A>(to, v);
}

template <class A>
inline Vector<A> larger(Vector<A> a, Vector<A> b) {
  return a > b ? a : b;
}

// Each lane with its neighbour at a distance of h, a power of two.
template <class A, int h, size_t... lane>
inline Vector<A> neighbours(Vector<A> v, std::index_sequence<lane...>) {
  return __builtin_shufflevector(v, v, (lane ^ h)...);
}

template <int h>
inline double sum_double_lanes(Vector<double> v) {
  if constexpr (h == 0) return v[0];
  else return sum_double_lanes<h / 2>(v + neighbours<double, h>(v, std::make_index_sequence<kWidth<double>>{}));
}

inline double sum_lanes(Vector<double> v) { return sum_double_lanes<kWidth<double> / 2>(v); }
inline double sum_lanes(Vector<float> v) {
  typedef float Half __attribute__((vector_size(kVectorBytes / 2)));
  Half halves[2];
  __builtin_memcpy(halves, &v, sizeof v);
  return sum_lanes(__builtin_convertvector(halves[0], Vector<double>) +
                   __builtin_convertvector(halves[1], Vector<double>));
}

template <class A, int h = kWidth<A> / 2>
inline A largest_lane(Vector<A> v) {
  if constexpr (h == 0) return v[0];
  else return largest_lane<A, h / 2>(larger<A>(v, neighbours<A, h>(v, std::make_index_sequence<kWidth<A>>{})));
}

template <class A>
inline bool any_lane(Integers<A> mask) {
#if defined(__AVX512F__)
  return _mm512_test_epi32_mask(__m512i(mask), __m512i(mask)) != 0;
#elif defined(__AVX2__)
  return !_mm256_testz_si256(__m256i(mask), __m256i(mask));
#else
  int64_t words[kVectorBytes / 8];
  __builtin_memcpy(words, &mask, sizeof words);
  int64_t found = 0;
  for (const int64_t word : words) found |= word;
  return found != 0;
#endif
}

// Rounded to whole numbers, of a size up to 2^22 (2^51).
template <class A>
inline Vector<A> whole_numbers(Vector<A> v) {
  const A magic = sizeof(A) == 4 ? A(12582912) : A(6755399441055744);
  return (v + magic) - magic;
}

template <class A>
inline Vector<A> bits_as_numbers(Integers<A> bits) {
  Vector<A> v;
  __builtin_memcpy(&v, &bits, sizeof v);
  return v;
}

template <class A>
inline Integers<A> numbers_as_bits(Vector<A> v) {
  Integers<A> bits;
  __builtin_memcpy(&bits, &v, sizeof v);
  return bits;
}

// What exp and expm1 share: x = n ln 2 + r with |r| <= ln(2) / 2, exp(r) - 1, and 2^n.
template <class A>
struct Reduced {
  Vector<A> expm1_r;
  Vector<A> two_to_n;
};

// Polynomials: Chebyshev fits of (exp(r) - 1 - r) / r^2, to 8e-9 and 2e-19 of exp(r).
// Adding 1.5 * 2^23 (2^52) leaves the rounded whole number in the lowest bits.
inline Reduced<float> reduce(Vector<float> x) {
  const float magic = 12582912.0f;
  const Vector<float> shifted = x * 1.44269504088896341f + magic;
  const Vector<float> n = shifted - magic;
  const Vector<float> r = (x - n * 0.693359375f) - n * -2.1219444005469058e-4f;
  Vector<float> p = r * 1.3926250831497611711e-3f + 8.3632328836826181986e-3f;
  p = p * r + 4.1666554212984150314e-2f;
  p = p * r + 1.6666576666119928306e-1f;
  p = p * r + 0.5f;
  const Integers<float> exponent = (numbers_as_bits<float>(shifted) + 127) << 23;
  return {p * (r * r) + r, bits_as_numbers<float>(exponent)};
}

inline Reduced<double> reduce(Vector<double> x) {
  const double magic = 6755399441055744.0;
  const Vector<double> shifted = x * 1.44269504088896340736 + magic;
  const Vector<double> n = shifted - magic;
  const Vector<double> r = (x - n * 0.693145751953125) - n * 1.42860682030941723212e-6;
  Vector<double> p = r * 2.0914755325893202193e-9 + 2.5105312729622101777e-8;
  p = p * r + 2.7557273478718580474e-7;
  p = p * r + 2.7557255170000887438e-6;
  p = p * r + 2.48015873256774619e-5;
  p = p * r + 1.9841269875002278793e-4;
  p = p * r + 1.3888888888883711167e-3;
  p = p * r + 8.3333333333260831202e-3;
  p = p * r + 4.1666666666666669783e-2;
  p = p * r + 1.666666666666667103e-1;
  p = p * r + 0.5;
  const Integers<double> exponent = (numbers_as_bits<double>(shifted) + 1023) << 52;
  return {p * (r * r) + r, bits_as_numbers<double>(exponent)};
}

template <class A>
constexpr A kSmallestExponent = sizeof(A) == 4 ? A(-87) : A(-708);

// exp(x) for x <= 88 (709), rounded to 0 where it would have fewer digits than a normal number. NaN stays NaN.
template <class A>
inline Vector<A> exp_of(Vector<A> x) {
  const Reduced<A> parts = reduce(x);
  const Vector<A> value = parts.expm1_r * parts.two_to_n + parts.two_to_n;
  return x < kSmallestExponent<A> ? Vector<A>{} : value;
}

#if defined(__AVX512F__)
// The same by a table of 2^(i/16) in a register: x = (n + i/16) ln 2 + r with |r| <= ln(2) / 32, for which a polynomial of
// half the degree is enough (to 5e-9). What rounding took from the table is given back.
template <>
inline Vector<float> exp_of<float>(Vector<float> x) {
  const Vector<float> table = {1.0f, 1.04427373f, 1.09050775f, 1.13878858f, 1.18920708f, 1.24185777f, 1.29683959f, 1.35425556f,
                               1.41421354f, 1.47682619f, 1.54221082f, 1.61049032f, 1.68179286f, 1.75625217f, 1.8340081f, 1.91520655f};
  const Vector<float> lost = {0.0000e+00f, 4.6285e-08f, -1.1992e-08f, 4.7298e-08f, 3.1934e-08f, 3.6211e-08f, -3.0991e-08f, -7.4752e-09f,
                              1.7114e-08f, -3.0477e-08f, 5.2333e-09f, 6.1076e-09f, -1.4720e-08f, -5.2588e-09f, -6.1283e-09f, 5.1406e-09f};
  const float magic = 12582912.0f;
  const Vector<float> shifted = x * 23.0831206542234192f + magic;
  const Vector<float> steps = shifted - magic;
  const Vector<float> r = (x - steps * 0.0433197021484375f) - steps * 1.9966364561696537e-6f;
  const Integers<float> bits = numbers_as_bits<float>(shifted);
  const auto look_up = [&](Vector<float> v) { return Vector<float>(_mm512_permutexvar_ps(__m512i(bits), __m512(v))); };
  const Vector<float> expm1_r = (r * 0.166668622f + 0.500009775f) * (r * r) + (r + look_up(lost));
  // Without a sign, so that what is far out of range, and put to 0 below, may overflow.
  using Bits = uint32_t __attribute__((vector_size(kVectorBytes)));
  const Bits exponent = (Bits(bits) & ~15u) << 19;
  const Vector<float> power = bits_as_numbers<float>(Integers<float>(Bits(look_up(table)) + exponent));
  return x < kSmallestExponent<float> ? Vector<float>{} : expm1_r * power + power;
}
#endif

// tanh and its derivative. 1 - tanh^2 would lose the derivative's digits where tanh is near 1.
template <class A>
struct Tanh {
  Vector<A> value, slope;
};

// By e = exp(-2|x|): tanh = (1 - e) / (1 + e) and its derivative 4 e / (1 + e)^2. 1 - e is -expm1(-2|x|), which keeps the
// digits of small arguments.
template <class A>
inline Tanh<A> tanh_of(Vector<A> x) {
  const Vector<A> twice = (x < 0 ? x : -x) * A(2);
  const Integers<A> is_zero = twice < kSmallestExponent<A>;
  const Reduced<A> parts = reduce(is_zero ? all<A>(kSmallestExponent<A>) : twice);
  const Vector<A> part = parts.expm1_r * parts.two_to_n;
  const Vector<A> e = is_zero ? Vector<A>{} : part + parts.two_to_n;
  const Vector<A> sum = A(1) + e;
  const Vector<A> size = (A(1) - parts.two_to_n - part) / sum;
  return {x < 0 ? -size : size, A(4) * e / (sum * sum)};
}

// log(1 + x) for x >= 0: 1 + x = 2^k (1 + f) with f in [-1/4, 1/2]; Chebyshev fit of (log1p(f) - f + f^2 / 2) / f^3.
inline Vector<float> log1p_of(Vector<float> x) {
  const Vector<float> u = x + 1.0f;
  const Integers<float> k = ((numbers_as_bits<float>(u) - 0x3f400000) >> 23);
  const Vector<float> two_to_minus_k = bits_as_numbers<float>((127 - k) << 23);
  const Vector<float> f = x * two_to_minus_k + (two_to_minus_k - 1.0f);
  Vector<float> p = f * 4.289835589930215686e-2f + -9.5671760481921302791e-2f;
  p = p * f + 1.1684079515494519325e-1f;
  p = p * f + -1.2639560312497454568e-1f;
  p = p * f + 1.4268051587356910741e-1f;
  p = p * f + -1.6660778004473873475e-1f;
  p = p * f + 2.0000145352905611896e-1f;
  p = p * f + -2.5000057318469595545e-1f;
  p = p * f + 3.3333333135344375674e-1f;
  const Vector<float> square = f * f;
  const Vector<float> tail = square * f * p - 0.5f * square;
  const Vector<float> whole = __builtin_convertvector(k, Vector<float>);
  const Vector<float> value = whole * 0.693359375f + (whole * -2.1219444005469058e-4f + tail + f);
  return x == x ? (x == INFINITY ? x : value) : x;
}

inline Vector<double> log1p_of(Vector<double> x) {
  Vector<double> value = x;
  for (int64_t i = 0; i < kWidth<double>; ++i) value[i] = std::log1p(x[i]);
  return value;
}

}  // namespace
