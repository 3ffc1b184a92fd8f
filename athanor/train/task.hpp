// SPDX-License-Identifier: Apache-2.0
// Level 2: say what a step is; the trainer says when.
//
//     struct Autoencoder : athanor::Task {
//       torch::nn::Linear encoder = register_net("encoder", torch::nn::Linear(784, 32));
//       torch::nn::Linear decoder = register_net("decoder", torch::nn::Linear(32, 784));
//
//       athanor::StepOutput training_step(const athanor::Batch& batch, athanor::StepContext&) override {
//         const torch::Tensor& image = batch.input.tensor();
//         return torch::mse_loss(decoder(encoder(image)), image);
//       }
//       athanor::Optimizers configure_optimizers() override { return athanor::optim::Adam().on(parameters()); }
//     };
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "athanor/data/dataset.hpp"
#include "athanor/metrics/metric.hpp"
#include "athanor/optim/optimizer.hpp"
#include "athanor/train/feed.hpp"
#include "athanor/train/nets.hpp"
#include "athanor/train/step.hpp"

namespace athanor {

class Loop;
class Meter;

/// A pass over one loader, for `Task::begin_stage` and `end_stage`.
class StageContext {
 public:
  StageContext(Stage stage, int64_t epoch, std::string_view loader, Meter* meter, std::span<const Tree> kept) noexcept
      : stage_(stage), epoch_(epoch), loader_(loader), meter_(meter), kept_(kept) {}
  [[nodiscard]] Stage stage() const noexcept { return stage_; }
  /// From 1 on; 0 outside of `fit`.
  [[nodiscard]] int64_t epoch() const noexcept { return epoch_; }
  /// The name of the data; empty in training.
  [[nodiscard]] std::string_view loader() const noexcept { return loader_; }
  /// What the steps of this pass kept by `StepContext::keep`; at its end only. After a resume in mid-epoch it begins
  /// with the first step after it.
  [[nodiscard]] std::span<const Tree> kept() const noexcept { return kept_; }
  /// At the end: a value of this pass, under its prefix.
  void log(std::string_view name, double value) const;

 private:
  Stage stage_;
  int64_t epoch_;
  std::string_view loader_;
  Meter* meter_;
  std::span<const Tree> kept_;
};

/// A problem: nets, steps, optimizers, metrics. All calls come from the training thread. A task must outlive the
/// trainer's use of it. Not copyable, because trainers keep its address.
///
/// Which step a batch goes to: the one that was given with its loader (Feed), else the method of the stage. The method
/// of a stage that is not overridden hands on: `predict_step` to `test_step`, that to `validation_step`, that to
/// `training_step`. So one method serves for all, and each further one takes its stage and those behind it.
class Task {
 public:
  Task();
  virtual ~Task();
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;

  /// Forward pass of a batch that lies on the device, with gradients; nets are in train mode, but for those of their
  /// modules that were put in eval mode to freeze them. Returns the loss; the
  /// trainer does backward, clipping, step and zeroing. With several optimizers it runs once for each that is due, and
  /// `context.optimizer()` says which: backward then reaches that optimizer's parameters only.
  virtual StepOutput training_step(const Batch& batch, StepContext& context) = 0;

  /// Forward pass of a batch: no gradients, nets in eval mode.
  virtual StepOutput validation_step(const Batch& batch, StepContext& context);
  virtual StepOutput test_step(const Batch& batch, StepContext& context);
  virtual StepOutput predict_step(const Batch& batch, StepContext& context);

  /// Called with the first training batch before the first step, no gradients, nets in eval mode: the place to find
  /// mistakes in data and shapes early. What it returns is checked like the output of a step, and shows which values
  /// there will be. By default it does nothing.
  virtual StepOutput rehearsal_step(const Batch& batch, StepContext& context);

  /// The training pass of an epoch: `while (loop.next()) loop.update();`. Override it to take batches twice, to leave
  /// some out, or to do something in between; what the loop does around it stays.
  virtual void training_epoch(Loop& loop);

  /// True: the training step uses the optimizers itself, by `context.backward` and `context.optimizer_step`, and
  /// returns a loss that is only shown. It runs once for each batch, whatever the number of optimizers.
  [[nodiscard]] virtual bool manual_optimization() const { return false; }

  /// Called once, after the nets were moved to the device.
  virtual Optimizers configure_optimizers() = 0;

  /// Metrics of a stage, each pass with its own accumulators. Called once for each stage.
  virtual Metrics configure_metrics(Stage stage);

  /// Around each pass over a loader.
  virtual void begin_stage(const StageContext& context);
  virtual void end_stage(const StageContext& context);

  /// The task's own data, for `fit(task)`, `evaluate(task)` and `predict(task)` without any.
  virtual Feeds data();

  /// What is checked in the whole of the data before the first step; `example` is the output of the rehearsal. Throws
  /// Error.
  virtual void check_data(const Dataset& data, const StepOutput& example);

  /// Whatever this task remembers between steps, besides its nets. Override it when there is such a thing.
  virtual void state(State& state);

  [[nodiscard]] const Nets& nets() const noexcept { return nets_; }
  /// Nets that are used and not trained.
  [[nodiscard]] const Nets& frozen_nets() const noexcept { return frozen_; }

 protected:
  /// Makes a module part of the task and returns it, as `register_module` does.
  template <class M>
  M register_net(const std::string& name, M net) {
    if constexpr (requires { net.ptr(); }) {
      add_net(name, net.ptr(), false);
    } else {
      add_net(name, net, false);
    }
    return net;
  }

  /// A module that is used and not trained, such as a teacher: it is moved to the device, stays in eval mode, its
  /// parameters need no gradients, and it is no part of state and weights files.
  template <class M>
  M register_frozen_net(const std::string& name, M net) {
    if constexpr (requires { net.ptr(); }) {
      add_net(name, net.ptr(), true);
    } else {
      add_net(name, net, true);
    }
    return net;
  }

  /// The trainable parameters of all nets, named `path.of.module.weight`, with `NET.` before it when there are several.
  [[nodiscard]] ParameterGroups parameters() const;
  /// The same in groups: the first pattern that matches a name gives its options.
  [[nodiscard]] ParameterGroups parameters(const std::vector<GroupPattern>& patterns) const;

 private:
  void add_net(const std::string& name, std::shared_ptr<torch::nn::Module> module, bool frozen);
  Nets nets_;
  Nets frozen_;
};

}  // namespace athanor
