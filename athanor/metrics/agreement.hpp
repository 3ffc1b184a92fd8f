// SPDX-License-Identifier: Apache-2.0
// Agreement beyond chance: Cohen's kappa and Matthews' correlation coefficient.
#pragma once

#include <optional>
#include <string>

#include "athanor/metrics/class_counts.hpp"
#include "athanor/metrics/classification.hpp"
#include "athanor/metrics/confusion_matrix.hpp"
#include "athanor/metrics/metric.hpp"

namespace athanor::metrics {

/// What a disagreement costs.
enum class KappaWeights {
  none,       ///< 1, whatever the classes.
  linear,     ///< The distance of the classes: they are ordered, as grades are.
  quadratic,  ///< The square of that distance.
};

struct CohenKappaOptions {
  KappaWeights weights = KappaWeights::none;
  /// As in ClassificationOptions. There is no multi-label form.
  Kind kind = Kind::automatic;
  std::optional<int64_t> classes = {};
  double threshold = 0.5;
  bool from_logits = true;
  std::optional<int64_t> ignore_index = {};

  friend bool operator==(const CohenKappaOptions&, const CohenKappaOptions&) = default;
};

/// 1 - observed disagreement / disagreement expected by chance (Cohen, 1960; weighted: 1968). 1 is perfect, 0 is
/// chance. NaN where chance can't disagree, because only one class occurs on both sides. Called "kappa". Memory is the
/// number of classes squared.
class CohenKappa {
 public:
  /// Throws Error for options out of their range.
  explicit CohenKappa(CohenKappaOptions options = {});

  [[nodiscard]] std::string name() const { return "kappa"; }
  [[nodiscard]] Direction direction() const noexcept { return Direction::up; }
  [[nodiscard]] bool alike(const CohenKappa& other) const noexcept { return options_ == other.options_; }
  /// As of ConfusionMatrix.
  void update(const at::Tensor& predictions, const at::Tensor& target) { matrix_.update(predictions, target); }
  void merge(const CohenKappa& other);
  /// Waits for the device. Throws Error when nothing was seen, or nothing but ignored targets.
  [[nodiscard]] double compute() const;
  [[nodiscard]] bool empty() const noexcept { return matrix_.empty(); }
  void reset() { matrix_.reset(); }
  void state(State& state) { state.child("matrix", matrix_); }

 private:
  CohenKappaOptions options_;
  ConfusionMatrix matrix_;
};

/// The correlation of predicted and true classes (Matthews, 1975; of several classes: Gorodkin, 2004), from -1 to 1; 0
/// when one side has a single class, as in scikit-learn. In multi-label of all elements together. Called "mcc".
class MatthewsCorrelation {
 public:
  /// `average` has no meaning here and must be unset. Throws Error for options out of their range.
  explicit MatthewsCorrelation(ClassificationOptions options = {});

  [[nodiscard]] std::string name() const { return "mcc"; }
  [[nodiscard]] Direction direction() const noexcept { return Direction::up; }
  [[nodiscard]] bool alike(const MatthewsCorrelation& other) const noexcept { return options_ == other.options_; }
  /// As of Accuracy.
  void update(const at::Tensor& predictions, const at::Tensor& target) { counts_.update(predictions, target); }
  void merge(const MatthewsCorrelation& other);
  /// Waits for the device. Throws Error when nothing was seen, or nothing but ignored targets.
  [[nodiscard]] double compute() const;
  [[nodiscard]] bool empty() const noexcept { return counts_.empty(); }
  void reset() { counts_.reset(); }
  void state(State& state) { counts_.state(state); }

 private:
  ClassificationOptions options_;
  detail::ClassCounts counts_;
};

/// For `.metrics = {athanor::metrics::cohen_kappa()}`.
[[nodiscard]] CohenKappa cohen_kappa(CohenKappaOptions options = {});
[[nodiscard]] MatthewsCorrelation matthews(ClassificationOptions options = {});

/// The value of these tensors alone. Waits for the device.
[[nodiscard]] double cohen_kappa(const at::Tensor& predictions, const at::Tensor& target,
                                 CohenKappaOptions options = {});
[[nodiscard]] double matthews(const at::Tensor& predictions, const at::Tensor& target,
                              ClassificationOptions options = {});

}  // namespace athanor::metrics
