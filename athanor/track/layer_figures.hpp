// SPDX-License-Identifier: Apache-2.0
// What layers hold and what leaves them, as pictures: filters, channels, histograms.
//
//     athanor::filter_figure(net->conv1->weight).save("filters.png");
//     athanor::layer_statistics_figure(statistics->last()).save("layers.svg");
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>

#include "athanor/callbacks/layer_statistics.hpp"
#include "athanor/core/batch.hpp"
#include "athanor/track/figure.hpp"
#include "athanor/train/events.hpp"
#include "athanor/train/nets.hpp"

namespace athanor {

class Task;

struct FilterFigureOptions {
  std::string title = "Filters";
  int64_t most = 64;  ///< At most so many filters are shown, the first ones; the summary says how many there are.
  int tile = 56;
  Theme theme = Theme::light;
};

/// Weights of a convolution, floating (O, I, h, w). Three inputs are a colour picture, one for each filter, grey for 0;
/// any other number are signed pictures, blue below zero, red above: one for each input, for the first eight inputs of
/// each filter. The scale is the greatest magnitude of all. A matrix (O, I) of a linear layer is one signed picture.
///
/// Throws Error for another shape and for weights that are not finite.
[[nodiscard]] Figure filter_figure(const at::Tensor& weights, const FilterFigureOptions& options = {});

struct ActivationFigureOptions {
  std::string title = "Activations";
  int64_t most = 64;  ///< At most so many channels are shown, the first ones.
  int tile = 72;
  Theme theme = Theme::light;
};

/// The channels of one sample, floating (K, h, w), or units (K) or (T, K) as one picture; brighter is more, and signed
/// ones are blue and red. All have one scale, which the summary says. Throws Error for another shape and for numbers
/// that are not finite.
[[nodiscard]] Figure activation_figure(const at::Tensor& activations, const ActivationFigureOptions& options = {});

/// What leaves a layer of a task, such as that of a Model, for a batch that lies on the device of its nets; detached.
/// In eval mode, without gradients, by `Task::predict_step`. Throws Error that names the layers that there are.
[[nodiscard]] at::Tensor layer_output(Task& task, const std::string& layer, const Batch& batch);

struct HistogramFigureOptions {
  std::string title = "Histogram";
  std::string summary = {};  ///< Empty: count, mean and range.
  std::string name = {};     ///< Of what is counted, at the axis.
  Theme theme = Theme::light;
};
/// Bars over their edges. Throws Error for a histogram whose edges and counts do not belong together.
[[nodiscard]] Figure histogram_figure(const events::Histogram& histogram, const HistogramFigureOptions& options = {});

struct LayerStatisticsFigureOptions {
  std::string title = "Layers";
  int64_t most = 24;  ///< At most so many lines, the first ones.
  Theme theme = Theme::light;
};
/// A line for each parameter and each activation of a snapshot: how its weights, gradients and activations are spread,
/// each as a small histogram with mean and standard deviation. Dead and saturated units are said beside them.
[[nodiscard]] Figure layer_statistics_figure(const LayerSnapshot& snapshot,
                                             const LayerStatisticsFigureOptions& options = {});

}  // namespace athanor
