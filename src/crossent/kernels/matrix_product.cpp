// Matrix products in tiles that stay in the caches.
//
// The two operands of a tile are packed: as many rows (columns) side by side as the innermost loop holds in registers,
// for each term of the sum. Every element of the result is one chain of multiplications and additions for each block of
// terms, in any tile and on any thread, so that tiles and threads do not change the bits.
//
// Compiled once for each instruction set, with CROSSENT_LEVEL naming it.

#include "elements.h"
#include "matrix_product.h"
#include "memory.h"
#include "parallel.h"
#include "transpose.h"

#define CROSSENT_JOIN(a, b) a##b
#define CROSSENT_NAMED(name, level) CROSSENT_JOIN(name, level)

namespace {

using crossent::ColumnSumProblem;
using crossent::kSumBlock;
using crossent::ProductProblem;
using crossent::ScatterProblem;

// Rows and vectors of the sums in registers: 28 of 32 registers, or 12 of 16, hold them.
constexpr int64_t kPanelRows = kVectorBytes == 64 ? 14 : 6;
constexpr int64_t kPanelVectors = 2;
template <class A>
constexpr int64_t kPanelColumns = kPanelVectors * kWidth<A>;

// Of a tile of the result. Its packed columns serve all of its rows, which are packed some at a time: all that is
// packed fills a third of a second cache.
template <class A>
constexpr int64_t kMostColumns = 1536 / int64_t(sizeof(A));
constexpr int64_t kPackedRows = 168, kMostRows = 6 * kPackedRows;
static_assert(kPackedRows % kPanelRows == 0, "what is packed are whole panels");

inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t whole(int64_t n, int64_t size) { return (n + size - 1) / size; }

// Packs lines [first, first + lines) of a (lines, depth) operand, terms [begin, begin + terms): panel after panel of
// `width` lines side by side, filled up with zeros.
template <class A, int64_t width>
void pack(const View& from, int64_t first, int64_t lines, int64_t begin, int64_t terms, A* to) {
  constexpr int64_t w = kWidth<A>;
  if (from.outer == 1 && from.classes != 1) {
    // Lines lie side by side already.
    const View turned{from.data, from.dtype, from.classes, 0, 1};
    A buffer[kMostColumns<A> > kPackedRows ? kMostColumns<A> : kPackedRows];
    for (int64_t k = 0; k < terms; ++k) {
      const A* line = read(turned, (begin + k) * turned.outer + first, lines, buffer);
      for (int64_t i = 0; i < lines; i += width) {
        A* out = to + i * terms + k * width;
        const int64_t n = smaller(width, lines - i);
        if (n == width) {
          __builtin_memcpy(out, line + i, width * sizeof(A));
          continue;
        }
        for (int64_t lane = 0; lane < width; ++lane) out[lane] = lane < n ? line[i + lane] : A(0);
      }
    }
    return;
  }
  alignas(64) A buffers[w][kSumBlock];
  const A zeros[kSumBlock] = {};
  for (int64_t i = 0; i < lines; i += width) {
    // Whole vectors are stored, the last ones first, so that what they write after the line of their panel is
    // overwritten.
    for (int64_t lane = (width - 1) / w * w; lane >= 0; lane -= w) {
      const A* sources[w];
      for (int64_t l = 0; l < w; ++l) {
        const int64_t line = i + lane + l;
        const bool is_there = lane + l < width && line < lines;
        sources[l] = is_there ? read(from, (first + line) * from.outer + begin * from.classes, terms, buffers[l]) : zeros;
      }
      rows_to_lanes(sources, terms, to + i * terms + lane, width);
    }
  }
}

// out = or += left panel (terms, rows) @ right panel (terms, columns).
template <class A>
void multiply_panels(const A* left, const A* right, int64_t terms, A* out, int64_t stride, bool add) {
  constexpr int64_t w = kWidth<A>;
  Vector<A> sums[kPanelRows][kPanelVectors] = {};
  for (int64_t i = 0; i < kPanelRows; ++i) {
    __builtin_prefetch(out + i * stride, 1);
    __builtin_prefetch(out + i * stride + w, 1);
  }
  for (int64_t k = 0; k < terms; ++k, left += kPanelRows, right += kPanelColumns<A>) {
    const Vector<A> right0 = load(right), right1 = load(right + w);
#pragma GCC unroll 16
    for (int64_t i = 0; i < kPanelRows; ++i) {
      const Vector<A> factor = all<A>(left[i]);
      sums[i][0] += factor * right0;
      sums[i][1] += factor * right1;
    }
  }
#pragma GCC unroll 16
  for (int64_t i = 0; i < kPanelRows; ++i) {
    A* row = out + i * stride;
    store<A>(row, add ? load(row) + sums[i][0] : sums[i][0]);
    store<A>(row + w, add ? load(row + w) + sums[i][1] : sums[i][1]);
  }
}

// The same for panels that are not full.
template <class A>
void multiply_part(const A* left, const A* right, int64_t terms, A* out, int64_t stride, bool add, int64_t rows,
                   int64_t columns) {
  alignas(64) A sums[kPanelRows * kPanelColumns<A>];
  multiply_panels(left, right, terms, sums, kPanelColumns<A>, false);
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) {
      const A sum = sums[i * kPanelColumns<A> + j];
      out[i * stride + j] = add ? out[i * stride + j] + sum : sum;
    }
  }
}

struct Tile {
  int64_t row, rows, column, columns;
};

// How the result is cut: evenly, into tiles of whole panels.
struct Grid {
  int64_t tile_rows, tile_columns, down, across;
};

template <class A>
Grid grid_of(const ProductProblem& p) {
  const auto cut = [](int64_t n, int64_t most, int64_t panel) {
    return whole(whole(n, whole(n, most)), panel) * panel;
  };
  int64_t most_rows = kMostRows;
  const int64_t columns = cut(p.columns, kMostColumns<A>, kPanelColumns<A>), across = whole(p.columns, columns);
  while (whole(p.rows, most_rows) * across < p.threads && most_rows > kPanelRows) most_rows = (most_rows + 1) / 2;
  const int64_t rows = cut(p.rows, most_rows, kPanelRows);
  return {rows, columns, whole(p.rows, rows), across};
}

template <class A>
struct Packed {
  Array<A> left, right;
  explicit Packed(const Grid& grid)
      : left(kPackedRows * kSumBlock + kWidth<A>), right(grid.tile_columns * kSumBlock) {}
};

template <class A>
void begin_tile(const ProductProblem& p, const Tile& t, A* out) {
  const A* bias = static_cast<const A*>(p.bias);
  for (int64_t i = 0; i < t.rows; ++i) {
    for (int64_t j = 0; j < t.columns; ++j) out[i * p.out.outer + j] = bias ? bias[t.column + j] : A(0);
  }
}

template <class A>
void multiply_packed(const Packed<A>& packed, int64_t rows, int64_t columns, int64_t terms, A* out, int64_t stride,
                     bool add) {
  for (int64_t j = 0; j < columns; j += kPanelColumns<A>) {
    const A* right = packed.right.data + j * terms;
    for (int64_t i = 0; i < rows; i += kPanelRows) {
      const A* left = packed.left.data + i * terms;
      A* to = out + i * stride + j;
      if (i + kPanelRows <= rows && j + kPanelColumns<A> <= columns) {
        multiply_panels(left, right, terms, to, stride, add);
      } else {
        multiply_part(left, right, terms, to, stride, add, smaller(kPanelRows, rows - i),
                      smaller(kPanelColumns<A>, columns - j));
      }
    }
  }
}

template <class A>
void take_tile(const ProductProblem& p, const Tile& t, Packed<A>& packed) {
  A* out = static_cast<A*>(p.out.data) + t.row * p.out.outer + t.column;
  bool add = p.add;
  if (!add && (p.bias || p.depth == 0)) {
    begin_tile(p, t, out);
    add = true;
  }
  for (int64_t k = 0; k < p.depth; k += kSumBlock, add = true) {
    const int64_t terms = smaller(kSumBlock, p.depth - k);
    pack<A, kPanelColumns<A>>(p.right, t.column, t.columns, k, terms, packed.right.data);
    for (int64_t i = 0; i < t.rows; i += kPackedRows) {
      const int64_t rows = smaller(kPackedRows, t.rows - i);
      pack<A, kPanelRows>(p.left, t.row + i, rows, k, terms, packed.left.data);
      multiply_packed(packed, rows, t.columns, terms, out + i * p.out.outer, p.out.outer, add);
    }
  }
}

struct ProductJob {
  const ProductProblem& problem;
  Grid grid;
};

template <class A>
void take_tiles(int64_t begin, int64_t end, void* context) {
  const ProductJob& job = *static_cast<ProductJob*>(context);
  const ProductProblem& p = job.problem;
  const Grid& g = job.grid;
  Packed<A> packed(g);
  for (int64_t i = begin; i < end; ++i) {
    const int64_t row = i / g.across * g.tile_rows, column = i % g.across * g.tile_columns;
    take_tile(p, {row, smaller(g.tile_rows, p.rows - row), column, smaller(g.tile_columns, p.columns - column)}, packed);
  }
}

template <class A>
void product(ProductProblem& p) {
  if (p.rows == 0 || p.columns == 0) return;
  ProductJob job{p, grid_of<A>(p)};
  for_parts(p.parallel_for, job.grid.down * job.grid.across, 1, take_tiles<A>, &job);
}

// Columns that are summed side by side.
template <class A>
constexpr int64_t kStripe = 4 * kWidth<A>;

template <class A>
void sum_stripes(int64_t begin, int64_t end, void* context) {
  const ColumnSumProblem& p = *static_cast<ColumnSumProblem*>(context);
  for (int64_t stripe = begin; stripe < end; ++stripe) {
    const int64_t first = stripe * kStripe<A>, n = smaller(kStripe<A>, p.columns - first);
    const A* values = static_cast<const A*>(p.values.data) + first;
    A* out = static_cast<A*>(p.out) + first;
    for (int64_t block = 0; block < p.rows; block += kSumBlock) {
      const int64_t last = smaller(block + kSumBlock, p.rows);
      A sums[kStripe<A>] = {};
      for (int64_t i = block; i < last; ++i) {
        const A* row = values + i * p.values.outer;
        if (n == kStripe<A>) {
          for (int64_t j = 0; j < kStripe<A>; ++j) sums[j] += row[j];
        } else {
          for (int64_t j = 0; j < n; ++j) sums[j] += row[j];
        }
      }
      for (int64_t j = 0; j < n; ++j) out[j] += sums[j];
    }
  }
}

template <class A>
void column_sums(ColumnSumProblem& p) {
  for_parts(p.parallel_for, whole(p.columns, kStripe<A>), 1, sum_stripes<A>, &p);
}

template <class A>
void scatter_stripes(int64_t begin, int64_t end, void* context) {
  const ScatterProblem& p = *static_cast<ScatterProblem*>(context);
  const A* factor = static_cast<const A*>(p.factor);
  const int64_t first = begin * kStripe<A>, n = smaller(end * kStripe<A>, p.columns) - first;
  Array<A> buffer(n);
  for (int64_t i = 0; i < p.rows; ++i) {
    if (factor[i] == 0) continue;
    const A* values = read(p.values, i * p.values.outer + first * p.values.classes, n, buffer.data);
    A* out = static_cast<A*>(p.out.data) + p.target[i] * p.out.outer + first;
    for (int64_t j = 0; j < n; ++j) out[j] += factor[i] * values[j];
  }
}

template <class A>
void scatter(ScatterProblem& p) {
  for_parts(p.parallel_for, whole(p.columns, kStripe<A>), 1, scatter_stripes<A>, &p);
}

void product_by_dtype(ProductProblem* p) {
  p->out.dtype == crossent::kFloat64 ? product<double>(*p) : product<float>(*p);
}

void column_sums_by_dtype(ColumnSumProblem* p) {
  p->values.dtype == crossent::kFloat64 ? column_sums<double>(*p) : column_sums<float>(*p);
}

void scatter_by_dtype(ScatterProblem* p) {
  p->out.dtype == crossent::kFloat64 ? scatter<double>(*p) : scatter<float>(*p);
}

}  // namespace

namespace crossent {
extern const ProductKernels CROSSENT_NAMED(product_kernels_, CROSSENT_LEVEL);
const ProductKernels CROSSENT_NAMED(product_kernels_, CROSSENT_LEVEL) = {product_by_dtype, column_sums_by_dtype,
                                                                                 scatter_by_dtype};
}  // namespace crossent
