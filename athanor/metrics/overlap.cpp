// SPDX-License-Identifier: Apache-2.0
// Jaccard index and Dice coefficient.
#include "athanor/metrics/overlap.hpp"

namespace athanor::metrics {
namespace {

constexpr detail::ClassRatio::Definition jaccard_definition = {
    "jaccard", Direction::up, [](const detail::Tally& tally, double) {
      return detail::Fraction{tally.right, tally.predicted + tally.targets - tally.right};
    }};
constexpr detail::ClassRatio::Definition dice_definition = {
    "dice", Direction::up, [](const detail::Tally& tally, double) {
      return detail::Fraction{2 * tally.right, tally.predicted + tally.targets};
    }};

}  // namespace

Jaccard::Jaccard(ClassificationOptions options) : ClassRatio(jaccard_definition, options) {}
Dice::Dice(ClassificationOptions options) : ClassRatio(dice_definition, options) {}

Jaccard jaccard(ClassificationOptions options) { return Jaccard(options); }
Dice dice(ClassificationOptions options) { return Dice(options); }

double jaccard(const at::Tensor& predictions, const at::Tensor& target, ClassificationOptions options) {
  return detail::number_once(jaccard(options), predictions, target);
}
double dice(const at::Tensor& predictions, const at::Tensor& target, ClassificationOptions options) {
  return detail::number_once(dice(options), predictions, target);
}

}  // namespace athanor::metrics
