// SPDX-License-Identifier: Apache-2.0
#include "athanor/optim/sam.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>

#include <cmath>
#include <limits>

#include "athanor/core/error.hpp"
#include "athanor/optim/fused.hpp"

namespace athanor::optim {
namespace {

std::string describe_sam(const SAMOptions& options, const std::string& base) {
  return std::string(options.adaptive ? "ASAM" : "SAM") + "(rho " + shortest(options.rho) + ", " + base + ")";
}

class BoundSAM final : public Optimizer {
 public:
  BoundSAM(std::shared_ptr<Optimizer> base, SAMOptions options)
      : Optimizer(base->parameters()), base_(std::move(base)), options_(options) {}

  using Optimizer::step;
  bool needs_closure() const override { return true; }
  void step(const GradientScale&) override {
    throw Error({.what = "this optimizer evaluates the loss twice, and there is only one gradient",
                 .where = describe(),
                 .expected = "step(closure)",
                 .todo =
                     "give a function that runs forward and backward and returns the loss; in a task leave the step "
                     "to the trainer, without manual optimization"});
  }

  at::Tensor step(const Closure& evaluate) override {
    at::Tensor loss = evaluate();
    const at::Tensor first = gradient_norm(options_.adaptive);
    if (!first.defined()) return loss;
    if (first.is_cpu() && !std::isfinite(first.item<double>())) return not_a_number(loss);
    climb(first);
    try {
      evaluate();
    } catch (...) {
      return_to_start();
      throw;
    }
    return_to_start();
    const at::Tensor second = gradient_norm(/*adaptive=*/false);
    const at::NoGradGuard no_grad;
    const at::Tensor finite = second.defined() ? at::isfinite(first) & at::isfinite(second) : at::isfinite(first);
    if (finite.is_cpu()) {
      if (!finite.item<bool>()) return not_a_number(loss);
      base_->step(GradientScale{});
      return loss;
    }
    base_->step(GradientScale{.found_inf = finite.logical_not().to(at::kFloat)});
    return at::where(finite, loss, not_a_number(loss));
  }

  size_t groups() const override { return base_->groups(); }
  std::optional<double> get(Field field, size_t group) const override { return base_->get(field, group); }
  void set(Field field, size_t group, double value) override { base_->set(field, group, value); }
  std::string describe() const override { return describe_sam(options_, base_->describe()); }
  void state(State& state) override { base_->state(state); }

 protected:
  void bind_lr(size_t group, at::Tensor lr) override { base_->set_lr(group, std::move(lr)); }

 private:
  /// |T g|, undefined when there is no gradient.
  at::Tensor gradient_norm(bool adaptive) const {
    const at::NoGradGuard no_grad;
    std::vector<at::Tensor> norms;
    for (const Parameter& parameter : parameters()) {
      const at::Tensor& gradient = detail::checked_gradient(parameter, describe());
      if (!gradient.defined()) continue;
      const at::Tensor measured = adaptive ? (parameter.tensor.abs() + options_.eta) * gradient : gradient;
      const at::ScalarType dtype = measured.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
      const at::Tensor norm = at::linalg_vector_norm(measured, 2, std::nullopt, false, dtype);
      norms.push_back(norms.empty() ? norm : norm.to(norms.front().device(), norms.front().scalar_type()));
    }
    return norms.empty() ? at::Tensor() : at::linalg_vector_norm(at::stack(norms));
  }

  /// w + e, with a copy of w.
  void climb(const at::Tensor& norm) {
    const at::NoGradGuard no_grad;
    const at::Tensor scale = options_.rho / (norm + 1e-12);
    start_.resize(parameters().size());
    moved_.assign(parameters().size(), false);
    for (size_t i = 0; i < parameters().size(); ++i) {
      const at::Tensor& weight = parameters()[i].tensor;
      const at::Tensor& gradient = weight.grad();
      if (!gradient.defined()) continue;
      if (!start_[i].defined()) start_[i] = at::empty_like(weight.detach());
      start_[i].copy_(weight);
      moved_[i] = true;
      const at::Tensor step = scale.to(weight.device(), weight.scalar_type());
      if (options_.adaptive) {
        weight.detach().add_((weight.abs() + options_.eta).square_().mul_(gradient).mul_(step));
      } else {
        weight.detach().add_(gradient * step);
      }
    }
  }

  void return_to_start() {
    const at::NoGradGuard no_grad;
    for (size_t i = 0; i < moved_.size(); ++i) {
      if (moved_[i]) parameters()[i].tensor.detach().copy_(start_[i]);
    }
  }

  static at::Tensor not_a_number(const at::Tensor& loss) {
    return at::full_like(loss.detach(), std::numeric_limits<double>::quiet_NaN());
  }

  std::shared_ptr<Optimizer> base_;
  SAMOptions options_;
  std::vector<at::Tensor> start_;
  std::vector<bool> moved_;
};

}  // namespace

SAM::SAM(Recipe base, SAMOptions options) : base_(std::move(base)), options_(options) {
  if (!base_.defined()) {
    throw Error({.what = "SAM needs an optimizer to step with",
                 .where = "SAM",
                 .todo = "give one: SAM(SGD({.lr = 0.1, .momentum = 0.9}))"});
  }
  const auto above_zero = [](double value) { return value > 0 && std::isfinite(value); };
  detail::require(above_zero(options_.rho), "SAM", "rho", options_.rho, "above 0");
  detail::require(options_.eta == 0 || above_zero(options_.eta), "SAM", "eta", options_.eta, "0 or more");
}

std::shared_ptr<Optimizer> SAM::on(ParameterGroups groups) const {
  auto base = base_.on(std::move(groups));
  if (base->needs_closure()) {
    throw Error({.what = "SAM can't be put around an optimizer that evaluates the loss itself",
                 .where = describe(),
                 .got = base->describe(),
                 .expected = "one that steps with the gradients that are there"});
  }
  return std::make_shared<BoundSAM>(std::move(base), options_);
}

std::string SAM::describe() const { return describe_sam(options_, base_.describe()); }

}  // namespace athanor::optim
