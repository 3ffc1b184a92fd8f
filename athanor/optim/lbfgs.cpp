// SPDX-License-Identifier: Apache-2.0
#include "athanor/optim/lbfgs.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "athanor/optim/elementwise.hpp"
#include "athanor/optim/lbfgs_history.hpp"
#include "athanor/optim/strong_wolfe.hpp"

namespace athanor::optim {
namespace {

struct LBFGSRules {
  static constexpr const char* name = "LBFGS";
  using Options = LBFGSOptions;

  template <class Visitor>
  static void walk(LBFGSOptions& o, Visitor&& visit) {
    visit("lr", o.lr, &GroupOptions::lr, detail::zero_or_more);
  }
  static void check_together(const LBFGSOptions& o, const std::string& optimizer) {
    const auto at_least = [&](const char* option, double value, double least, const char* expected) {
      detail::require(value >= least, optimizer, option, value, expected);
    };
    at_least("max_iter", static_cast<double>(o.max_iter), 1, "1 or more");
    if (o.max_eval) at_least("max_eval", static_cast<double>(*o.max_eval), 1, "1 or more");
    at_least("history_size", static_cast<double>(o.history_size), 1, "1 or more");
    at_least("tolerance_grad", o.tolerance_grad, 0, "0 or more");
    at_least("tolerance_change", o.tolerance_change, 0, "0 or more");
  }
};

std::string describe_lbfgs(const LBFGSOptions& options) {
  return "LBFGS(lr " + shortest(options.lr) +
         (options.line_search_fn == LineSearch::strong_wolfe ? ", strong_wolfe" : "") + ")";
}

/// What one step hands to the next. Copies are cheap: the tensors in it are never changed.
struct LBFGSMemory {
  int64_t func_evals = 0;
  int64_t n_iter = 0;
  double t = 0;
  double prev_loss = 0;
  at::Tensor d;
  at::Tensor prev_flat_grad;
  detail::LBFGSHistory history;

  void state(State& state) {
    state.value("func_evals", func_evals);
    state.value("n_iter", n_iter);
    state.value("t", t);
    state.value("H_diag", history.h_diag);
    state.value("prev_loss", prev_loss);
    state.tensor("d", d, State::Shape::free);
    state.tensor("prev_flat_grad", prev_flat_grad, State::Shape::free);
    auto pairs = static_cast<int64_t>(history.old_dirs.size());
    state.value("pairs", pairs);
    if (state.loading()) {
      const double h_diag = history.h_diag;
      history = {};
      history.h_diag = h_diag;
      history.old_dirs.resize(static_cast<size_t>(pairs));
      history.old_stps.resize(static_cast<size_t>(pairs));
      history.ro.resize(static_cast<size_t>(pairs));
    }
    for (size_t i = 0; i < history.old_dirs.size(); ++i) {
      const std::string number = std::to_string(i);
      state.tensor("old_dirs." + number, history.old_dirs[i], State::Shape::free);
      state.tensor("old_stps." + number, history.old_stps[i], State::Shape::free);
      state.value("ro." + number, history.ro[i]);
    }
  }
};

template <class T>
struct AlongFactors {
  T t;
};
/// Weights plus a part of the direction, which lies where other kernels have the gradient.
struct AlongKernel {
  static constexpr size_t states = 0;
  template <class T>
  using Factors = AlongFactors<T>;
  template <class T>
  ATHANOR_PACK static void update(const Factors<T>& f, detail::Pack<T>& p, detail::Pack<T> d) {
    p = multiply_add(f.t, d, p);
  }
};

/// An evaluation was not finite where the step would have gone on from.
struct NotFinite {};

class BoundLBFGS final : public Optimizer {
 public:
  BoundLBFGS(const LBFGSOptions& options, const ParameterGroups& groups)
      : Optimizer(detail::flatten(groups, LBFGSRules::name)), options_(options) {
    if (groups.size() > 1) {
      throw Error({.what = "LBFGS has one group of parameters",
                   .where = LBFGSRules::name,
                   .got = std::to_string(groups.size()) + " groups",
                   .todo = "put all parameters into one"});
    }
    detail::take_group_options<LBFGSRules>(groups.front().options, options_);
    const at::Tensor& first = parameters().front().tensor;
    for (const Parameter& parameter : parameters()) {
      const at::Tensor& tensor = parameter.tensor;
      if (tensor.device() != first.device() || tensor.scalar_type() != first.scalar_type()) {
        throw Error({.what = "the parameters of LBFGS differ in device or dtype",
                     .where = std::string(LBFGSRules::name) + ", " + parameter.name,
                     .got = athanor::describe(tensor),
                     .expected = athanor::describe(first) + ", as the first"});
      }
      tensors_.push_back(tensor);
    }
  }

  bool needs_closure() const override { return true; }
  void step(const GradientScale&) override {
    throw Error({.what = "this optimizer evaluates the loss several times, and there is only one gradient",
                 .where = describe(),
                 .expected = "step(closure)",
                 .todo =
                     "give a function that runs forward and backward and returns the loss; in a task leave the step "
                     "to the trainer, without manual optimization"});
  }

  at::Tensor step(const Closure& evaluate) override {
    if (lr_.defined()) options_.lr = lr_.item<double>();
    at::Tensor loss = evaluate();
    const at::NoGradGuard no_grad;
    const LBFGSMemory before = memory_;
    const std::vector<at::Tensor> start = copies();
    try {
      run(evaluate, loss.item<double>());
    } catch (const NotFinite&) {
      put_back(before, start);
      return at::full_like(loss.detach(), std::numeric_limits<double>::quiet_NaN());
    } catch (...) {
      put_back(before, start);
      throw;
    }
    return loss;
  }

  size_t groups() const override { return 1; }
  std::optional<double> get(Field field, size_t group) const override {
    check_group(group);
    if (field != Field::lr) return std::nullopt;
    return lr_.defined() ? lr_.item<double>() : options_.lr;
  }
  void set(Field field, size_t group, double value) override {
    check_group(group);
    if (field != Field::lr) detail::refuse_field(field, LBFGSRules::name);
    LBFGSOptions changed = options_;
    changed.lr = value;
    detail::check_options<LBFGSRules>(changed);
    options_ = changed;
    if (lr_.defined()) lr_.fill_(value);
  }
  std::string describe() const override { return describe_lbfgs(options_); }
  void state(State& state) override {
    struct RateState {
      LBFGSOptions& options;
      void state(State& state) { state.value("lr", options.lr); }
    } rate{options_};
    if (state.saving() && lr_.defined()) options_.lr = lr_.item<double>();
    state.child("param_groups.0", rate);
    if (state.loading() && lr_.defined()) lr_.fill_(options_.lr);
    state.child(parameters().front().name, memory_, State::Shape::free);
  }

 protected:
  void bind_lr(size_t group, at::Tensor lr) override {
    check_group(group);
    detail::check_lr_tensor(lr, tensors_.front().device(), LBFGSRules::name);
    set(Field::lr, group, lr.item<double>());
    lr_ = std::move(lr);
  }

 private:
  void run(const Closure& evaluate, double loss) {
    LBFGSMemory& m = memory_;
    const bool searches = options_.line_search_fn == LineSearch::strong_wolfe;
    const int64_t most_evaluations = options_.max_eval.value_or(options_.max_iter * 5 / 4);
    int64_t evaluations = 1;
    ++m.func_evals;
    at::Tensor gradient = flat_gradient();
    detail::VectorSizes sizes = detail::sizes_of(gradient);
    if (!std::isfinite(loss) || !std::isfinite(sizes.largest)) throw NotFinite();
    if (sizes.largest <= options_.tolerance_grad) return;
    for (int64_t iteration = 1; iteration <= options_.max_iter; ++iteration) {
      ++m.n_iter;
      if (m.n_iter == 1) {
        m.history = {};
      } else {
        m.history.add(gradient, m.prev_flat_grad, m.d, m.t, static_cast<size_t>(options_.history_size));
      }
      const detail::Direction direction = m.history.direction(gradient);
      m.d = direction.d;
      m.prev_flat_grad = gradient;
      m.prev_loss = loss;
      m.t = (m.n_iter == 1 ? std::min(1.0, 1 / sizes.sum) : 1.0) * options_.lr;
      // Also for NaN, where nothing is to be gained.
      if (!(direction.slope <= -options_.tolerance_change)) return;
      int64_t more = 0;
      if (searches) {
        const detail::LinePoint here{.t = 0, .loss = loss, .gradient = gradient, .slope = direction.slope};
        const detail::LineResult found = search(evaluate, here, direction, most_evaluations - evaluations);
        loss = found.point.loss;
        gradient = found.point.gradient;
        m.t = found.point.t;
        more = found.evaluations;
        go_along(direction.d, m.t);
      } else {
        go_along(direction.d, m.t);
        if (iteration != options_.max_iter) {
          loss = evaluated(evaluate);
          gradient = flat_gradient();
          more = 1;
        }
      }
      if (more > 0) sizes = detail::sizes_of(gradient);
      if (!std::isfinite(loss) || !std::isfinite(sizes.largest)) throw NotFinite();
      evaluations += more;
      m.func_evals += more;
      if (iteration == options_.max_iter || evaluations >= most_evaluations ||
          sizes.largest <= options_.tolerance_grad || direction.largest * m.t <= options_.tolerance_change ||
          std::abs(loss - m.prev_loss) < options_.tolerance_change) {
        return;
      }
    }
  }

  detail::LineResult search(const Closure& evaluate, const detail::LinePoint& here, const detail::Direction& direction,
                            int64_t most) {
    const std::vector<at::Tensor> x = copies();
    const auto at = [&](double t) {
      go_along(direction.d, t);
      detail::LinePoint point{.t = t, .loss = evaluated(evaluate), .gradient = flat_gradient(), .slope = 0};
      at::_foreach_copy_(tensors_, x);
      point.slope = (point.gradient * direction.d).sum(at::kDouble).item<double>();
      if (!std::isfinite(point.loss) || !std::isfinite(point.slope)) {
        point.loss = std::numeric_limits<double>::infinity();
      }
      return point;
    };
    return detail::strong_wolfe(at, here, memory_.t, direction.largest, options_.tolerance_change, most);
  }

  static double evaluated(const Closure& evaluate) {
    const at::AutoGradMode with_gradients(true);
    return evaluate().item<double>();
  }

  /// All gradients one after the other, a copy; zeros where there is none.
  at::Tensor flat_gradient() const {
    std::vector<at::Tensor> parts;
    for (const Parameter& parameter : parameters()) {
      at::Tensor gradient = parameter.tensor.grad();
      if (!gradient.defined()) {
        parts.push_back(at::zeros({parameter.tensor.numel()}, parameter.tensor.options().requires_grad(false)));
        continue;
      }
      if (gradient.layout() == c10::kSparse) gradient = gradient.to_dense();
      if (gradient.sizes() != parameter.tensor.sizes() || gradient.scalar_type() != parameter.tensor.scalar_type()) {
        detail::checked_gradient(parameter, LBFGSRules::name);
      }
      parts.push_back(gradient.reshape({-1}));
    }
    return at::cat(parts);
  }

  void go_along(const at::Tensor& d, double t) {
    if (has_kernels()) {
      d.scalar_type() == at::kFloat ? go_along_in_cache<float>(d, t) : go_along_in_cache<double>(d, t);
      return;
    }
    int64_t offset = 0;
    for (const at::Tensor& tensor : tensors_) {
      tensor.add_(d.narrow(0, offset, tensor.numel()).view(tensor.sizes()), t);
      offset += tensor.numel();
    }
  }

  bool has_kernels() const {
    const at::ScalarType dtype = tensors_.front().scalar_type();
    return detail::has_packs() && (dtype == at::kFloat || dtype == at::kDouble) &&
           std::all_of(tensors_.begin(), tensors_.end(),
                       [](const at::Tensor& tensor) { return tensor.is_cpu() && tensor.is_contiguous(); });
  }

  template <class T>
  void go_along_in_cache(const at::Tensor& d, double t) {
    const AlongFactors<T> factors{static_cast<T>(t)};
    std::vector<detail::ElementJob> jobs;
    T* part = static_cast<T*>(d.mutable_data_ptr());
    for (const at::Tensor& tensor : tensors_) {
      jobs.push_back({.run = &detail::run_kernel<AlongKernel, T>,
                      .numbers = {tensor.mutable_data_ptr(), part},
                      .factors = &factors,
                      .count = tensor.numel(),
                      .divisor = 1});
      part += tensor.numel();
      tensor.unsafeGetTensorImpl()->bump_version();
    }
    detail::run_elements(jobs);
  }

  std::vector<at::Tensor> copies() const {
    std::vector<at::Tensor> copies;
    for (const at::Tensor& tensor : tensors_) copies.push_back(tensor.clone());
    return copies;
  }

  void put_back(const LBFGSMemory& memory, const std::vector<at::Tensor>& values) {
    memory_ = memory;
    at::_foreach_copy_(tensors_, values);
  }

  static void check_group(size_t group) {
    if (group != 0) detail::refuse_group(group, 1, LBFGSRules::name);
  }

  LBFGSOptions options_;
  std::vector<at::Tensor> tensors_;
  LBFGSMemory memory_;
  at::Tensor lr_;
};

std::shared_ptr<Optimizer> bind_lbfgs(const LBFGSOptions& options, const ParameterGroups& groups) {
  return std::make_shared<BoundLBFGS>(options, groups);
}

}  // namespace

LBFGS::LBFGS(LBFGSOptions options)
    : OptionsRecipe(detail::checked_options<LBFGSRules>(options), bind_lbfgs, describe_lbfgs) {}

}  // namespace athanor::optim
