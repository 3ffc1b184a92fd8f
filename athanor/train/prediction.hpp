// SPDX-License-Identifier: Apache-2.0
// Predictions as they are asked for.
#pragma once

#include <memory>

#include "athanor/core/owned.hpp"
#include "athanor/core/tree.hpp"

namespace athanor {

class Evaluation;

/// A range over the predictions for the batches of some data, in their order. Made by `Trainer::predict`. Single pass.
class PredictionStream {
 public:
  explicit PredictionStream(std::unique_ptr<Evaluation> evaluation);
  ~PredictionStream();
  PredictionStream(PredictionStream&&) noexcept;
  PredictionStream& operator=(PredictionStream&&) = delete;

  /// The predictions for the next batch, on the CPU: a tensor (N, …) or a tree of such; null at the end.
  [[nodiscard]] const Tree* next();
  /// All that are left, joined along dimension 0.
  [[nodiscard]] Tree all();

  struct End {};
  class Iterator {
   public:
    explicit Iterator(PredictionStream* stream) : stream_(stream), tree_(stream->next()) {}
    const Tree& operator*() const { return *tree_; }
    const Tree* operator->() const { return tree_; }
    Iterator& operator++() {
      tree_ = stream_->next();
      return *this;
    }
    bool operator==(End) const { return tree_ == nullptr; }

   private:
    PredictionStream* stream_;
    const Tree* tree_;
  };
  Iterator begin() { return Iterator(this); }
  static End end() { return {}; }

 private:
  Owned<Evaluation> evaluation_;
  Tree current_;
};

}  // namespace athanor
