// SPDX-License-Identifier: Apache-2.0
// Samples as a grid of images, with what they are and what a model takes them for.
//
//     athanor::sample_grid(train, {.names = {"cat", "dog"}}).save("samples.png");
//     athanor::sample_grid(top->ranking(), {.title = "Worst samples", .names = names}).save("worst.svg");
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "athanor/callbacks/top_samples.hpp"
#include "athanor/data/dataset.hpp"
#include "athanor/track/figure.hpp"

namespace athanor {

struct SampleGridOptions {
  std::string title = "Samples";
  /// How many samples of a data set or a ranking; the first ones. Unset: 16, or all when there are fewer.
  std::optional<int64_t> count = {};
  /// Which samples of a data set; empty: the first `count`.
  std::vector<int64_t> indices{};
  /// What is written below each image. Empty: its target, or what it is taken for.
  std::vector<std::string> titles{};
  /// The names of the classes, in the order of their numbers. Empty: the numbers.
  std::vector<std::string> names{};
  /// What a model says of the images that are shown: classes, whole numbers (N), or scores, floating (N, C). Where it
  /// differs from the target, the image is framed.
  at::Tensor predictions = {};
  /// Scores are logits. False: probabilities.
  bool from_logits = true;
  /// Of a ranking: its worst samples, the worst first. False: its best.
  bool worst = true;
  /// Unset: somewhat broader than high.
  std::optional<int64_t> columns = {};
  /// The longer side of an image, in pixels of the figure; smaller images are enlarged by whole numbers.
  int tile = 112;
  /// What a normalisation took away, one number or one for each channel: x * deviation + mean is shown, 0 as black, 1
  /// as white.
  std::vector<double> mean{};
  std::vector<double> deviation{};
  /// What is black and what is white. Unset: 0 and 1 (255 for uint8); when floating numbers lie outside, the least and
  /// the greatest of all, which the figure then says.
  std::optional<std::pair<double, double>> range = {};
  /// Whether pixels that are NaN or infinite are magenta. False: they are an Error that names the image.
  bool mark_non_finite = false;
  Theme theme = Theme::light;
};

/// Images (N, H, W) or (N, C, H, W) with 1 (grey), 3 (RGB) or 4 (RGBA) channels: uint8, bool, or floating; on any
/// device, which is waited for. `target` may be undefined, classes (N), or other numbers (N).
///
/// Throws Error for another shape or dtype, no image, titles, predictions or targets for another number of images, a
/// class without a name, and for a NaN in an image, which it names.
[[nodiscard]] Figure sample_grid(const at::Tensor& images, const SampleGridOptions& options = {},
                                 const at::Tensor& target = {});

/// The first tensor of the input of each sample is its image, the first of its target the target. Throws Error also
/// for a `count` above the number of samples and an index out of range.
[[nodiscard]] Figure sample_grid(const Dataset& data, const SampleGridOptions& options = {});

/// The samples of a ranking with their values and their numbers in the data set; a whole first tensor of the prediction
/// with one dimension is scores. `indices` and `predictions` are not used. Throws Error also for a `count` above the
/// number of samples that are kept.
[[nodiscard]] Figure sample_grid(const SampleRanking& ranking, const SampleGridOptions& options = {});

}  // namespace athanor
