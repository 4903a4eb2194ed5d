// Elements of any dtype to vectors of float or double, and back.
#pragma once

#include "rows.h"
#include "vector.h"

namespace {

using crossent::View;

inline float bfloat16_to_float(uint16_t h) {
  const uint32_t bits = uint32_t(h) << 16;
  float value;
  __builtin_memcpy(&value, &bits, 4);
  return value;
}

// Rounds to the nearest number, ties to even.
inline uint16_t float_to_bfloat16(float value) {
  uint32_t bits;
  __builtin_memcpy(&bits, &value, 4);
  const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  return uint16_t(value == value ? rounded : 0x7fc0);
}

// A multiplication moves the exponent; it also turns subnormal numbers into normal ones.
inline float float16_to_float(uint16_t h) {
  const uint32_t moved = uint32_t(h & 0x7fff) << 13;
  float size;
  __builtin_memcpy(&size, &moved, 4);
  size *= 5.192296858534828e+33f;  // 2^112
  uint32_t bits;
  __builtin_memcpy(&bits, &size, 4);
  bits = (h & 0x7c00) == 0x7c00 ? (moved | 0x7f800000u) : bits;
  bits |= uint32_t(h & 0x8000) << 16;
  float value;
  __builtin_memcpy(&value, &bits, 4);
  return value;
}

inline uint16_t float_to_float16(float value) {
  uint32_t bits;
  __builtin_memcpy(&bits, &value, 4);
  const uint32_t sign = (bits >> 16) & 0x8000;
  const uint32_t size = bits & 0x7fffffff;
  const uint32_t normal = (size - 0x38000000 + 0xfff + ((size >> 13) & 1)) >> 13;
  // Adding one half leaves the rounded subnormal in the lowest bits.
  float small;
  __builtin_memcpy(&small, &size, 4);
  small += 0.5f;
  uint32_t subnormal;
  __builtin_memcpy(&subnormal, &small, 4);
  subnormal -= 0x3f000000;
  uint32_t half = size < 0x38800000 ? subnormal : (normal > 0x7c00 ? 0x7c00 : normal);
  half = size > 0x7f800000 ? 0x7e00 : half;
  return uint16_t(half | sign);
}

struct BFloat16 {
  uint16_t bits;
  static float widen(BFloat16 h) { return bfloat16_to_float(h.bits); }
  static BFloat16 narrow(float value) { return {float_to_bfloat16(value)}; }
};

struct Float16 {
  uint16_t bits;
  static float widen(Float16 h) { return float16_to_float(h.bits); }
  static Float16 narrow(float value) { return {float_to_float16(value)}; }
};

template <class T>
struct Convert {
  static T widen(T value) { return value; }
  static T narrow(T value) { return value; }
};
template <>
struct Convert<BFloat16> : BFloat16 {};
template <>
struct Convert<Float16> : Float16 {};

template <class T, class A>
inline void copy_in(const T* from, int64_t stride, int64_t n, A* to) {
  if (stride == 1) {
    for (int64_t j = 0; j < n; ++j) to[j] = A(Convert<T>::widen(from[j]));
  } else {
    for (int64_t j = 0; j < n; ++j) to[j] = A(Convert<T>::widen(from[j * stride]));
  }
}

template <class T, class A>
inline void copy_out(const A* from, int64_t stride, int64_t n, T* to) {
  if (stride == 1) {
    for (int64_t j = 0; j < n; ++j) to[j] = Convert<T>::narrow(from[j]);
  } else {
    for (int64_t j = 0; j < n; ++j) to[j * stride] = Convert<T>::narrow(from[j]);
  }
}

template <class A>
constexpr int64_t kOwnDType = sizeof(A) == 4 ? crossent::kFloat32 : crossent::kFloat64;

// Elements [at, at + n * stride) of a view in the Real type: where they lie if that is their type, else converted.
template <class A>
inline const A* read(const View& view, int64_t at, int64_t n, A* buffer) {
  const int64_t stride = view.classes;
  if (view.dtype == kOwnDType<A> && stride == 1) return static_cast<const A*>(view.data) + at;
  switch (view.dtype) {
    case crossent::kFloat32: copy_in(static_cast<const float*>(view.data) + at, stride, n, buffer); break;
    case crossent::kFloat64: copy_in(static_cast<const double*>(view.data) + at, stride, n, buffer); break;
    case crossent::kBFloat16: copy_in(static_cast<const BFloat16*>(view.data) + at, stride, n, buffer); break;
    case crossent::kFloat16: copy_in(static_cast<const Float16*>(view.data) + at, stride, n, buffer); break;
    case crossent::kBool: copy_in(static_cast<const uint8_t*>(view.data) + at, stride, n, buffer); break;
  }
  return buffer;
}

// Where a block of results may be computed: in its place, or in the buffer, from which finish() converts it.
template <class A>
inline A* place(const View& view, int64_t at, A* buffer) {
  return view.dtype == kOwnDType<A> && view.classes == 1 ? static_cast<A*>(view.data) + at : buffer;
}

template <class A>
inline void finish(const View& view, int64_t at, int64_t n, const A* buffer) {
  const int64_t stride = view.classes;
  if (view.dtype == kOwnDType<A> && stride == 1) return;
  switch (view.dtype) {
    case crossent::kFloat32: copy_out(buffer, stride, n, static_cast<float*>(view.data) + at); break;
    case crossent::kFloat64: copy_out(buffer, stride, n, static_cast<double*>(view.data) + at); break;
    case crossent::kBFloat16: copy_out(buffer, stride, n, static_cast<BFloat16*>(view.data) + at); break;
    case crossent::kFloat16: copy_out(buffer, stride, n, static_cast<Float16*>(view.data) + at); break;
  }
}

}  // namespace
