// SPDX-License-Identifier: Apache-2.0
// Which part of a combination each batch comes from: numbers only, no data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "athanor/data/combine.hpp"

namespace athanor {

class Rotation {
 public:
  /// `lengths`: batches in an epoch of each part. The options have been checked.
  Rotation(const CombineOptions& options, std::vector<int64_t> lengths);

  [[nodiscard]] bool zips() const noexcept;
  [[nodiscard]] bool begins_again() const noexcept;
  /// Batches of an epoch when the options do not say.
  [[nodiscard]] int64_t natural_batches() const;

  /// How many batches of each part are among the first `batches` of an epoch. `key` stands for seed and epoch.
  [[nodiscard]] std::vector<int64_t> taken(int64_t batches, uint64_t key) const;
  /// The share of each part in the draws; empty where nothing is drawn.
  [[nodiscard]] std::vector<double> shares() const;
  /// The part that batch `number` comes from, after `taken` of each; not for the zip modes.
  [[nodiscard]] size_t part(int64_t number, const std::vector<int64_t>& taken, uint64_t key) const;

 private:
  [[nodiscard]] size_t draw(int64_t number, uint64_t key) const;
  [[nodiscard]] std::vector<int64_t> taken_alternating(int64_t batches) const;

  Combine how_;
  bool cycle_;
  std::vector<int64_t> lengths_;
  std::vector<double> cumulative_;  ///< Sums of the weights up to each part.
};

}  // namespace athanor
