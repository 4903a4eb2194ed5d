// Vectors of numbers of any dtype in memory.
#pragma once

#include "elements.h"

namespace {

using HalfBits = uint16_t __attribute__((vector_size(kVectorBytes / 2)));

// Reads the first n < width 16-bit numbers, and zeros for the rest; and writes the first n to memory.
#if defined(__AVX512F__)
inline HalfBits load_half_bits(const void* from, int64_t n) {
  return HalfBits(_mm256_maskz_loadu_epi16(__mmask16((1u << n) - 1), from));
}
inline void store_half_bits(void* to, int64_t n, HalfBits bits) {
  _mm256_mask_storeu_epi16(to, __mmask16((1u << n) - 1), __m256i(bits));
}
#else
inline HalfBits load_half_bits(const void* from, int64_t n) {
  HalfBits bits{};
  for (int64_t i = 0; i < n; ++i) bits[i] = static_cast<const uint16_t*>(from)[i];
  return bits;
}
inline void store_half_bits(void* to, int64_t n, HalfBits bits) {
  for (int64_t i = 0; i < n; ++i) static_cast<uint16_t*>(to)[i] = bits[i];
}
#endif

inline Vector<float> widen_bits(HalfBits bits, BFloat16) {
  return bits_as_numbers<float>(__builtin_convertvector(bits, Integers<float>) << 16);
}

// Rounds to the nearest number, ties to even, in the upper halves; the lower halves do not matter.
inline Integers<float> round_to_upper(Vector<float> v) {
  const Integers<float> bits = numbers_as_bits<float>(v);
  return v == v ? bits + 0x7fff + ((bits >> 16) & 1) : Integers<float>{} + 0x7fc00000;
}

inline HalfBits narrow_bits(Vector<float> v, BFloat16) {
  return __builtin_convertvector(round_to_upper(v) >> 16, HalfBits);
}

// The upper and lower halves of the lanes hold twice as many numbers as there are lanes, which need no shuffling to
// separate.
inline Vector<float> even_of(const BFloat16* from) {
  Integers<float> pairs;
  __builtin_memcpy(&pairs, from, sizeof pairs);
  return bits_as_numbers<float>(pairs << 16);
}
inline Vector<float> odd_of(const BFloat16* from) {
  Integers<float> pairs;
  __builtin_memcpy(&pairs, from, sizeof pairs);
  return bits_as_numbers<float>(pairs & ~0xffff);
}
inline void store_even_odd(BFloat16* to, Vector<float> even, Vector<float> odd) {
  using Bits = uint32_t __attribute__((vector_size(kVectorBytes)));
  const Bits pairs = (Bits(round_to_upper(even)) >> 16) | (Bits(round_to_upper(odd)) & ~0xffffu);
  __builtin_memcpy(to, &pairs, sizeof pairs);
}

// The same of numbers that are not halves.
template <int first, size_t... lane>
inline Vector<float> every_other(const float* from, std::index_sequence<lane...>) {
  return __builtin_shufflevector(load(from), load(from + kWidth<float>), first + 2 * lane...);
}
inline Vector<float> even_of(const float* from) {
  return every_other<0>(from, std::make_index_sequence<kWidth<float>>{});
}
inline Vector<float> odd_of(const float* from) {
  return every_other<1>(from, std::make_index_sequence<kWidth<float>>{});
}

#if defined(__AVX512F__)
inline Vector<float> widen_bits(HalfBits bits, Float16) { return Vector<float>(_mm512_cvtph_ps(__m256i(bits))); }
inline HalfBits narrow_bits(Vector<float> v, Float16) { return HalfBits(_mm512_cvtps_ph(__m512(v), _MM_FROUND_TO_NEAREST_INT)); }
#elif defined(__AVX2__)
inline Vector<float> widen_bits(HalfBits bits, Float16) { return Vector<float>(_mm256_cvtph_ps(__m128i(bits))); }
inline HalfBits narrow_bits(Vector<float> v, Float16) { return HalfBits(_mm256_cvtps_ph(__m256(v), _MM_FROUND_TO_NEAREST_INT)); }
#else
inline Vector<float> widen_bits(HalfBits bits, Float16) {
  Vector<float> v;
  for (int64_t i = 0; i < kWidth<float>; ++i) v[i] = float16_to_float(bits[i]);
  return v;
}
inline HalfBits narrow_bits(Vector<float> v, Float16) {
  HalfBits bits;
  for (int64_t i = 0; i < kWidth<float>; ++i) bits[i] = float_to_float16(v[i]);
  return bits;
}
#endif

// Vectors of A from and to numbers of type T: all lanes, or the first n < width and a filling.
template <class A, class T>
inline Vector<A> load_wide(const T* from) {
  if constexpr (sizeof(T) == sizeof(A)) return load<A>(from);
  else {
    HalfBits bits;
    __builtin_memcpy(&bits, from, sizeof bits);
    return widen_bits(bits, T{});
  }
}

template <class A, class T>
inline Vector<A> load_wide_part(const T* from, int64_t n, A filling) {
  if constexpr (sizeof(T) == sizeof(A)) return load_part(from, n, filling);
  else return lane_numbers<A>() < int32_t(n) ? widen_bits(load_half_bits(from, n), T{}) : all(filling);
}

template <class A, class T>
inline void store_narrow(T* to, Vector<A> v) {
  if constexpr (sizeof(T) == sizeof(A)) store<A>(to, v);
  else {
    const HalfBits bits = narrow_bits(v, T{});
    __builtin_memcpy(to, &bits, sizeof bits);
  }
}

template <class A, class T>
inline void store_narrow_part(T* to, int64_t n, Vector<A> v) {
  if constexpr (sizeof(T) == sizeof(A)) store_part(to, n, v);
  else store_half_bits(to, n, narrow_bits(v, T{}));
}

}  // namespace
