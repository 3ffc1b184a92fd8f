// SPDX-License-Identifier: Apache-2.0
// Layers that are not trained, for the whole run or until later.
//
//     .callbacks = {athanor::Freeze({.patterns = {"features.*"},
//                                    .thaw = {{2_epochs, "features.7.*"}, {4_epochs, "features.*"}}})}
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "athanor/optim/parameters.hpp"
#include "athanor/train/trainer.hpp"

namespace athanor {

struct Thaw {
  Duration at;          ///< From the beginning of the run.
  std::string pattern;  ///< Parameters that are trained from then on.
};

struct FreezeOptions {
  /// Names of parameters; `*` is any run of characters, `?` is one.
  std::vector<std::string> patterns{};
  std::vector<Thaw> thaw{};
};

/// Takes parameters out of training: they need no gradient, and their optimizer leaves them and its memory of them
/// alone. A BatchNorm all of whose parameters are frozen is in eval mode meanwhile: its statistics stay and are used.
/// What is frozen follows from the position of the run alone, so a resumed run has it right. Parameters belong to an
/// optimizer all the time; give late layers smaller rates by `learning_rates_by_depth`. When fit ends, everything is as
/// before it.
class Freeze {
 public:
  explicit Freeze(FreezeOptions options);
  /// Throws Error for a pattern that fits no parameter, with the names nearest to it, for one that thaws what was not
  /// frozen, and when nothing is left to train.
  void on_fit_begin(Trainer& trainer);
  void on_step_end(Trainer& trainer);
  void on_fit_end(Trainer& trainer);
  void on_exception(Trainer& trainer) { on_fit_end(trainer); }

 private:
  struct Held {
    std::string name;
    at::Tensor parameter;
    std::optional<size_t> thaw = {};  // which one sets it free; unset: none
    bool frozen = false;
  };
  struct Norm {
    std::shared_ptr<torch::nn::Module> module;
    std::vector<at::Tensor> parameters;
    bool frozen = false;
  };
  void apply(const Elapsed& now);
  void set(Held& held, bool frozen);

  FreezeOptions options_;
  std::vector<Held> held_;
  std::vector<Norm> norms_;
};

/// A group for each child of `module`, in the order of registration, with the learning rate `lr` for the last one and
/// `decay` times less for each before it (Howard & Ruder, 2018): for `Task::parameters` and `ModelOptions::groups`.
/// `prefix`: what stands before the names of its parameters, such as `net.` when a task has several nets. Children
/// without parameters are passed over.
[[nodiscard]] std::vector<GroupPattern> learning_rates_by_depth(const torch::nn::Module& module, double lr,
                                                                double decay, const std::string& prefix = {});

}  // namespace athanor
