// SPDX-License-Identifier: Apache-2.0
// Which detections of an image find which targets, by the rules of COCO's evaluation; not for use outside. No LibTorch.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "athanor/metrics/box.hpp"
#include "athanor/metrics/run_length.hpp"

namespace athanor::metrics::detail {

/// What one image holds, either boxes or masks. All vectors that are not empty have one element for each object.
struct ImageObjects {
  std::vector<int64_t> labels;
  std::vector<Box> boxes;
  std::vector<RunLengthMask> masks;
  std::vector<double> areas;
  std::vector<double> scores;  // of detections
  std::vector<char> crowd;     // of targets
};

struct MatchingRules {
  std::vector<double> thresholds;
  std::vector<std::pair<double, double>> areas;  // both ends belong to it
  int64_t most_detections = 100;
  bool by_class = true;

  /// Thresholds of the first area, then of the second, …: a bit for each.
  [[nodiscard]] size_t bits() const noexcept { return thresholds.size() * areas.size(); }
  [[nodiscard]] size_t words() const noexcept { return (bits() + 63) / 64; }
};

/// What is kept of an image.
struct ImageMatches {
  struct Detection {
    double score = 0;
    int64_t label = 0;  // 0 when classes do not count
    int32_t rank = 0;   // among those of its class in its image
  };
  struct Targets {
    int64_t label = 0;
    std::vector<int64_t> counted;  // that are not ignored, for each area
  };
  std::vector<Detection> detections;
  std::vector<uint64_t> matched;  // words() for each detection
  std::vector<uint64_t> ignored;
  std::vector<Targets> targets;
};

/// Detections in the order of their scores (of equal ones the lower label, then the one that comes first) each take the
/// target that they overlap most and that no better one has taken; a crowd can be taken again and again, and nothing
/// that is ignored is taken where something else can be.
[[nodiscard]] ImageMatches match_image(const ImageObjects& detections, const ImageObjects& targets,
                                       const MatchingRules& rules);

}  // namespace athanor::metrics::detail
