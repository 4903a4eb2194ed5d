// Work that may be shared out among threads.
#pragma once

#include "rows.h"

// In an unnamed namespace, because it is compiled for each instruction set and each must have its own copy.
namespace {

// Runs body over parts of [0, count); all at once where there are no threads, or no more than `grain` to do.
inline void for_parts(crossent::ParallelFor parallel_for, int64_t count, int64_t grain, crossent::Body body,
                      void* context) {
  if (parallel_for && count > grain) {
    parallel_for(0, count, grain, body, context);
  } else {
    body(0, count, context);
  }
}

}  // namespace
