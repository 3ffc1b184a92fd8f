// SPDX-License-Identifier: Apache-2.0
// Whether a model is as sure as it is right: the reliability diagram (Guo and others, 2017).
//
//     athanor::ReliabilityCounts counts;
//     for (each batch) counts.update(logits, target);
//     athanor::reliability_diagram(counts.compute()).save("calibration.svg");
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "athanor/track/figure.hpp"

namespace athanor {

/// The samples whose confidence lies from `low` to `high`, exclusive. The last bin is a confidence of exactly 1, as in
/// metrics::CalibrationError, and `low` and `high` are 1.
struct ReliabilityBin {
  double low = 0;
  double high = 0;
  int64_t samples = 0;
  double confidence = 0;  ///< Their mean; 0 without samples.
  double accuracy = 0;    ///< The part of them that is right; 0 without samples.
};

struct Reliability {
  std::vector<ReliabilityBin> bins{};
  int64_t samples = 0;
  double confidence = 0;
  double accuracy = 0;
  /// The expected calibration error: mean distance of confidence and accuracy of the bins, weighted by samples. The
  /// number that metrics::calibration_error gives.
  double expected_error = 0;
  double greatest_error = 0;  ///< That of the worst bin.
};

struct ReliabilityOptions {
  /// Equally wide bins of confidence from 0 to 1, and one for exactly 1.
  int64_t bins = 15;
  /// Predictions are logits. False: probabilities.
  bool from_logits = true;
  /// Targets with this value are left out. Unset: none.
  std::optional<int64_t> ignore_index = {};
};

/// Adds batches up, exactly whatever their sizes.
class ReliabilityCounts {
 public:
  /// Throws Error for fewer bins than 1.
  explicit ReliabilityCounts(ReliabilityOptions options = {});
  /// Predictions (N, C), floating: the confidence is the greatest probability of a row, right when its class is the
  /// target, whole numbers (N). Predictions (N) or (N, 1): the probability of class 1, and whether it is true. Waits
  /// for the device. Throws Error, and adds nothing, for other shapes, a target out of range, NaN, and probabilities
  /// outside of 0 … 1.
  void update(const at::Tensor& predictions, const at::Tensor& target);
  /// Throws Error when nothing was added.
  [[nodiscard]] Reliability compute() const;
  [[nodiscard]] bool empty() const noexcept;
  void reset();

 private:
  ReliabilityOptions options_;
  std::vector<double> sums_;  // (3, bins + 1): samples, their confidence, how many are right
};

/// Of these tensors alone.
[[nodiscard]] Reliability reliability(const at::Tensor& predictions, const at::Tensor& target,
                                      ReliabilityOptions options = {});

struct ReliabilityDiagramOptions {
  std::string title = "Calibration";
  Theme theme = Theme::light;
};

/// A bar for the accuracy of each bin, in other colours where it is above or below the mean confidence of the bin, and
/// below how many samples there are. The summary has the expected calibration error, and says whether the model is too
/// sure or not sure enough.
[[nodiscard]] Figure reliability_diagram(const Reliability& reliability, const ReliabilityDiagramOptions& options = {});

}  // namespace athanor
