// SPDX-License-Identifier: Apache-2.0
// A ratio of counts for each class, averaged; what precision, recall, Jaccard and their kin share, not for use outside.
#pragma once

#include <string>

#include "athanor/metrics/class_counts.hpp"
#include "athanor/metrics/metric.hpp"
#include "athanor/metrics/once.hpp"

namespace athanor::metrics::detail {

/// Numerator and denominator. A division by zero gives 0, as in scikit-learn and torchmetrics.
struct Fraction {
  double over = 0;
  double under = 0;
  [[nodiscard]] double value() const noexcept { return under == 0 ? 0.0 : over / under; }
};

[[nodiscard]] Rules rules_of(const char* metric, const ClassificationOptions& options, bool per_class = true);

/// The value of class 1, when `binary` and no average is said; else the average over classes: a number, or a
/// dictionary. `of_class` makes a Fraction of a Tally.
template <class OfClass>
[[nodiscard]] Tree averaged(const std::vector<Tally>& tallies, Average average, bool multilabel, OfClass&& of_class) {
  Tree::Dictionary each;
  Fraction together;
  double macro = 0, occurring = 0, weighted = 0, weights = 0;
  for (size_t c = 0; c < tallies.size(); ++c) {
    const Tally& tally = tallies[c];
    const Fraction fraction = of_class(tally);
    together = {together.over + fraction.over, together.under + fraction.under};
    if (multilabel || tally.occurs()) {
      macro += fraction.value();
      ++occurring;
    }
    weighted += fraction.value() * tally.targets;
    weights += tally.targets;
    if (average == Average::per_class) each.emplace_back(std::to_string(c), fraction.value());
  }
  switch (average) {
    case Average::micro:
      return together.value();
    case Average::macro:
      return macro / occurring;
    case Average::weighted:
      return Fraction{weighted, weights}.value();
    case Average::per_class:
      break;
  }
  return each;
}

class ClassRatio {
 public:
  struct Definition {
    const char* name;
    Direction direction;
    Fraction (*of_class)(const Tally& tally, double beta);
  };

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] Direction direction() const noexcept { return definition_->direction; }
  [[nodiscard]] const ClassificationOptions& options() const noexcept { return options_; }
  /// Whether the two would count and compute the same.
  [[nodiscard]] bool alike(const ClassRatio& other) const noexcept {
    return definition_ == other.definition_ && options_ == other.options_ && beta_ == other.beta_;
  }

  /// Adds a batch; classification.hpp has shapes, dtypes and ties. Does not wait for a device. Throws Error, and counts
  /// nothing, for what is listed there, shapes that do not fit and another number of classes than before.
  void update(const at::Tensor& predictions, const at::Tensor& target) { counts_.update(predictions, target); }
  /// Throws Error when the options or the numbers of classes differ.
  void merge(const ClassRatio& other);
  /// A number, or a dictionary with Average::per_class. Waits for the device. Throws Error when nothing was seen.
  [[nodiscard]] Tree compute() const;
  [[nodiscard]] bool empty() const noexcept { return counts_.empty(); }
  void reset() { counts_.reset(); }
  void state(State& state) { counts_.state(state); }

 protected:
  ClassRatio(const Definition& definition, const ClassificationOptions& options, double beta = 1);
  ClassRatio(const Definition& definition, const ClassificationOptions& options, double beta, std::string name);

 private:
  const Definition* definition_;
  ClassificationOptions options_;
  double beta_;
  std::string name_;
  ClassCounts counts_;
};

}  // namespace athanor::metrics::detail
