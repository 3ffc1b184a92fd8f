// SPDX-License-Identifier: Apache-2.0
// Several losses in one sum whose weights are learnt.
//
//     athanor::loss::UncertaintyWeighted loss({{"depth", athanor::loss::mse},
//                                              {"label", athanor::loss::cross_entropy,
//                                              athanor::loss::Noise::softmax}});
//     athanor::Model model(net, {.loss = loss});                  // the weights are trained with the net
//     register_net("loss", loss.module());                        // in a task of your own
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "athanor/nn/loss.hpp"

namespace athanor::loss {

/// What the uncertainty of a task is.
enum class Noise {
  gaussian,  ///< Of a squared or absolute error: exp(-s) / 2 x loss + s / 2.
  softmax,   ///< Of a cross entropy: exp(-s) x loss + s / 2.
};

struct UncertainTask {
  std::string
      name;  ///< Under which predictions and target have it, when they are dictionaries; in lists the place counts.
  Loss loss;
  Noise noise = Noise::gaussian;
};

/// Kendall et al. (2018): each loss is weighted by an uncertainty, whose logarithm s = log σ² is a parameter and begins
/// with 0. Predictions and target are dictionaries with the names of the tasks, or lists in their order.
///
/// The parameter is `log_variance` float32 (tasks) of a torch module: a Model trains, moves and saves it with the net,
/// whose parameters then have `net.` before their names. Copies share it.
class UncertaintyWeighted {
 public:
  /// Throws Error for no task, two of one name, and a task without a loss.
  explicit UncertaintyWeighted(std::vector<UncertainTask> tasks);
  /// Throws Error for a task that is not among predictions or target, and what its loss throws.
  at::Tensor operator()(const Tree& predictions, const Tree& target) const;
  /// s of each task.
  [[nodiscard]] const at::Tensor& log_variance() const;
  [[nodiscard]] std::shared_ptr<torch::nn::Module> module() const;

 private:
  struct Weights;
  std::vector<UncertainTask> tasks_;
  std::shared_ptr<Weights> weights_;
};

}  // namespace athanor::loss
