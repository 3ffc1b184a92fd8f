// SPDX-License-Identifier: Apache-2.0
// The inside of a pass: how batches come about, with and without background threads.
#pragma once

#include <memory>

#include "athanor/data/loader.hpp"

namespace athanor {

/// Everything that the batches of a pass depend on.
struct BatchRecipe {
  Dataset dataset;
  LoaderOptions options;
  int64_t size;  ///< Of the data set when the loader was made.
  uint64_t key;  ///< Stands for seed and epoch.
  int32_t part;
};

struct Pass::Implementation {
  virtual ~Implementation() = default;
  virtual const Batch* next() = 0;

  /// Batches from `first` to `last`, exclusive.
  static std::unique_ptr<Implementation> make(BatchRecipe recipe, int64_t first, int64_t last);
};

}  // namespace athanor
