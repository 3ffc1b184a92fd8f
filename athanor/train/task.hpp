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
#include <string>

#include "athanor/data/dataset.hpp"
#include "athanor/metrics/metric.hpp"
#include "athanor/optim/optimizer.hpp"
#include "athanor/train/nets.hpp"
#include "athanor/train/step.hpp"

namespace athanor {

/// A problem: nets, steps, optimizers, metrics. All calls come from the training thread. A task must outlive the
/// trainer's use of it. Not copyable, because trainers keep its address.
class Task {
 public:
  Task() = default;
  virtual ~Task() = default;
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;

  /// Forward pass of a batch that lies on the device, with gradients; nets are in train mode, but for those of their
  /// modules that were put in eval mode to freeze them. Returns the loss; the
  /// trainer does backward, step and zeroing. With several optimizers it runs once for each that is due, and
  /// `context.optimizer()` says which: backward then reaches that optimizer's parameters only.
  virtual StepOutput training_step(const Batch& batch, StepContext& context) = 0;

  /// Forward pass of a batch for validation, test and prediction: no gradients, nets in eval mode. By default the
  /// training step.
  virtual StepOutput validation_step(const Batch& batch, StepContext& context) { return training_step(batch, context); }

  /// Called with the first training batch before the first step, no gradients, nets in eval mode: the place to find
  /// mistakes in data and shapes early. What it returns is checked like the output of a step, and shows which values
  /// there will be. By default it does nothing.
  virtual StepOutput rehearsal_step(const Batch&, StepContext&) { return {}; }

  /// Called once, after the nets were moved to the device.
  virtual Optimizers configure_optimizers() = 0;

  /// Metrics of training and validation, each with its own accumulators. Called once.
  virtual Metrics configure_metrics() { return {}; }

  /// What is checked in the whole of the data before the first step; `example` is the output of the rehearsal. Throws
  /// Error.
  virtual void check_data(const Dataset&, const StepOutput& /*example*/) {}

  /// Whatever this task remembers between steps, besides its nets. Override it when there is such a thing.
  virtual void state(State&) {}

  [[nodiscard]] const Nets& nets() const noexcept { return nets_; }

 protected:
  /// Makes a module part of the task and returns it, as `register_module` does.
  template <class M>
  M register_net(const std::string& name, M net) {
    if constexpr (requires { net.ptr(); }) {
      add_net(name, net.ptr());
    } else {
      add_net(name, net);
    }
    return net;
  }

  /// The trainable parameters of all nets.
  [[nodiscard]] ParameterGroups parameters() const;

 private:
  void add_net(const std::string& name, std::shared_ptr<torch::nn::Module> module);
  Nets nets_;
};

}  // namespace athanor
