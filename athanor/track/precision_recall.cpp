// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/precision_recall.hpp"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"

namespace athanor::track {

events::PrecisionRecall precision_recall(const at::Tensor& scores, const at::Tensor& targets, int64_t thresholds) {
  constexpr const char* where = "track::precision_recall";
  const bool fits = scores.defined() && targets.defined() && scores.dim() == 1 && scores.sizes() == targets.sizes() &&
                    scores.is_floating_point() && !targets.is_floating_point() && !targets.is_complex();
  if (!fits || thresholds < 2) {
    std::ostringstream got;
    if (scores.defined()) got << "scores " << scores.toString() << scores.sizes();
    if (targets.defined()) got << ", targets " << targets.toString() << targets.sizes();
    throw Error({.what = "a precision-recall curve needs scores and targets of one shape",
                 .where = where,
                 .got = got.str() + ", " + std::to_string(thresholds) + " thresholds",
                 .expected = "floating (N), bool or integer (N), and 2 or more thresholds"});
  }
  const at::Tensor values = scores.detach().to(at::kCPU, at::kDouble).contiguous();
  const at::Tensor labels = targets.detach().to(at::kCPU, at::kLong).contiguous();
  const double* score = values.const_data_ptr<double>();
  const int64_t* label = labels.const_data_ptr<int64_t>();
  // How many of each class reach the threshold i and not the next one.
  std::vector<double> positives(static_cast<size_t>(thresholds));
  std::vector<double> negatives(static_cast<size_t>(thresholds));
  for (int64_t i = 0; i < values.numel(); ++i) {
    if (!(score[i] >= 0 && score[i] <= 1) || (label[i] != 0 && label[i] != 1)) {
      throw Error({.what = "a score or a target is out of range",
                   .where = std::string(where) + ", sample " + std::to_string(i),
                   .got = shortest(score[i]) + ", " + std::to_string(label[i]),
                   .expected = "0 to 1, and 0 or 1"});
    }
    const double last = static_cast<double>(thresholds - 1);
    auto bin = static_cast<int64_t>(std::floor(score[i] * last));
    // The product is rounded: it is the thresholds themselves that decide.
    while (bin + 1 < thresholds && static_cast<double>(bin + 1) / last <= score[i]) bin += 1;
    while (bin > 0 && static_cast<double>(bin) / last > score[i]) bin -= 1;
    (label[i] == 1 ? positives : negatives)[static_cast<size_t>(bin)] += 1;
  }
  events::PrecisionRecall curve;
  curve.points.resize(static_cast<size_t>(thresholds));
  double all_positives = 0;
  double all_negatives = 0;
  for (const double count : positives) all_positives += count;
  for (const double count : negatives) all_negatives += count;
  double true_positives = 0;
  double false_positives = 0;
  for (size_t i = curve.points.size(); i-- > 0;) {
    true_positives += positives[i];
    false_positives += negatives[i];
    curve.points[i] = {.true_positives = true_positives,
                       .false_positives = false_positives,
                       .true_negatives = all_negatives - false_positives,
                       .false_negatives = all_positives - true_positives};
  }
  return curve;
}

}  // namespace athanor::track
