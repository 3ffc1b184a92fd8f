// SPDX-License-Identifier: Apache-2.0
// The predictions and targets of every batch, and a function of the whole at the end.
#pragma once

#include <utility>
#include <vector>

#include "athanor/core/state.hpp"
#include "athanor/metrics/metric_function.hpp"

namespace athanor {

struct KeepAllOptions {
  /// Off: what is kept stays on the device where it came from, and nothing waits. On: it is copied to the host, which
  /// waits for the device at every batch; for predictions that would fill the device's memory.
  bool on_cpu = false;
};

namespace metrics::detail {

class Kept {
 public:
  explicit Kept(KeepAllOptions options) : options_(options) {}

  void keep(const Tree& predictions, const Tree& target);
  void merge(const Kept& other);
  [[nodiscard]] bool empty() const noexcept { return predictions_.empty(); }
  void reset();
  void state(State& state);

  struct Whole {
    Tree predictions;
    Tree target;
  };
  /// Joined copies. Throws Error when nothing was kept.
  [[nodiscard]] Whole whole() const;

 private:
  void append(const Tree& predictions, const Tree& target);

  KeepAllOptions options_;
  // One for each batch. The tensors are never written to, so copies of this object share them.
  std::vector<Tree> predictions_;
  std::vector<Tree> targets_;
};

}  // namespace metrics::detail

/// Exact for any function and any split, because the function is called once, with everything along dimension 0 in the
/// order of the batches. Memory grows with the data: predictions and targets of a whole pass. Prefer a class with
/// counters, or accumulate::confusion, where one will do.
///
///     athanor::Metric("auc", athanor::accumulate::keep_all(area_under_curve));         // a metric
///     step.log("auc", athanor::KeepAll(area_under_curve, probabilities, labels));      // or in a step
///
/// What a step handed back is copied, so it may be written over afterwards.
template <MetricFunction F>
class KeepAll {
 public:
  explicit KeepAll(F function, KeepAllOptions options = {}) : function_(std::move(function)), kept_(options) {}
  KeepAll(F function, const Tree& predictions, const Tree& target, KeepAllOptions options = {})
      : KeepAll(std::move(function), options) {
    update(predictions, target);
  }

  /// Throws Error, and keeps nothing, for shapes that can't be joined with those of the first batch along dimension 0.
  void update(const Tree& predictions, const Tree& target) {
    if constexpr (metrics::detail::TakesTrees<F>) {
      kept_.keep(predictions, target);
    } else {
      kept_.keep(first_of(predictions), first_of(target));
    }
  }
  void merge(const KeepAll& other) { kept_.merge(other.kept_); }
  /// What the function returns. Throws Error when nothing was kept.
  [[nodiscard]] Tree compute() const {
    const metrics::detail::Kept::Whole whole = kept_.whole();
    return metrics::detail::call(function_, whole.predictions, whole.target);
  }
  [[nodiscard]] bool empty() const noexcept { return kept_.empty(); }
  [[nodiscard]] bool live() const noexcept { return false; }
  void reset() { kept_.reset(); }
  void state(State& state) { kept_.state(state); }

 private:
  static Tree first_of(const Tree& tree) {
    const at::Tensor tensor = tree.first_tensor();
    return tensor.defined() ? Tree(tensor) : Tree();
  }

  mutable F function_;
  metrics::detail::Kept kept_;
};

}  // namespace athanor
