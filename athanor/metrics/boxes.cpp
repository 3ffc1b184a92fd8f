// SPDX-License-Identifier: Apache-2.0
#include "athanor/metrics/boxes.hpp"

#include <ATen/ops/empty.h>

#include <cmath>
#include <string>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"
#include "athanor/core/tree.hpp"

namespace athanor::metrics {
namespace detail {
namespace {

const char* format_name(BoxFormat format) {
  return format == BoxFormat::xyxy ? "xyxy" : format == BoxFormat::xywh ? "xywh" : "cxcywh";
}

Box box_of(const double* row, BoxFormat format) {
  switch (format) {
    case BoxFormat::xyxy:
      return {row[0], row[1], row[2] - row[0], row[3] - row[1]};
    case BoxFormat::cxcywh:
      return {row[0] - row[2] / 2, row[1] - row[3] / 2, row[2], row[3]};
    default:
      return {row[0], row[1], row[2], row[3]};
  }
}

std::string box_text(const double* row) {
  return "(" + shortest(row[0]) + ", " + shortest(row[1]) + ", " + shortest(row[2]) + ", " + shortest(row[3]) + ")";
}

}  // namespace

std::vector<double> read_doubles(const at::Tensor& values) {
  const auto whole = values.expect_contiguous();
  const auto count = static_cast<size_t>(whole->numel());
  if (whole->scalar_type() == at::kFloat) {
    const auto* first = whole->const_data_ptr<float>();
    return {first, first + count};
  }
  const at::Tensor wide = whole->to(at::kDouble);
  const auto* first = wide.const_data_ptr<double>();
  return {first, first + count};
}

std::vector<Box> read_boxes(const at::Tensor& boxes, BoxFormat format, const std::string& where) {
  const bool empty = boxes.defined() && boxes.numel() == 0 && boxes.dim() > 0 && boxes.size(0) == 0;
  if (!boxes.defined() || boxes.is_complex() || (!empty && (boxes.dim() != 2 || boxes.size(1) != 4))) {
    throw Error({.what = "the shape of boxes does not fit",
                 .where = where,
                 .got = describe(boxes),
                 .expected = "(N, 4), four real numbers for each box"});
  }
  const std::vector<double> numbers = read_doubles(boxes);
  std::vector<Box> read(numbers.size() / 4);
  for (size_t i = 0; i < read.size(); ++i) {
    const double* row = numbers.data() + 4 * i;
    const Box box = read[i] = box_of(row, format);
    const bool finite = std::isfinite(box.x) && std::isfinite(box.y) && std::isfinite(box.width + box.height);
    if (finite && box.width >= 0 && box.height >= 0) continue;
    throw Error({.what = finite ? "a box has a negative width or height" : "a box is not finite",
                 .where = where + ", box " + std::to_string(i),
                 .got = box_text(row) + " as " + format_name(format),
                 .expected = format == BoxFormat::xyxy ? "x0 <= x1 and y0 <= y1" : "a width and a height of at least 0",
                 .todo = finite ? "look whether the boxes are in another format, and say it with .format" : ""});
  }
  return read;
}

}  // namespace detail

at::Tensor box_iou(const at::Tensor& predictions, const at::Tensor& targets, BoxFormat format) {
  const auto on_cpu = [](const at::Tensor& boxes) { return boxes.defined() ? boxes.detach().cpu() : boxes; };
  const std::vector<Box> rows = detail::read_boxes(on_cpu(predictions), format, "box_iou, predictions");
  const std::vector<Box> columns = detail::read_boxes(on_cpu(targets), format, "box_iou, targets");
  at::Tensor result = at::empty({static_cast<int64_t>(rows.size()), static_cast<int64_t>(columns.size())}, at::kDouble);
  auto* next = result.mutable_data_ptr<double>();
  for (const Box& row : rows) {
    for (const Box& column : columns) *next++ = box_iou(row, column);
  }
  return result;
}

}  // namespace athanor::metrics
