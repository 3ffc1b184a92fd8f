// SPDX-License-Identifier: Apache-2.0
// An optimizer that is bound to parameters, and the recipe that it is made from.
//
//     auto adam = athanor::optim::Adam({.lr = 1e-3}).on(net);      // bound
//     loss.backward();
//     adam->step();
//     adam->zero_grad();
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "athanor/core/state.hpp"
#include "athanor/optim/clip.hpp"
#include "athanor/optim/gradient_scale.hpp"
#include "athanor/optim/parameters.hpp"
#include "athanor/optim/schedule.hpp"

namespace torch::optim {
class Optimizer;
}

namespace athanor {

/// Steps a fixed set of parameters. Its state lies under the parameters' names, in Python's layout (`exp_avg`,
/// `exp_avg_sq`, `step`, `momentum_buffer`), is allocated when the optimizer is bound, and keeps its addresses.
/// Not thread-safe.
class Optimizer {
 public:
  /// `lr`, `momentum`, `weight_decay`: what can be read and set in every group, by schedules above all. "momentum" is
  /// the first of Adam's betas, as Python's OneCycleLR has it.
  using Field = OptimizerField;
  /// Runs forward and backward of the whole update again and returns its loss.
  using Closure = std::function<at::Tensor()>;

  virtual ~Optimizer() = default;
  /// One step with the gradients that are there, divided or skipped as `scale` says. A parameter without a gradient is
  /// left alone, its state too. Throws Error for a gradient that does not fit its parameter, and for a sparse one where
  /// the optimizer is not made for it (SGD without momentum, Adagrad, SparseAdam).
  virtual void step(const GradientScale& scale) = 0;
  void step() { step(GradientScale{}); }
  /// True for optimizers that evaluate the loss several times a step (LBFGS).
  [[nodiscard]] virtual bool needs_closure() const { return false; }
  /// A step that may call `evaluate` any number of times. Returns the loss of the first evaluation; NaN when the step
  /// was left out because an evaluation was not finite.
  virtual at::Tensor step(const Closure& evaluate);

  /// Takes the gradients away, so that the next backward pass writes instead of adding. Frees their memory.
  void zero_grad();
  [[nodiscard]] const Parameters& parameters() const noexcept { return parameters_; }

  [[nodiscard]] virtual size_t groups() const = 0;
  /// A field of a group; unset when this optimizer has none of that name. Throws Error for a group that is not there.
  [[nodiscard]] virtual std::optional<double> get(Field field, size_t group = 0) const = 0;
  /// Counts from the next step on; a few nanoseconds. Throws Error for a group or field that is not there and for a
  /// value out of range, and then nothing is changed.
  virtual void set(Field field, size_t group, double value) = 0;
  /// The learning rate of a group: `get` and `set` with `Field::lr`.
  [[nodiscard]] double lr(size_t group = 0) const;
  void set_lr(size_t group, double lr) { set(Field::lr, group, lr); }
  /// From the next step on the learning rate of a group is what lies in `lr`, a float32 scalar on the CPU or beside the
  /// parameters: it can be written between steps, by a captured graph too. The fused kernels (Adam, AdamW, SGD,
  /// Adagrad) read it on its device; the others read it when they step, which waits for a device. `set` writes to it,
  /// `get` reads it, both and the state see the same number. Throws Error for an optimizer without groups of its own
  /// (LibTorch's), for another dtype, shape or device, and for a rate out of range.
  void set_lr(size_t group, at::Tensor lr) { bind_lr(group, std::move(lr)); }

  /// `Adam(lr 0.001)`
  [[nodiscard]] virtual std::string describe() const = 0;
  virtual void state(State& state) = 0;

 protected:
  explicit Optimizer(Parameters parameters) : parameters_(std::move(parameters)) {}
  virtual void bind_lr(size_t group, at::Tensor lr);

 private:
  Parameters parameters_;
};

/// `lr`, `momentum`, `weight_decay`.
[[nodiscard]] const char* name_of(Optimizer::Field field) noexcept;

namespace optim {

/// What an options struct holds: how to make an optimizer once the parameters are known. `Adam`, `AdamW`, `SGD`, or
/// an optimizer of LibTorch that is bound already.
class Recipe {
 public:
  Recipe() = default;  ///< None: the default of whoever takes it.

  template <class T>
  requires requires(const T& recipe, ParameterGroups groups) {
    { recipe.on(std::move(groups)) } -> std::convertible_to<std::shared_ptr<Optimizer>>;
    { recipe.describe() } -> std::convertible_to<std::string>;
  }
  Recipe(T recipe)
      : description_(recipe.describe()),
        make_([recipe](ParameterGroups groups) { return recipe.on(std::move(groups)); }) {}

  /// Any optimizer of `torch::optim`, used as it is. It brings its own parameters.
  template <std::derived_from<torch::optim::Optimizer> T>
  Recipe(std::shared_ptr<T> optimizer) : Recipe(std::shared_ptr<torch::optim::Optimizer>(std::move(optimizer)), 0) {}

  [[nodiscard]] bool defined() const noexcept { return make_ != nullptr; }
  [[nodiscard]] const std::string& describe() const noexcept { return description_; }
  [[nodiscard]] std::shared_ptr<Optimizer> on(ParameterGroups groups) const { return make_(std::move(groups)); }

 private:
  Recipe(std::shared_ptr<torch::optim::Optimizer> optimizer, int);
  std::string description_;
  std::function<std::shared_ptr<Optimizer>(ParameterGroups)> make_;
};

/// Wraps an optimizer of LibTorch. Its state is kept as one archive, as LibTorch writes it. LibTorch's steps know of no
/// GradientScale: a divisor costs a pass over the gradients before the step, `found_inf` is read, which waits for the
/// device.
[[nodiscard]] std::shared_ptr<Optimizer> adopt(std::shared_ptr<torch::optim::Optimizer> optimizer);

}  // namespace optim

/// An optimizer with the name under which a task knows it, and what belongs to it.
struct NamedOptimizer {
  std::string name;
  std::shared_ptr<Optimizer> optimizer;
  /// It steps in every n-th pass of the loop.
  int64_t every = 1;
  /// Changes the learning rate, or another field, in the course of the run. Unset: nothing changes.
  std::optional<Schedule> schedule = {};
  /// Keeps its gradients from being too large. Unset: they are taken as they are.
  std::optional<Clip> clip = {};
};

/// The optimizers of a task. A single one needs no name.
class Optimizers : public std::vector<NamedOptimizer> {
 public:
  using std::vector<NamedOptimizer>::vector;
  Optimizers() = default;
  Optimizers(std::shared_ptr<Optimizer> only);
  Optimizers(std::initializer_list<NamedOptimizer> named);
};

}  // namespace athanor
