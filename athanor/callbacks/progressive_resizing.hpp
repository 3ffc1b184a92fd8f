// SPDX-License-Identifier: Apache-2.0
// Training on small images first.
//
//     .callbacks = {athanor::ProgressiveResizing({.sizes = {{.epoch = 1, .height = 96, .width = 96},
//                                                           {.epoch = 6, .height = 128, .width = 128},
//                                                           {.epoch = 11}}})}        // as the data come
#pragma once

#include <vector>

#include "athanor/train/trainer.hpp"

namespace athanor {

/// From an epoch on.
struct ImageSize {
  int64_t epoch = 1;   ///< From 1 on.
  int64_t height = 0;  ///< In pixels; 0 for both: as the data come.
  int64_t width = 0;
};

struct ProgressiveResizingOptions {
  /// In the order of the epochs. Before the first of them images stay as they are.
  std::vector<ImageSize> sizes{};
  /// Whether images that become smaller are filtered first, as PIL and torchvision do; without it fine patterns turn
  /// into coarse ones that are not there. Makes no difference to images that become larger.
  bool antialias = true;
};

/// Resizes the images of training batches, bilinear with half-pixel centres, as torchvision.transforms.v2.Resize: every
/// tensor (N, C, H, W) of the input, of a floating dtype. Other tensors of the input and the target stay as they are;
/// so does validation, whose images have the size that the model will meet. The net must take images of several sizes.
/// Put it before MixSamples: there is less to mix then.
class ProgressiveResizing {
 public:
  /// Throws Error for no sizes, for epochs that do not grow, and for a size below 1.
  explicit ProgressiveResizing(ProgressiveResizingOptions options);

  // ---- hooks
  /// Throws Error for a batch without images, and for images of an integer dtype.
  void on_train_batch_begin(Trainer& trainer, MomentInfo& info);

 private:
  ProgressiveResizingOptions options_;
};

}  // namespace athanor
