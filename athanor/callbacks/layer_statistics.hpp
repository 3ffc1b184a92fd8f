// SPDX-License-Identifier: Apache-2.0
// What weights, gradients and activations of each layer are like while a net learns.
//
//     auto statistics = std::make_shared<athanor::LayerStatistics>();        // every 100 steps
//     model.fit(train, {.callbacks = {statistics}});
//     for (const auto& layer : statistics->last().layers) {
//       for (const auto& each : layer.activations) std::cout << each.name << ": " << each.dead << " dead units\n";
//     }
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "athanor/callbacks/tensor_statistics.hpp"
#include "athanor/core/duration.hpp"
#include "athanor/core/owned.hpp"
#include "athanor/core/state.hpp"
#include "athanor/train/callback.hpp"

namespace athanor {

struct LayerStatisticsOptions {
  /// Steps or epochs: of each update that ends on a multiple. The steps in between cost a few comparisons. Steps where
  /// batches are given one by one (Trainer::update), because the length of an epoch is not known there.
  Duration every = Duration::steps(100);
  /// Patterns of layers, as `encoder.*`; `*` stands for any run of characters, `?` for one. A layer is a module that
  /// holds parameters or has no children, by its path; with several nets `NET.path`.
  std::vector<std::string> layers = {"*"};
  bool weights = true;
  bool gradients = true;
  bool activations = true;
  /// From where on tanh and sigmoid count as saturated: a share of their range to each side of its middle, 0 … 1.
  double saturation = 0.99;
  /// How many snapshots are kept, and saved with the run; the oldest are dropped. One is about 2 kB a tensor.
  int64_t keep = 100;
  /// Whether `update_ratio` and `dead_units` of the whole run become values of the step and the epoch.
  bool log = true;
  /// Whether `gradient_norm.PARAMETER`, `update_ratio.PARAMETER` and `dead_units.LAYER` become values of the step, for
  /// trackers.
  bool log_layers = false;
  /// Whether trackers get the histograms: `weights/PARAMETER`, `gradients/PARAMETER`, `activations/LAYER`.
  bool histograms = false;
};

/// One parameter of a layer in one update.
struct ParameterReport {
  std::string name;                              ///< `fc.weight`
  std::optional<TensorStatistics> weights = {};  ///< After the update.
  std::optional<TensorStatistics> gradients =
      {};  ///< Before clipping, without the loss scale; unset without a gradient.
  /// The norm of what the update changed over the norm of the parameter before it. About 1e-3 is usual. Unset when no
  /// optimizer stepped, for a parameter of zeros, and with an optimizer that evaluates the loss itself (LBFGS).
  std::optional<double> update_ratio = {};
};

/// What left a layer, or an activation function behind it, over all samples and micro-batches of one update, and over
/// all calls of the layer.
struct ActivationReport {
  std::string name;  ///< `fc`, and `fc:relu` for a function of forward() that was called on the output of `fc`.
  TensorStatistics values = {};
  /// Channels of convolutions, batch normalisations and what follows them; else the last dimension.
  int64_t units = 0;
  int64_t dead = 0;       ///< Units that were 0 in every sample and place.
  int64_t saturated = 0;  ///< Units of tanh and sigmoid that were at an end of their range in every sample and place.
  /// Whether it is sure that this is the layer: false for one of several without parameters and of the same kind in one
  /// module, which are told apart only by the order in which they were registered.
  bool sure = true;
};

struct LayerReport {
  std::string name;  ///< The path of the module, or its type when it is the net itself.
  std::string type;  ///< `Linear`
  std::vector<ParameterReport> parameters{};
  std::vector<ActivationReport> activations{};
};

/// Everything of one update.
struct LayerSnapshot {
  int64_t step = 0;  ///< Its number, from 1 on.
  int64_t epoch = 0;
  double gradient_norm = 0;  ///< Of all parameters that are watched.
  double update_ratio = 0;   ///< Of all parameters that are watched together; 0 when nothing changed.
  double dead_units = 0;     ///< The share of dead and saturated units in all of those watched.
  std::vector<LayerReport> layers{};

  /// Throws Error that names the layers that there are.
  [[nodiscard]] const LayerReport& operator[](std::string_view layer) const;
};

/// A callback that looks closely at one update in many. Activations are those of layers of LibTorch that compute:
/// linear, convolution, recurrent, normalisation, embedding, activation functions and softmax, and of modules without
/// children that hold parameters; not of dropout, pooling and reshaping. They are found as LayerTree and LayerTrace
/// describe: by the operators of the forward pass.
///
/// The weights are copied for the time of one update that is looked at. It draws no random numbers and changes nothing.
class LayerStatistics {
 public:
  /// Throws Error for an interval that is not a positive number of steps or epochs, and for a saturation outside of
  /// 0 … 1.
  explicit LayerStatistics(LayerStatisticsOptions options = {});
  ~LayerStatistics();
  LayerStatistics(LayerStatistics&&) noexcept;
  LayerStatistics& operator=(LayerStatistics&&) noexcept;

  /// From the oldest to the newest.
  [[nodiscard]] const std::vector<LayerSnapshot>& history() const noexcept { return history_; }
  /// Throws Error when there is none yet.
  [[nodiscard]] const LayerSnapshot& last() const;

  // ---- hooks, on the training thread
  /// Throws Error that names the layers that there are when a pattern matches none.
  void on_fit_begin(Trainer& trainer);
  void on_train_batch_begin(Trainer& trainer);
  void on_forward_begin(Trainer& trainer, MomentInfo& info);
  void on_forward_end(Trainer& trainer);
  void on_backward_end(Trainer& trainer);
  void on_optimizer_begin(Trainer& trainer, MomentInfo& info);
  void on_optimizer_end(Trainer& trainer, MomentInfo& info);
  void on_train_batch_end(Trainer& trainer);
  void on_exception(Trainer& trainer);
  void state(State& state);

  class Collector;

 private:
  [[nodiscard]] bool is_due(const Trainer& trainer) const;

  LayerStatisticsOptions options_;
  std::vector<LayerSnapshot> history_;
  Owned<Collector> collector_;
  int64_t collecting_ = -1;  // the step whose update is looked at
};

}  // namespace athanor
