// Scores of decision trees.
//
// Many rows are processed in blocks. The splits of a tree are scanned from left to right for all rows of a block at
// once, whether or not the path of a row meets them: the leaf of a row is 0 at first, and a split that the row would
// pass on the right, and under which its present leaf lies, moves the row to the first leaf on the right of the split.
// That takes a few instructions for each split and vector of rows, without waiting for memory and without branches; a
// walk takes them for each row. (The idea is from Lucchese et al. 2015, "QuickScorer", with counted leaves instead of
// bit masks.) Few rows, and trees with many leaves, are walked.
//
// A single row walks eight trees at once, without branches that depend on its path: a processor would mispredict one of
// them in nearly every tree, at the end of the path. A path that has ended stays at its leaf until the longest of the
// eight has ended.
//
// Numbers are compared as integers of the same order, so that a missing number is the largest or the smallest one.
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
using crossent::WalkNode;

using Lane = Integers<float>;
constexpr int64_t kVectors = 8, kBlock = kVectors * kWidth<float>;
// Fewer rows than this are walked one by one, and so are trees with more splits than this.
constexpr int64_t kFewestRows = 12, kMostScanned = 512;
// Paths followed together, and the categorical splits of their trees up to which all are decided before the walk.
constexpr int64_t kPaths = 8, kMostDecided = 24;
// The numbers of a walk's nodes have 16 bits.
constexpr int64_t kMostNumbered = 1 << 16;

inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// Integers in the same order as the numbers; both zeros are the same integer.
inline int32_t ordered(float x) {
  int32_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  return x == 0 ? 0 : bits < 0 ? bits ^ INT32_MAX : bits;
}

// Columns of a row that walks: those in use, one that no key is below, and the categorical splits that are decided.
inline int64_t walk_columns(const Forest& f) { return f.columns + 1 + kMostDecided; }

// Whether the trees [first, end) have nodes for a walk without branches.
inline bool has_walk_nodes(const Forest& f, int64_t first, int64_t end) {
  return f.first_category[end] - f.first_category[first] <= kMostDecided && 2 * f.most_splits < kMostNumbered &&
         walk_columns(f) <= kMostNumbered;
}

// What is needed for a while about each split of a tree: the leaves under its left, the first leaf under it, and the
// column that it reads; and the links to splits, or ~ of leaves, in the order of the walk's nodes.
struct Scratch {
  int32_t *under, *start, *column, *links;
};

// Turns the splits and leaves of a tree into nodes for a walk, from the root down: what many rows read lies together.
void arrange_walk(const TreeArrangement& a, int64_t tree, const Scratch& s) {
  const Forest& f = a.forest;
  const int64_t first = f.first_node[tree], group = tree - tree % kPaths;
  const int32_t *left = a.left + first, *right = a.right + first;
  const int64_t decided = f.first_category[tree] - f.first_category[group] + 1;
  WalkNode* nodes = f.walk_nodes + 2 * first + tree;
  int64_t end = 0;
  s.links[end++] = f.first_node[tree + 1] > first ? 0 : ~0;
  for (int64_t n = 0; n < end; ++n) {
    const int32_t i = s.links[n];
    if (i < 0) {
      nodes[n] = {~i, uint16_t(f.columns), 0};
      continue;
    }
    const bool is_number = s.column[i] < f.columns;
    nodes[n] = {is_number ? ordered(a.threshold[first + i]) : 0, uint16_t(is_number ? s.column[i] : s.column[i] + decided),
                uint16_t(end - n)};
    s.links[end++] = left[i] < 0 ? ~s.start[i] : left[i];
    s.links[end++] = right[i] < 0 ? ~(s.start[i] + s.under[i]) : right[i];
  }
}

// Turns the splits of a tree into nodes in the order of its leaves.
void arrange_tree(const TreeArrangement& a, int64_t tree, int64_t& first_word, const Scratch& s) {
  const Forest& f = a.forest;
  const int64_t first = f.first_node[tree], splits = f.first_node[tree + 1] - first;
  const int32_t *left = a.left + first, *right = a.right + first;
  int32_t *under = s.under, *start = s.start;
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
    s.column[i] = column;
    f.nodes[first + node_of(i)] = {
        column, key, start[i] - 1, {child(left[i], start[i]), child(right[i], start[i] + under[i])}};
  }
}

void arrange(TreeArrangement* a) {
  const Forest& f = a->forest;
  int64_t first_word = 0;
  Array<int32_t> under(f.most_splits), start(f.most_splits), column(f.most_splits), links(2 * f.most_splits + 1);
  const Scratch scratch = {under.data, start.data, column.data, links.data};
  for (int64_t t = 0; t < f.trees; ++t) {
    arrange_tree(*a, t, first_word, scratch);
    const int64_t group = t - t % kPaths;
    if (has_walk_nodes(f, group, smaller(group + kPaths, f.trees))) arrange_walk(*a, t, scratch);
  }
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

// The leaves of the trees [first, first + count) for a row, all of whose paths go on until the longest has ended.
void walk_together(const Forest& f, int64_t first, int64_t count, int32_t* columns, int32_t* leaves) {
  int32_t* decided = columns + f.columns + 1;
  for (int64_t c = f.first_category[first]; c < f.first_category[first + count]; ++c) {
    const CategorySplit& split = f.categories[c];
    *decided++ = goes_right(f.words + split.first_word, uint32_t(split.words), columns[split.column]);
  }
  const WalkNode* at[kPaths];
  for (int64_t i = 0; i < kPaths; ++i) {
    // Too few trees: the first one is walked again.
    const int64_t tree = first + (i < count ? i : 0);
    at[i] = f.walk_nodes + 2 * f.first_node[tree] + tree;
  }
  const auto next = [columns](const WalkNode* node) { return node + node->child + (columns[node->column] > node->key); };
  for (bool going = true; going;) {
    going = false;
    for (int64_t i = 0; i < kPaths; ++i) {
      at[i] = next(at[i]);
      going |= at[i]->child != 0;
    }
  }
  for (int64_t i = 0; i < kPaths; ++i) leaves[i] = at[i]->key;
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
  columns[f.columns] = INT32_MIN;
  double* scores = p.scores + row * f.classes;
  int64_t k = 0;
  for (int64_t t = 0; t < f.trees; t += kPaths) {
    const int64_t count = smaller(kPaths, f.trees - t);
    int32_t leaves[kPaths];
    if (has_walk_nodes(f, t, t + count)) {
      walk_together(f, t, count, columns, leaves);
    } else {
      Path paths[kPaths];
      for (int64_t i = 0; i < count; ++i) paths[i] = path_of(f, t + i, columns);
      walk<1>(f, paths, count);
      for (int64_t i = 0; i < count; ++i) leaves[i] = ~paths[i].node;
    }
    for (int64_t i = 0; i < count; ++i) {
      scores[k] += f.values[f.first_node[t + i] + t + i + leaves[i]];
      k = k + 1 < f.classes ? k + 1 : 0;
    }
  }
}

void predict(TreeProblem* p) {
  const Forest& f = p->forest;
  const int64_t of_blocks = p->rows < kFewestRows ? 0 : (f.columns + f.most_categories) * kBlock;
  Array<int32_t> columns(of_blocks > walk_columns(f) ? of_blocks : walk_columns(f));
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
