// SPDX-License-Identifier: Apache-2.0
#include "athanor/callbacks/progressive_resizing.hpp"

#include <ATen/ops/_upsample_bilinear2d_aa.h>
#include <ATen/ops/upsample_bilinear2d.h>

#include <string>

#include "athanor/core/error.hpp"

namespace athanor {

ProgressiveResizing::ProgressiveResizing(ProgressiveResizingOptions options) : options_(std::move(options)) {
  const auto refuse = [](const std::string& what, const std::string& got, const std::string& expected) {
    throw Error({.what = what, .where = "ProgressiveResizingOptions::sizes", .got = got, .expected = expected});
  };
  if (options_.sizes.empty())
    refuse("there are no sizes", "none", "one or more, such as {.epoch = 1, .height = 96, …}");
  int64_t epoch = 0;
  for (const ImageSize& size : options_.sizes) {
    if (size.epoch <= epoch) {
      refuse("the epochs of the sizes do not grow", std::to_string(size.epoch) + " after " + std::to_string(epoch),
             "epochs from 1 on, each larger than the one before it");
    }
    epoch = size.epoch;
    const bool unchanged = size.height == 0 && size.width == 0;
    if (unchanged || (size.height > 0 && size.width > 0)) continue;
    refuse("an image size is out of range", std::to_string(size.height) + " x " + std::to_string(size.width),
           "both 1 or more, or both 0 for the size of the data");
  }
}

void ProgressiveResizing::on_train_batch_begin(Trainer&, MomentInfo& info) {
  ImageSize size;
  for (const ImageSize& each : options_.sizes) {
    if (each.epoch <= info.context->epoch()) size = each;
  }
  if (size.height == 0) return;
  bool found = false;
  info.batch->input = info.batch->input.map([&](const at::Tensor& tensor) {
    if (!tensor.defined() || tensor.dim() != 4) return tensor;
    if (!tensor.is_floating_point()) {
      throw Error({.what = "images of an integer dtype can't be resized",
                   .where = "ProgressiveResizing",
                   .got = describe(tensor),
                   .expected = "a floating dtype",
                   .todo = "convert them in the data set"});
    }
    found = true;
    if (tensor.size(2) == size.height && tensor.size(3) == size.width) return tensor;
    const std::vector<int64_t> to = {size.height, size.width};
    return options_.antialias ? at::_upsample_bilinear2d_aa(tensor, to, /*align_corners=*/false)
                              : at::upsample_bilinear2d(tensor, to, /*align_corners=*/false);
  });
  if (found) return;
  throw Error({.what = "there are no images to resize",
               .where = "ProgressiveResizing",
               .got = info.batch->input.describe(),
               .expected = "a tensor (N, C, H, W) in the input"});
}

}  // namespace athanor
