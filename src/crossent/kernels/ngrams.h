// The C interface of the kernel of n-grams: the n-grams of documents, and how often they occur.
#pragma once

#include <cstdint>

namespace crossent {

// Arrays are contiguous.
struct NgramProblem {
  int64_t documents;
  const uint8_t* text;   // normalised UTF-8 of all documents
  const int64_t* ends;   // (documents + 1,): where each begins, and at last the end
  const uint8_t* kinds;  // of each code point below kinds_size: 0 separator, 1 letter, 2 symbol; above, all are separators
  int64_t kinds_size;
  int64_t shortest_piece;  // characters of a piece of a word, with one space before and one after the word
  int64_t longest_piece;
  int64_t elements;  // found: n-grams of each document, summed
  int64_t distinct;  // found: n-grams of all
};

}  // namespace crossent
