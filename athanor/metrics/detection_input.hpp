// SPDX-License-Identifier: Apache-2.0
// One image of a batch of detections, read from its dictionaries and checked; not for use outside.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "athanor/core/tree.hpp"
#include "athanor/metrics/boxes.hpp"
#include "athanor/metrics/detection_matching.hpp"

namespace athanor::metrics::detail {

struct DetectionImage {
  ImageObjects detections;
  ImageObjects targets;
};

/// Tensors on the CPU. Throws Error, whose place begins with `where`, for what detection.hpp does not allow.
[[nodiscard]] DetectionImage read_detections(const Tree& prediction, const Tree& target, bool masks, BoxFormat format,
                                             const std::string& where);

/// The image_id of a target, if it has one. Throws Error for one that is no integer.
[[nodiscard]] std::optional<int64_t> read_image_id(const Tree& target, const std::string& where);

}  // namespace athanor::metrics::detail
