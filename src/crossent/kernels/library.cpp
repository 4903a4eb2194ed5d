// The library's C interface: what it was built with, and the kernels of the best instruction set of this processor.

#include <cstring>

#include "block_ascent.h"
#include "linear.h"
#include "regression.h"
#include "rows.h"

#if defined(__x86_64__)
#define CROSSENT_ARCHITECTURE "x86_64"
#elif defined(__aarch64__)
#define CROSSENT_ARCHITECTURE "aarch64"
#else
#define CROSSENT_ARCHITECTURE "other"
#endif

#define CROSSENT_EXPORT extern "C" __attribute__((visibility("default")))

namespace crossent {
extern const RowKernels row_kernels_baseline;
extern const LinearKernel linear_kernel_baseline;
extern const RegressionKernels regression_kernels_baseline;
extern const BlockAscentKernel block_ascent_kernel_baseline;
#if defined(CROSSENT_X86)
extern const RowKernels row_kernels_avx2;
extern const LinearKernel linear_kernel_avx2;
extern const RegressionKernels regression_kernels_avx2;
extern const BlockAscentKernel block_ascent_kernel_avx2;
extern const RowKernels row_kernels_avx512;
extern const LinearKernel linear_kernel_avx512;
extern const RegressionKernels regression_kernels_avx512;
extern const BlockAscentKernel block_ascent_kernel_avx512;
#endif
}  // namespace crossent

namespace {

struct Level {
  const char* name;
  const crossent::RowKernels* rows;
  const crossent::LinearKernel* linear;
  const crossent::RegressionKernels* regression;
  const crossent::BlockAscentKernel* block_ascent;
  bool (*runs_here)();
};

// From the best to the plainest.
const Level kLevels[] = {
#if defined(CROSSENT_X86)
    {"avx512", &crossent::row_kernels_avx512, &crossent::linear_kernel_avx512, &crossent::regression_kernels_avx512, &crossent::block_ascent_kernel_avx512,
     [] {
       return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
              __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
     }},
    {"avx2", &crossent::row_kernels_avx2, &crossent::linear_kernel_avx2, &crossent::regression_kernels_avx2, &crossent::block_ascent_kernel_avx2,
     [] { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }},
#endif
    {"baseline", &crossent::row_kernels_baseline, &crossent::linear_kernel_baseline, &crossent::regression_kernels_baseline, &crossent::block_ascent_kernel_baseline, [] { return true; }},
};

const Level* find(const char* name) {
  for (const Level& level : kLevels) {
    if (level.runs_here() && (!*name || std::strcmp(name, level.name) == 0)) return &level;
  }
  return nullptr;
}

}  // namespace

// Raised whenever the C interface changes; the binding refuses any other number.
CROSSENT_EXPORT int crossent_abi_version() { return 6; }

CROSSENT_EXPORT const char* crossent_architecture() { return CROSSENT_ARCHITECTURE; }

CROSSENT_EXPORT const char* crossent_compiler() { return __VERSION__; }

// Name of the best instruction set that runs here, or of the one asked for; empty if that does not run here.
CROSSENT_EXPORT const char* crossent_level(const char* name) {
  const Level* level = find(name);
  return level ? level->name : "";
}

// Its kernels; null if they do not run here.
CROSSENT_EXPORT const crossent::RowKernels* crossent_row_kernels(const char* name) {
  const Level* level = find(name);
  return level ? level->rows : nullptr;
}

CROSSENT_EXPORT crossent::LinearKernel crossent_linear_kernel(const char* name) {
  const Level* level = find(name);
  return level ? *level->linear : nullptr;
}

CROSSENT_EXPORT const crossent::RegressionKernels* crossent_regression_kernels(const char* name) {
  const Level* level = find(name);
  return level ? level->regression : nullptr;
}

CROSSENT_EXPORT crossent::BlockAscentKernel crossent_block_ascent_kernel(const char* name) {
  const Level* level = find(name);
  return level ? *level->block_ascent : nullptr;
}
