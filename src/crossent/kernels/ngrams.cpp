// Counts the n-grams of documents in one pass: words, pairs of words, and pieces of words.
//
// A hash of 64 bits identifies an n-gram. The same words occur often, so each word is cut into its pieces once; a
// document then only adds up numbers. This file is compiled once, because vector instructions would not help it.

#include "ngrams.h"

#include <cstdlib>
#include <exception>
#include <vector>

namespace {

using std::size_t;
using crossent::NgramProblem;

enum Kind : uint8_t { kSeparator, kLetter, kSymbol };

// Odd numbers without a pattern; kinds/plain_ngrams.py has the same numbers.
constexpr uint64_t kBase = 0x9E3779B97F4A7C15u, kPairBase = 0xC2B2AE3D27D4EB4Fu;
// Longer words hardly occur twice.
constexpr size_t kLongestKept = 64;

// The finaliser of splitmix64; the last bit tells pieces from words.
uint64_t hash_of(uint64_t sum, bool is_piece) {
  sum = (sum ^ (sum >> 30)) * 0xBF58476D1CE4E5B9u;
  sum = (sum ^ (sum >> 27)) * 0x94D049BB133111EBu;
  sum ^= sum >> 31;
  return (sum & ~uint64_t(1)) | is_piece;
}

// Numbers keys in the order in which they come.
class Numbering {
 public:
  // Returns the number of a key; a new one gets the next.
  int32_t of(uint64_t key) {
    if (2 * keys.size() >= slots_.size()) grow();
    size_t i = place(key);
    if (slots_[i].number < 0) {
      slots_[i] = {key, int32_t(keys.size())};
      keys.push_back(key);
    }
    return slots_[i].number;
  }

  std::vector<uint64_t> keys;

 private:
  struct Slot {
    uint64_t key;
    int32_t number;
  };

  size_t place(uint64_t key) const {
    const size_t mask = slots_.size() - 1;
    size_t i = (key * kBase) >> 20 & mask;
    while (slots_[i].number >= 0 && slots_[i].key != key) i = (i + 1) & mask;
    return i;
  }

  void grow() {
    slots_.assign(2 * slots_.size(), Slot{0, -1});
    for (size_t number = 0; number < keys.size(); ++number) slots_[place(keys[number])] = {keys[number], int32_t(number)};
  }

  std::vector<Slot> slots_ = std::vector<Slot>(1 << 12, Slot{0, -1});
};

class Counter {
 public:
  explicit Counter(const NgramProblem& problem) : p_(problem) {}

  void count() {
    for (document_ = 0; document_ < p_.documents; ++document_) {
      has_previous_ = false;
      read(p_.text + p_.ends[document_], p_.text + p_.ends[document_ + 1]);
      ends.push_back(int64_t(ids.size()));
    }
  }

  std::vector<int64_t> ends = {0};
  std::vector<int32_t> ids, counts;
  Numbering ngrams;

 private:
  struct Word {
    int32_t id;
    size_t first_piece, pieces;
  };
  struct Seen {
    int64_t document;
    size_t element;
  };

  void read(const uint8_t* at, const uint8_t* end) {
    Kind kind = kSeparator;
    while (at < end) {
      const uint32_t point = next(at, end);
      const Kind here = point < p_.kinds_size ? Kind(p_.kinds[point]) : kSeparator;
      if (here != kind) finish(kind);
      kind = here;
      if (here != kSeparator) token_.push_back(point);
    }
    finish(kind);
  }

  // Python wrote the text, so it is well-formed UTF-8; only its end is checked.
  static uint32_t next(const uint8_t*& at, const uint8_t* end) {
    const uint8_t lead = *at++;
    if (lead < 0x80) return lead;
    const int more = lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
    uint32_t point = lead & (0x3F >> more);
    for (int i = 0; i < more && at < end; ++i) point = point << 6 | (*at++ & 0x3F);
    return point;
  }

  // Ends the token that was read.
  void finish(Kind kind) {
    if (token_.empty()) return;
    uint64_t sum = 0;
    for (const uint32_t point : token_) sum = sum * kBase + point;
    if (kind == kSymbol) {
      add(ngrams.of(hash_of(sum, false)));
    } else {
      finish_word(sum);
    }
    token_.clear();
  }

  void finish_word(uint64_t sum) {
    if (token_.size() > kLongestKept) {
      add(ngrams.of(hash_of(sum, false)));
      add_pair(sum);
      cut([this](int32_t id) { add(id); });
      return;
    }
    const size_t number = size_t(word_numbers_.of(sum));
    if (number == words_.size()) keep_word(sum);
    const Word word = words_[number];
    add(word.id);
    add_pair(sum);
    for (size_t i = 0; i < word.pieces; ++i) add(pieces_[word.first_piece + i]);
  }

  void keep_word(uint64_t sum) {
    Word word = {ngrams.of(hash_of(sum, false)), pieces_.size(), 0};
    cut([this](int32_t id) { pieces_.push_back(id); });
    word.pieces = pieces_.size() - word.first_piece;
    words_.push_back(word);
  }

  void add_pair(uint64_t sum) {
    if (has_previous_) add(ngrams.of(hash_of(previous_ * kPairBase + sum, false)));
    previous_ = sum;
    has_previous_ = true;
  }

  // Passes on the pieces of the word that was read, short ones first; a word no longer than a piece is one piece.
  template <class Take>
  void cut(Take take) {
    token_.insert(token_.begin(), ' ');
    token_.push_back(' ');
    const int64_t size = int64_t(token_.size());
    for (int64_t length = p_.shortest_piece; length <= p_.longest_piece; ++length) {
      const int64_t fitting = length < size ? length : size;
      for (int64_t begin = 0; begin + fitting <= size; ++begin) {
        uint64_t sum = 0;
        for (int64_t i = begin; i < begin + fitting; ++i) sum = sum * kBase + token_[i];
        take(ngrams.of(hash_of(sum, true)));
      }
      if (length >= size) break;
    }
  }

  void add(int32_t id) {
    if (size_t(id) >= seen_.size()) seen_.resize(2 * ngrams.keys.size(), Seen{-1, 0});
    Seen& seen = seen_[id];
    if (seen.document == document_) {
      ++counts[seen.element];
      return;
    }
    seen = {document_, ids.size()};
    ids.push_back(id);
    counts.push_back(1);
  }

  const NgramProblem& p_;
  int64_t document_ = 0;
  std::vector<uint32_t> token_;
  uint64_t previous_ = 0;
  bool has_previous_ = false;
  Numbering word_numbers_;
  std::vector<Word> words_;
  std::vector<int32_t> pieces_;
  std::vector<Seen> seen_;
};

template <class T>
void copy(const std::vector<T>& from, T* to) {
  for (size_t i = 0; i < from.size(); ++i) to[i] = from[i];
}

}  // namespace

#define CROSSENT_EXPORT extern "C" __attribute__((visibility("default")))

// Counts the n-grams of some documents, in one thread. Returns what take_ngrams takes; null where memory does not
// suffice.
CROSSENT_EXPORT void* crossent_count_ngrams(NgramProblem* problem) {
  Counter* counter = nullptr;
  try {
    counter = new Counter(*problem);
    counter->count();
    problem->elements = int64_t(counter->ids.size());
    problem->distinct = int64_t(counter->ngrams.keys.size());
    return counter;
  } catch (const std::exception&) {
    delete counter;
    return nullptr;
  }
}

// Writes the n-grams of each document as compressed sparse rows, in the order in which they come: `ends`
// (documents + 1,), `ids` and `counts` (elements,); and the hash of each id (distinct,). What was counted is freed.
CROSSENT_EXPORT void crossent_take_ngrams(void* counted, int64_t* ends, int32_t* ids, int32_t* counts, uint64_t* hashes) {
  Counter* counter = static_cast<Counter*>(counted);
  copy(counter->ends, ends);
  copy(counter->ids, ids);
  copy(counter->counts, counts);
  copy(counter->ngrams.keys, hashes);
  delete counter;
}
