// The library's C interface: what it was built with, and the kernels of the best instruction set of this processor.

#include <cstring>

#include "adamw.h"
#include "curves.h"
#include "dual_ascent.h"
#include "linear.h"
#include "log_softmax.h"
#include "matrix_product.h"
#include "ngrams.h"
#include "regression.h"
#include "rows.h"
#include "trees.h"

#if defined(__x86_64__)
#define CROSSENT_ARCHITECTURE "x86_64"
#elif defined(__aarch64__)
#define CROSSENT_ARCHITECTURE "aarch64"
#else
#define CROSSENT_ARCHITECTURE "other"
#endif

#define CROSSENT_EXPORT extern "C" __attribute__((visibility("default")))

// The kernels of one instruction set, each compiled under its name.
#define CROSSENT_DECLARE(level)                              \
  extern const RowKernels row_kernels_##level;               \
  extern const LinearKernel linear_kernel_##level;           \
  extern const RegressionKernels regression_kernels_##level; \
  extern const DualKernels dual_kernels_##level;             \
  extern const ProductKernels product_kernels_##level;       \
  extern const CurveKernels curve_kernels_##level;           \
  extern const TreeKernels tree_kernels_##level;             \
  extern const AdamWKernel adamw_kernel_##level;             \
  extern const LogSoftmaxKernel log_softmax_kernel_##level;
#define CROSSENT_KERNELS(level)                                                              \
  #level, &crossent::row_kernels_##level, &crossent::linear_kernel_##level,                  \
      &crossent::regression_kernels_##level, &crossent::dual_kernels_##level,                 \
      &crossent::product_kernels_##level, &crossent::curve_kernels_##level,                   \
      &crossent::tree_kernels_##level, &crossent::adamw_kernel_##level,                       \
      &crossent::log_softmax_kernel_##level

namespace crossent {
CROSSENT_DECLARE(baseline)
#if defined(CROSSENT_X86)
CROSSENT_DECLARE(avx2)
CROSSENT_DECLARE(avx512)
#endif
}  // namespace crossent

namespace {

struct Level {
  const char* name;
  const crossent::RowKernels* rows;
  const crossent::LinearKernel* linear;
  const crossent::RegressionKernels* regression;
  const crossent::DualKernels* dual;
  const crossent::ProductKernels* products;
  const crossent::CurveKernels* curves;
  const crossent::TreeKernels* trees;
  const crossent::AdamWKernel* adamw;
  const crossent::LogSoftmaxKernel* log_softmax;
  bool (*runs_here)();
};

// From the fastest to the most general.
const Level kLevels[] = {
#if defined(CROSSENT_X86)
    {CROSSENT_KERNELS(avx512),
     [] {
       return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
              __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
     }},
    {CROSSENT_KERNELS(avx2), [] { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }},
#endif
    {CROSSENT_KERNELS(baseline), [] { return true; }},
};

const Level* find(const char* name) {
  for (const Level& level : kLevels) {
    if (level.runs_here() && (!*name || std::strcmp(name, level.name) == 0)) return &level;
  }
  return nullptr;
}

struct Struct {
  const char* name;
  int64_t bytes;
};

#define CROSSENT_STRUCT(name) {#name, int64_t(sizeof(crossent::name))}
const Struct kStructs[] = {
    CROSSENT_STRUCT(RowProblem),       CROSSENT_STRUCT(LinearProblem),   CROSSENT_STRUCT(RegressionProblem),
    CROSSENT_STRUCT(CouplingProblem),  CROSSENT_STRUCT(DualProblem),     CROSSENT_STRUCT(ProductProblem),
    CROSSENT_STRUCT(ColumnSumProblem), CROSSENT_STRUCT(ScatterProblem),  CROSSENT_STRUCT(CurveProblem),
    CROSSENT_STRUCT(AdamWProblem),     CROSSENT_STRUCT(NgramProblem),    CROSSENT_STRUCT(LogSoftmaxProblem),
    CROSSENT_STRUCT(TreeArrangement),  CROSSENT_STRUCT(TreeProblem),
};

}  // namespace

// Raised whenever the C interface changes; the binding refuses any other number.
CROSSENT_EXPORT int crossent_abi_version() { return 14; }

// Size in bytes of a struct that Python fills, by its name; 0 if it is unknown. The binding refuses another size.
CROSSENT_EXPORT int64_t crossent_size_of(const char* name) {
  for (const Struct& known : kStructs) {
    if (std::strcmp(name, known.name) == 0) return known.bytes;
  }
  return 0;
}

CROSSENT_EXPORT const char* crossent_architecture() { return CROSSENT_ARCHITECTURE; }

CROSSENT_EXPORT const char* crossent_compiler() { return __VERSION__; }

// Name of the best instruction set that runs here, or of the wanted one; empty if the wanted one does not run here.
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

CROSSENT_EXPORT const crossent::ProductKernels* crossent_product_kernels(const char* name) {
  const Level* level = find(name);
  return level ? level->products : nullptr;
}

CROSSENT_EXPORT const crossent::DualKernels* crossent_dual_kernels(const char* name) {
  const Level* level = find(name);
  return level ? level->dual : nullptr;
}

CROSSENT_EXPORT const crossent::CurveKernels* crossent_curve_kernels(const char* name) {
  const Level* level = find(name);
  return level ? level->curves : nullptr;
}

CROSSENT_EXPORT const crossent::TreeKernels* crossent_tree_kernels(const char* name) {
  const Level* level = find(name);
  return level ? level->trees : nullptr;
}

CROSSENT_EXPORT crossent::AdamWKernel crossent_adamw_kernel(const char* name) {
  const Level* level = find(name);
  return level ? *level->adamw : nullptr;
}

CROSSENT_EXPORT crossent::LogSoftmaxKernel crossent_log_softmax_kernel(const char* name) {
  const Level* level = find(name);
  return level ? *level->log_softmax : nullptr;
}
