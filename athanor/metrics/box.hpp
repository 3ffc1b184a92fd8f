// SPDX-License-Identifier: Apache-2.0
// One box, without LibTorch; boxes.hpp has tensors.
#pragma once

#include <algorithm>

namespace athanor::metrics {

/// A box in COCO's form, on which its evaluation is defined.
struct Box {
  double x = 0;
  double y = 0;
  double width = 0;
  double height = 0;

  [[nodiscard]] double area() const noexcept { return width * height; }
  friend bool operator==(const Box&, const Box&) = default;
};

/// Intersection over union; of a crowd, intersection over the area of `prediction`. 0 for boxes that only touch.
[[nodiscard]] inline double box_iou(const Box& prediction, const Box& target, bool crowd = false) noexcept {
  const double width =
      std::min(prediction.width + prediction.x, target.width + target.x) - std::max(prediction.x, target.x);
  const double height =
      std::min(prediction.height + prediction.y, target.height + target.y) - std::max(prediction.y, target.y);
  if (width <= 0 || height <= 0) return 0;
  const double both = width * height;
  return both / (crowd ? prediction.area() : prediction.area() + target.area() - both);
}

}  // namespace athanor::metrics
