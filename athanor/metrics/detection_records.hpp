// SPDX-License-Identifier: Apache-2.0
// What is kept of all images, and the curves that are made of it; not for use outside.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "athanor/core/state.hpp"
#include "athanor/metrics/detection_matching.hpp"

namespace athanor::metrics::detail {

/// One class, or all together.
struct ClassCurves {
  int64_t label = 0;
  std::vector<int64_t> targets;         ///< That count, for each area.
  std::vector<double> precision;        ///< [area][threshold][recall threshold], with all detections.
  std::vector<double> recall;           ///< [area][threshold], with all detections.
  std::vector<double> recall_by_limit;  ///< [limit][threshold], of the first area.
};

/// A copy keeps its own.
class DetectionRecords {
 public:
  /// Throws Error when there was an image with an id and this one has none, or the other way round.
  void check_id(bool has_id, const char* metric) const;
  void add(const ImageMatches& image, std::optional<int64_t> id, size_t areas);
  void merge(const DetectionRecords& other, const char* metric);
  [[nodiscard]] bool empty() const noexcept { return images_ == 0; }
  /// Throws Error when an image was seen twice.
  void check_images(const char* metric) const;
  /// Every class that occurs, in ascending order.
  [[nodiscard]] std::vector<ClassCurves> curves(const MatchingRules& rules, const std::vector<int64_t>& limits,
                                                const std::vector<double>& recall_thresholds) const;
  void state(State& state);

 private:
  struct Sorted;

  [[nodiscard]] Sorted sorted(std::vector<size_t> places, size_t words) const;

  int64_t images_ = 0;
  std::vector<int64_t> ids_;  // of images; empty when they have none
  std::vector<double> scores_;
  std::vector<int64_t> labels_;
  std::vector<int64_t> image_of_;  // the id; 0 when they have none
  std::vector<int32_t> ranks_;
  std::vector<uint64_t> matched_;
  std::vector<uint64_t> ignored_;
  std::map<int64_t, std::vector<int64_t>> targets_;  // by label, for each area
};

}  // namespace athanor::metrics::detail
