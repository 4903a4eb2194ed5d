// Arrays of the kernels, and requests to the operating system about the memory of other arrays.
#pragma once

#include <cstdint>
#include <cstdlib>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace {

// Zeros. Not std::vector: its functions would be compiled for each instruction set under one name, of which the linker
// keeps one.
template <class T>
struct Array {
  int64_t size;
  T* data;
  explicit Array(int64_t n) : size(n), data(static_cast<T*>(std::calloc(n + 1, sizeof(T)))) {
    if (!data) std::abort();
  }
  ~Array() { std::free(data); }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  T& operator[](int64_t i) { return data[i]; }
};

// Asks for large pages for a large new array: mapping 262 MB of small pages takes longer than computing the content.
inline void use_large_pages(void* data, int64_t bytes) {
#if defined(__linux__)
  constexpr uintptr_t page = uintptr_t(1) << 21;
  const uintptr_t begin = (uintptr_t(data) + page - 1) & ~(page - 1);
  const uintptr_t end = (uintptr_t(data) + bytes) & ~(page - 1);
  if (data && begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#else
  (void)data, (void)bytes;
#endif
}

}  // namespace
