// Scores of decision trees.
//
// Many rows are taken a block at a time, and each tree's splits are scanned from left to right for all of them at once,
// whether or not a row's path meets them: a row's leaf is 0 at first, and a split that the row would pass on the right,
// and that its leaf so far lies under, moves it to the first leaf on the split's right. That costs a few instructions a
// split for a vector of rows, none of which waits for memory or is guessed; a walk costs them for each row. (The idea is
// that of Lucchese et al. 2015, "QuickScorer", with leaves counted instead of masks of bits.) Few rows, and trees of many
// leaves, are walked.
//
// Numbers are compared as integers of the same order, so that a missing one is just the largest or the smallest.
//
// Compiled once for each instruction set, with CROSSENT_LEVEL naming it.

#include "trees.h"

#include "memory.h"
#include "vector.h"

#define CROSSENT_JOIN(a, b) a##b
#define CROSSENT_NAMED(name, level) CROSSENT_JOIN(name, level)

namespace {

using crossent::CategorySplit;
using crossent::Forest;
using crossent::TreeArrangement;
using crossent::TreeNode;
using crossent::TreeProblem;

using Lane = Integers<float>;
constexpr int64_t kVectors = 8, kBlock = kVectors * kWidth<float>;
// Fewer rows are walked one by one, and so is a tree of more splits.
constexpr int64_t kFewestRows = 12, kMostScanned = 512;
// Paths followed together.
constexpr int64_t kPaths = 8;

inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// An integer for each number in the same order; both zeros are one.
inline int32_t ordered(float x) {
  int32_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  return x == 0 ? 0 : bits < 0 ? bits ^ INT32_MAX : bits;
}

// Turns the splits of a tree into nodes in the order of its leaves.
void arrange_tree(const TreeArrangement& a, int64_t tree, int64_t& first_word, int32_t* under, int32_t* start) {
  const Forest& f = a.forest;
  const int64_t first = f.first_node[tree], splits = f.first_node[tree + 1] - first;
  const int32_t *left = a.left + first, *right = a.right + first;
  // Leaves under each split, at first; then those under its left alone.
  for (int64_t i = splits - 1; i >= 0; --i) {
    under[i] = (left[i] < 0 ? 1 : under[left[i]]) + (right[i] < 0 ? 1 : under[right[i]]);
  }
  for (int64_t i = 0; i < splits; ++i) under[i] = left[i] < 0 ? 1 : under[left[i]];
  if (splits) start[0] = 0;
  for (int64_t i = 0; i < splits; ++i) {
    if (left[i] >= 0) start[left[i]] = start[i];
    if (right[i] >= 0) start[right[i]] = start[i] + under[i];
  }
  const double* values = a.values + first + tree;
  double* sorted = f.values + first + tree;
  const auto node_of = [&](int32_t split) { return start[split] + under[split] - 1; };
  const auto child = [&](int32_t link, int32_t leaf) {
    if (link >= 0) return node_of(link);
    sorted[leaf] = values[~link];
    return ~leaf;
  };
  if (!splits) sorted[0] = values[0];
  f.root[tree] = splits ? node_of(0) : ~0;
  int32_t categories = 0;
  for (int64_t i = 0; i < splits; ++i) {
    int32_t column = a.column[first + i], key = 0;
    if (const int32_t words = a.word_counts[first + i]) {
      f.categories[f.first_category[tree] + categories] = {column, words, first_word};
      first_word += words;
      column = int32_t(f.columns) + categories++;
    } else {
      key = ordered(a.threshold[first + i]);
    }
    f.nodes[first + node_of(i)] = {
        column, key, start[i] - 1, {child(left[i], start[i]), child(right[i], start[i] + under[i])}};
  }
}

void arrange(TreeArrangement* a) {
  const Forest& f = a->forest;
  int64_t most = 0, first_word = 0;
  for (int64_t t = 0; t < f.trees; ++t) {
    const int64_t splits = f.first_node[t + 1] - f.first_node[t];
    most = splits > most ? splits : most;
  }
  Array<int32_t> under(most), start(most);
  for (int64_t t = 0; t < f.trees; ++t) arrange_tree(*a, t, first_word, under.data, start.data);
}

// Takes the columns in use of rows [first, first + n), those of a column `stride` apart.
void take_columns(const TreeProblem& p, int64_t first, int64_t n, int64_t stride, int32_t* columns) {
  for (int64_t c = 0; c < p.forest.columns; ++c, columns += stride) {
    const int64_t feature = p.forest.column_features[c] / 2;
    if (feature < p.numbers) {
      const int32_t missing = p.forest.column_features[c] % 2 ? INT32_MIN : INT32_MAX;
      const float* x = p.number_values + first * p.numbers + feature;
      for (int64_t i = 0; i < n; ++i, x += p.numbers) columns[i] = *x != *x ? missing : ordered(*x);
    } else {
      const int32_t* x = p.code_values + first * p.codes + feature - p.numbers;
      for (int64_t i = 0; i < n; ++i, x += p.codes) columns[i] = *x;
    }
  }
}

// 1 for a code that goes right, 0 for one that goes left; a negative one is beyond all words.
inline int32_t goes_right(const uint32_t* words, uint32_t count, int32_t code) {
  const uint32_t word = uint32_t(code) >> 5;
  const uint32_t bits = words[word < count ? word : 0];
  return int32_t(word >= count) | int32_t(~(bits >> (code & 31)) & 1);
}

// A path through a tree: its nodes, the row's columns, and the node that it is at, or ~ of the leaf that it ended in.
struct Path {
  const TreeNode* nodes;
  const CategorySplit* categories;
  const int32_t* columns;
  int32_t node;
};

inline Path path_of(const Forest& f, int64_t tree, const int32_t* columns) {
  return {f.nodes + f.first_node[tree], f.categories + f.first_category[tree], columns, f.root[tree]};
}

// Follows paths to their ends, a step of each in turn, so that none waits for another's reads. A row's columns are
// `stride` apart.
template <int64_t stride>
void walk(const Forest& f, Path* paths, int64_t count) {
  for (bool going = true; going;) {
    going = false;
    for (int64_t i = 0; i < count; ++i) {
      Path& path = paths[i];
      if (path.node < 0) continue;
      const TreeNode& at = path.nodes[path.node];
      bool right;
      if (at.column < f.columns) {
        right = path.columns[at.column * stride] > at.key;
      } else {
        const CategorySplit& split = path.categories[at.column - f.columns];
        right = goes_right(f.words + split.first_word, uint32_t(split.words), path.columns[split.column * stride]);
      }
      path.node = at.child[right];
      going |= path.node >= 0;
    }
  }
}

// The leaves of a block of rows; the tree's categorical splits are decided first, each in a column of its own.
void scan(const Forest& f, int64_t tree, int32_t* columns, int32_t* leaves) {
  for (int64_t c = f.first_category[tree]; c < f.first_category[tree + 1]; ++c) {
    const CategorySplit& split = f.categories[c];
    const uint32_t* words = f.words + split.first_word;
    const int32_t* codes = columns + split.column * kBlock;
    int32_t* decided = columns + (f.columns + c - f.first_category[tree]) * kBlock;
    for (int64_t i = 0; i < kBlock; ++i) decided[i] = goes_right(words, uint32_t(split.words), codes[i]);
  }
  Lane leaf[kVectors] = {};
  int32_t next = 0;
  for (int64_t n = f.first_node[tree]; n < f.first_node[tree + 1]; ++n) {
    const TreeNode& node = f.nodes[n];
    const int32_t* column = columns + node.column * kBlock;
    ++next;
    for (int64_t v = 0; v < kVectors; ++v) {
      Lane x;
      __builtin_memcpy(&x, column + v * kWidth<float>, sizeof x);
      leaf[v] = (x > node.key) & (leaf[v] > node.before) ? Lane{} + next : leaf[v];
    }
  }
  __builtin_memcpy(leaves, leaf, sizeof leaf);
}

void predict_block(const TreeProblem& p, int64_t first, int64_t n, int32_t* columns) {
  const Forest& f = p.forest;
  take_columns(p, first, n, kBlock, columns);
  int32_t leaves[kBlock];
  Path paths[kPaths];
  for (int64_t t = 0; t < f.trees; ++t) {
    if (f.first_node[t + 1] - f.first_node[t] <= kMostScanned) {
      scan(f, t, columns, leaves);
    } else {
      for (int64_t i = 0; i < n; i += kPaths) {
        const int64_t count = smaller(kPaths, n - i);
        for (int64_t j = 0; j < count; ++j) paths[j] = path_of(f, t, columns + i + j);
        walk<kBlock>(f, paths, count);
        for (int64_t j = 0; j < count; ++j) leaves[i + j] = ~paths[j].node;
      }
    }
    const double* values = f.values + f.first_node[t] + t;
    double* scores = p.scores + first * f.classes + t % f.classes;
    for (int64_t i = 0; i < n; ++i) scores[i * f.classes] += values[leaves[i]];
  }
}

void predict_row(const TreeProblem& p, int64_t row, int32_t* columns) {
  const Forest& f = p.forest;
  take_columns(p, row, 1, 1, columns);
  double* scores = p.scores + row * f.classes;
  Path paths[kPaths];
  for (int64_t t = 0; t < f.trees; t += kPaths) {
    const int64_t count = smaller(kPaths, f.trees - t);
    for (int64_t i = 0; i < count; ++i) paths[i] = path_of(f, t + i, columns);
    walk<1>(f, paths, count);
    for (int64_t i = 0; i < count; ++i) {
      scores[(t + i) % f.classes] += f.values[f.first_node[t + i] + t + i + ~paths[i].node];
    }
  }
}

void predict(TreeProblem* p) {
  Array<int32_t> columns((p->forest.columns + p->forest.most_categories) * (p->rows < kFewestRows ? 1 : kBlock));
  for (int64_t row = 0; row < p->rows;) {
    const int64_t n = smaller(kBlock, p->rows - row);
    if (n >= kFewestRows) predict_block(*p, row, n, columns.data), row += n;
    else predict_row(*p, row, columns.data), ++row;
  }
}

}  // namespace

namespace crossent {
extern const TreeKernels CROSSENT_NAMED(tree_kernels_, CROSSENT_LEVEL);
const TreeKernels CROSSENT_NAMED(tree_kernels_, CROSSENT_LEVEL) = {arrange, predict};
}  // namespace crossent
