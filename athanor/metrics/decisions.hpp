// SPDX-License-Identifier: Apache-2.0
// From predictions and targets to pairs of classes; shared by the metrics of classification, not for use outside.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/SmallVector.h>

#include <cstdint>
#include <limits>
#include <optional>

#include "athanor/metrics/classification.hpp"

namespace athanor::metrics::detail {

/// The options that say how tensors are read.
struct Rules {
  const char* metric = "";
  Kind kind = Kind::automatic;
  int64_t top_k = 1;
  double threshold = 0.5;
  bool from_logits = true;
  std::optional<int64_t> ignore_index = {};
  std::optional<int64_t> classes = {};
  /// Whether the metric keeps counters for each class: decided classes then need a known number of them.
  bool per_class = true;
};

/// Throws Error for options that make no sense, whatever the data is.
void check(const Rules& rules);

/// How one pair of tensors is read.
struct Layout {
  enum class Predictions { scores, decisions_by_threshold, labels };
  static constexpr int64_t any_class = std::numeric_limits<int64_t>::max();

  Predictions predictions = Predictions::scores;
  bool one_hot_target = false;
  bool binary = false;
  int64_t outer = 0;    ///< Rows (N).
  int64_t classes = 0;  ///< `any_class` when it is not known.
  int64_t inner = 1;    ///< Places in a row.
  int64_t labels = 0;   ///< Of a multi-label problem; 0 for others.
  int64_t places_of_label = 1;

  [[nodiscard]] int64_t label_of(int64_t place) const noexcept { return place / places_of_label % labels; }
};

/// Looks at shapes and dtypes only. Throws Error when they do not fit together.
[[nodiscard]] Layout understand(const at::Tensor& predictions, const at::Tensor& target, const Rules& rules);

/// Pairs of (predicted, true) classes of tensors on the CPU. Contiguous float32 or float64 scores with int64 targets
/// cost no operator. With top_k the predicted class is the true one where that is among the best k, else the best one.
/// The tensors must outlive it.
class Decisions {
 public:
  /// Throws Error for a label or a probability out of range and for a score that is NaN.
  Decisions(const at::Tensor& predictions, const at::Tensor& target, const Layout& layout, const Rules& rules);
  Decisions(const Decisions&) = delete;
  Decisions& operator=(const Decisions&) = delete;

  /// Calls `function(predicted, target)` for every place whose target is not ignored.
  template <class F>
  void each(F&& function) const {
    each_place([&](int64_t /*place*/, int64_t predicted, int64_t target) { function(predicted, target); });
  }
  /// The same with the number of the place, counted through the target as it lies in memory.
  template <class F>
  void each_place(F&& function) const {
    for (int64_t i = 0; i < size_; ++i) {
      if (target_[i] != ignored_) function(i, predicted_[i], target_[i]);
    }
  }

 private:
  using Labels = c10::SmallVector<int64_t, 128>;
  int64_t size_;
  int64_t ignored_;
  const int64_t* predicted_ = nullptr;
  const int64_t* target_ = nullptr;
  Labels predicted_storage_;
  Labels target_storage_;
};

/// The same by operators, on any device, reading nothing back. All are flat, one element a place.
struct DeviceDecisions {
  at::Tensor predicted;  ///< int64
  at::Tensor target;     ///< int64
  at::Tensor valid;      ///< bool: neither ignored nor refused.
  at::Tensor refused;    ///< int64 (1): at how many places the label, or what was predicted, is no use.
};
[[nodiscard]] DeviceDecisions decide_on_device(const at::Tensor& predictions, const at::Tensor& target,
                                               const Layout& layout, const Rules& rules);

/// int64, as flat as `like`: the label that each place belongs to.
[[nodiscard]] at::Tensor labels_on_device(const Layout& layout, const at::Tensor& like);

/// int64 (bins): how often each value of `index` occurs where `valid`.
[[nodiscard]] at::Tensor count_on_device(const at::Tensor& index, const at::Tensor& valid, int64_t bins);

}  // namespace athanor::metrics::detail
