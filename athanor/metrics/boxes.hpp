// SPDX-License-Identifier: Apache-2.0
// Boxes and how much they overlap.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "athanor/metrics/box.hpp"

namespace athanor::metrics {

/// What the four numbers of a box are.
enum class BoxFormat {
  xyxy,    ///< Two corners, x0 <= x1 and y0 <= y1.
  xywh,    ///< The upper left corner, width, height: COCO's files.
  cxcywh,  ///< The middle, width, height: YOLO and DETR.
};

/// The overlap of each of (N, 4) with each of (M, 4), any real dtype: float64 (N, M) on the CPU. Waits for the device.
/// Throws Error for other shapes, boxes that are not finite, and negative widths and heights, with the row.
[[nodiscard]] at::Tensor box_iou(const at::Tensor& predictions, const at::Tensor& targets,
                                 BoxFormat format = BoxFormat::xyxy);

namespace detail {

/// (N, 4), or an empty tensor, on the CPU, calculated in float64. Throws Error that begins its place with `where`.
[[nodiscard]] std::vector<Box> read_boxes(const at::Tensor& boxes, BoxFormat format, const std::string& where);

/// The elements of a tensor on the CPU as float64.
[[nodiscard]] std::vector<double> read_doubles(const at::Tensor& values);

}  // namespace detail
}  // namespace athanor::metrics
