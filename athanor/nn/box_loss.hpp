// SPDX-License-Identifier: Apache-2.0
// Losses of boxes by their overlap: IoU, GIoU, DIoU, CIoU.
//
//     .loss = athanor::loss::BoxOverlap({.kind = athanor::loss::BoxKind::ciou})
#pragma once

#include <ATen/core/Tensor.h>

namespace athanor::loss {

enum class BoxKind {
  iou,   ///< 1 - IoU; no gradient for boxes that do not touch.
  giou,  ///< With the part of the enclosing box that neither covers (Rezatofighi et al., 2019).
  diou,  ///< With the distance of the centres (Zheng et al., 2020).
  ciou,  ///< DIoU with the aspect ratios.
};

enum class BoxFormat {
  xyxy,    ///< Two corners, x0 <= x1 and y0 <= y1.
  xywh,    ///< The upper left corner, width and height.
  cxcywh,  ///< The centre, width and height.
};

struct BoxOverlapOptions {
  BoxKind kind = BoxKind::giou;
  BoxFormat format = BoxFormat::xyxy;
  double eps = 1e-7;  ///< Added to what is divided by.
};

/// The mean loss of predicted boxes (…, 4) and their targets of the same shape, as torchvision's
/// `generalized_box_iou_loss` and its kin. A predicted box whose corners are swapped has no area. What holds for all
/// losses is in classification_loss.hpp.
class BoxOverlap {
 public:
  /// Throws Error for options out of range.
  explicit BoxOverlap(BoxOverlapOptions options = {});
  /// Throws Error for shapes that differ or do not end with 4, for no boxes, and on the CPU for target boxes that are
  /// not finite or have a negative width or height.
  at::Tensor operator()(const at::Tensor& predictions, const at::Tensor& target) const;
  /// (…), one for each box.
  [[nodiscard]] at::Tensor by_element(const at::Tensor& predictions, const at::Tensor& target) const;

 private:
  BoxOverlapOptions options_;
};

}  // namespace athanor::loss
