// SPDX-License-Identifier: Apache-2.0
#include "athanor/optim/lookahead.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/_foreach_lerp.h>

#include <algorithm>
#include <cmath>

#include "athanor/core/error.hpp"
#include "athanor/optim/fused.hpp"

namespace athanor::optim {
namespace {

std::string describe_lookahead(const LookaheadOptions& options, const std::string& base) {
  return "Lookahead(k " + std::to_string(options.k) + ", alpha " + shortest(options.alpha) + ", " + base + ")";
}

class BoundLookahead final : public Optimizer {
 public:
  BoundLookahead(std::shared_ptr<Optimizer> base, LookaheadOptions options)
      : Optimizer(base->parameters()), base_(std::move(base)), options_(options) {
    const at::NoGradGuard no_grad;
    for (const Parameter& parameter : parameters()) {
      fast_.push_back(parameter.tensor);
      slow_.push_back(parameter.tensor.clone());
    }
  }

  using Optimizer::step;
  bool needs_closure() const override { return base_->needs_closure(); }
  void step(const GradientScale& scale) override {
    begin();
    base_->step(scale);
    const bool has_gradients =
        std::any_of(fast_.begin(), fast_.end(), [](const auto& w) { return w.grad().defined(); });
    if (has_gradients && (!scale.found_inf.defined() || scale.found_inf.item<float>() == 0)) count();
  }
  at::Tensor step(const Closure& evaluate) override {
    begin();
    at::Tensor loss = base_->step(evaluate);
    if (!needs_closure() || std::isfinite(loss.item<double>())) count();
    return loss;
  }

  size_t groups() const override { return base_->groups(); }
  std::optional<double> get(Field field, size_t group) const override { return base_->get(field, group); }
  void set(Field field, size_t group, double value) override { base_->set(field, group, value); }
  std::string describe() const override { return describe_lookahead(options_, base_->describe()); }
  void state(State& state) override {
    base_->state(state);
    Own own{*this};
    state.child("lookahead", own);
  }

 protected:
  void bind_lr(size_t group, at::Tensor lr) override { base_->set_lr(group, std::move(lr)); }

 private:
  struct SlowWeights {
    BoundLookahead& of;
    void state(State& state) {
      for (size_t i = 0; i < of.slow_.size(); ++i) state.tensor(of.parameters()[i].name, of.slow_[i]);
    }
  };
  struct Own {
    BoundLookahead& of;
    void state(State& state) {
      state.value("steps", of.steps_);
      SlowWeights slow{of};
      state.child("slow_weights", slow);
    }
  };

  /// Between two of their steps slow and fast weights are the same, whoever has changed them.
  void begin() {
    if (steps_ % options_.k != 0) return;
    const at::NoGradGuard no_grad;
    at::_foreach_copy_(slow_, fast_);
  }
  void count() {
    if (++steps_ % options_.k != 0) return;
    const at::NoGradGuard no_grad;
    at::_foreach_lerp_(slow_, fast_, options_.alpha);
    at::_foreach_copy_(fast_, slow_);
  }

  std::shared_ptr<Optimizer> base_;
  LookaheadOptions options_;
  std::vector<at::Tensor> fast_, slow_;
  int64_t steps_ = 0;
};

}  // namespace

Lookahead::Lookahead(Recipe base, LookaheadOptions options) : base_(std::move(base)), options_(options) {
  if (!base_.defined()) {
    throw Error({.what = "Lookahead needs an optimizer to follow",
                 .where = "Lookahead",
                 .todo = "give one: Lookahead(AdamW({.lr = 1e-3}))"});
  }
  detail::require(options_.k >= 1, "Lookahead", "k", static_cast<double>(options_.k), "1 or more");
  detail::require(options_.alpha > 0 && options_.alpha <= 1, "Lookahead", "alpha", options_.alpha, "above 0 up to 1");
}

std::shared_ptr<Optimizer> Lookahead::on(ParameterGroups groups) const {
  return std::make_shared<BoundLookahead>(base_.on(std::move(groups)), options_);
}

std::string Lookahead::describe() const { return describe_lookahead(options_, base_.describe()); }

}  // namespace athanor::optim
