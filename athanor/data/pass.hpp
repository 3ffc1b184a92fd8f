// SPDX-License-Identifier: Apache-2.0
// The inside of a pass: how batches come about, with and without background threads.
#pragma once

#include <memory>

#include "athanor/data/loader.hpp"

namespace athanor {

struct Pass::Implementation {
  virtual ~Implementation() = default;
  virtual const Batch* next() = 0;

  /// `key` stands for seed and epoch; batches run from `first` to `last`, exclusive.
  static std::unique_ptr<Implementation> make(const Dataset& dataset, const LoaderOptions& options, uint64_t key,
                                              int64_t first, int64_t last);
};

}  // namespace athanor
