// SPDX-License-Identifier: Apache-2.0
#include "athanor/nn/box_loss.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/atan2.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/minimum.h>

#include <cmath>
#include <numbers>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"
#include "athanor/core/tree.hpp"
#include "athanor/nn/loss_input.hpp"

namespace athanor::loss {
namespace {

using namespace detail;

struct Box {
  at::Tensor x0, y0, x1, y1;
  at::Tensor width() const { return (x1 - x0).clamp_min(0); }
  at::Tensor height() const { return (y1 - y0).clamp_min(0); }
  at::Tensor area() const { return width() * height(); }
};

Box corners_of(const at::Tensor& boxes, BoxFormat format) {
  const at::Tensor a = boxes.select(-1, 0), b = boxes.select(-1, 1), c = boxes.select(-1, 2), d = boxes.select(-1, 3);
  switch (format) {
    case BoxFormat::xyxy:
      break;
    case BoxFormat::xywh:
      return {a, b, a + c, b + d};
    case BoxFormat::cxcywh:
      return {a - c / 2, b - d / 2, a + c / 2, b + d / 2};
  }
  return {a, b, c, d};
}

at::Tensor overlap(const Box& p, const Box& t) {
  return Box{at::maximum(p.x0, t.x0), at::maximum(p.y0, t.y0), at::minimum(p.x1, t.x1), at::minimum(p.y1, t.y1)}.area();
}

Box enclosing(const Box& p, const Box& t) {
  return {at::minimum(p.x0, t.x0), at::minimum(p.y0, t.y0), at::maximum(p.x1, t.x1), at::maximum(p.y1, t.y1)};
}

at::Tensor aspect(const Box& box, double eps) { return at::atan2(box.width(), box.height().clamp_min(eps)); }

void check_boxes(const at::Tensor& predictions, const at::Tensor& target, BoxFormat format) {
  require_same_shape("loss::BoxOverlap", predictions, target);
  if (predictions.dim() == 0 || predictions.size(-1) != 4) {
    throw Error({.what = "a box has four numbers",
                 .where = "loss::BoxOverlap",
                 .got = describe(predictions),
                 .expected = "a last dimension of 4"});
  }
  require_finite("loss::BoxOverlap", "target", target);
  if (!target.is_cpu()) return;
  const bool corners = format == BoxFormat::xyxy;
  const at::Tensor sizes = corners ? target.slice(-1, 2, 4) - target.slice(-1, 0, 2) : target.slice(-1, 2, 4);
  const at::Tensor wrong = (sizes < 0).any(-1).flatten();
  if (!wrong.any().item<bool>()) return;
  const auto index = wrong.to(at::kByte).argmax().item<int64_t>();
  const at::Tensor box = target.reshape({-1, 4})[index].to(at::kDouble);
  std::string numbers;
  for (int64_t i = 0; i < 4; ++i) numbers += (i == 0 ? "" : ", ") + shortest(box[i].item<double>());
  throw Error(
      {.what = "a target box has a negative width or height",
       .where = "loss::BoxOverlap, target" + place_of(index, target.sizes().slice(0, target.sizes().size() - 1)),
       .got = numbers,
       .expected = corners ? "x0 <= x1 and y0 <= y1" : "a width and height of 0 or more",
       .todo = "look at BoxOverlapOptions::format and at the sample"});
}

}  // namespace

BoxOverlap::BoxOverlap(BoxOverlapOptions options) : options_(options) {
  require_option(options_.eps > 0 && std::isfinite(options_.eps), "BoxOverlapOptions::eps", options_.eps, "above 0");
}

at::Tensor BoxOverlap::by_element(const at::Tensor& predictions, const at::Tensor& target) const {
  const FullPrecision full;
  const at::Tensor x = in_full(predictions, "loss::BoxOverlap");
  check_boxes(predictions, target, options_.format);
  const Box p = corners_of(x, options_.format);
  const Box t = corners_of(target.to(x.scalar_type()), options_.format);
  const at::Tensor both = overlap(p, t);
  const at::Tensor either = p.area() + t.area() - both;
  const at::Tensor iou = both / (either + options_.eps);
  if (options_.kind == BoxKind::iou) return 1 - iou;
  const Box around = enclosing(p, t);
  if (options_.kind == BoxKind::giou) {
    const at::Tensor area = around.area();
    return 1 - iou + (area - either) / (area + options_.eps);
  }
  const at::Tensor diagonal = around.width().square() + around.height().square() + options_.eps;
  const at::Tensor apart = ((p.x0 + p.x1 - t.x0 - t.x1) / 2).square() + ((p.y0 + p.y1 - t.y0 - t.y1) / 2).square();
  at::Tensor diou = 1 - iou + apart / diagonal;
  if (options_.kind == BoxKind::diou) return diou;
  const at::Tensor v =
      (aspect(t, options_.eps) - aspect(p, options_.eps)).square() * (4 / (std::numbers::pi * std::numbers::pi));
  const at::Tensor share = (v / (1 - iou + v + options_.eps)).detach();
  return diou + share * v;
}

at::Tensor BoxOverlap::operator()(const at::Tensor& predictions, const at::Tensor& target) const {
  return by_element(predictions, target).mean();
}

}  // namespace athanor::loss
