// The C interface of the kernels of decision trees.
#pragma once

#include <cstdint>

namespace crossent {

// A split, in the order of the leaves: all splits and leaves to its left come before it, and all to its right after it.
struct TreeNode {
  int32_t column;    // what it reads: a column in use, or past those the categorical split of the tree that has that number
  int32_t key;       // rows above it go right
  int32_t before;    // the leaf before the first one under it
  int32_t child[2];  // on the left and on the right: a node of the tree, or ~ of a leaf
};

// A split or a leaf for a walk without branches. The two children of a split lie side by side after it, the left one
// first. A leaf leads to itself, as it reads a column that no key is below.
struct WalkNode {
  int32_t key;      // rows above it go to the second child; of a leaf: its number
  uint16_t column;  // what it reads: a column in use, the one that no key is below, or a categorical split that is decided
  uint16_t child;   // how many nodes farther the first child is; of a leaf: 0
};

struct CategorySplit {
  int32_t column;
  int32_t words;       // codes of the bits that are set go left, all others right
  int64_t first_word;
};

// Arrays are contiguous. A tree of m splits has m + 1 leaves, so its leaves begin at its first node + its number.
struct Forest {
  int64_t trees;
  int64_t classes;                  // tree i adds to class i % classes
  int64_t columns;                  // in use
  int64_t most_categories;          // categorical splits of a tree
  int64_t most_splits;              // of a tree
  const int32_t* column_features;   // (columns,): 2 * feature, + 1 where missing numbers go left
  const int64_t* first_node;        // (trees + 1,)
  const int64_t* first_category;    // (trees + 1,)
  const uint32_t* words;
  int32_t* root;                    // (trees,): written by arrange, as all below
  TreeNode* nodes;
  WalkNode* walk_nodes;             // a tree's m splits and m + 1 leaves begin at twice its first node + its number
  CategorySplit* categories;
  double* values;                   // of each leaf
};

// Trees as they are saved: splits in any order in which parents come before their children.
struct TreeArrangement {
  Forest forest;
  const int32_t* column;       // (splits,)
  const float* threshold;      // (splits,)
  const int32_t* left;         // (splits,)
  const int32_t* right;        // (splits,)
  const int32_t* word_counts;  // (splits,): 0 for splits of numbers
  const double* values;        // (leaves,)
};

struct TreeProblem {
  Forest forest;
  int64_t rows;
  int64_t numbers;
  int64_t codes;
  const float* number_values;  // (rows, numbers)
  const int32_t* code_values;  // (rows, codes)
  double* scores;              // (rows, classes), which the leaves' values are added to
};

struct TreeKernels {
  void (*arrange)(TreeArrangement* arrangement);
  void (*predict)(TreeProblem* problem);
};

}  // namespace crossent
