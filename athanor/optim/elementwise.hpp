// SPDX-License-Identifier: Apache-2.0
// Optimizers whose new weight depends on one number of each tensor at a time: once through memory on a CPU, LibTorch's
// list operators elsewhere.
#pragma once

#include <ATen/core/grad_mode.h>

#include <array>
#include <deque>
#include <span>
#include <utility>

#include "athanor/core/host_scalar.hpp"
#include "athanor/optim/grouped.hpp"
#include "athanor/optim/pack.hpp"

namespace athanor::optim::detail {

/// The numbers of one parameter, and what is done to them.
struct ElementJob {
  /// The numbers from `begin` to before `end`.
  using Run = void(const ElementJob&, int64_t begin, int64_t end);
  Run* run;
  std::array<void*, 5> numbers;  ///< Weights, gradient, then up to three tensors of state.
  const void* factors;           ///< What the kernel takes beside numbers; lives until the jobs are done.
  int64_t count;
  double divisor;  ///< Divides the gradient, which is written back; 1 does nothing.
};

/// Runs all jobs, shared out evenly over LibTorch's threads.
void run_elements(std::span<const ElementJob> jobs);

/// Divides the gradients, and writes them back. Those of float16 and bfloat16 are divided in float32, which can hold
/// the divisor.
void divide_gradients(std::vector<at::Tensor>& gradients, const at::Tensor& divisor);

/// Multiplies in place. LibTorch rounds a number that it is given to float16 or bfloat16 before it multiplies on a CPU;
/// a number that is a tensor it does not, and such is what Python gives it.
void scale(const at::Tensor& tensor, double factor);
void scale_all(const std::vector<at::Tensor>& tensors, double factor);
void scale_all(const std::vector<at::Tensor>& tensors, const std::vector<at::Scalar>& factors);
std::vector<at::Tensor> scaled_all(const std::vector<at::Tensor>& tensors, double factor);

/// How gradients are scaled where the kernel does not do it itself.
struct StepScale {
  bool skip = false;
  double divisor = 1;         ///< On the CPU.
  at::Tensor on_device = {};  ///< The divisor elsewhere; undefined: none.
};
/// Divides all gradients of a group.
void divide_group(const Parameters& parameters, const StepScale& scale);

/// Throws Error for a part that is not a float32 scalar. Reads `found_inf`, which waits for a device.
StepScale step_scale(const GradientScale& scale, at::Device device, const std::string& optimizer);

/// A step counter on the CPU, as Python keeps those of optimizers without a fused kernel.
inline float& host_scalar(at::Tensor& scalar) { return *static_cast<float*>(scalar.mutable_data_ptr()); }

template <class Kernel, class T, size_t... I>
ATHANOR_PACK void element_loop(const ElementJob& job, const typename Kernel::template Factors<T>& factors,
                               int64_t begin, int64_t end, std::index_sequence<I...>) {
  using P = Pack<T>;
  T* const weights = static_cast<T*>(job.numbers[0]);
  const T* const gradient = static_cast<const T*>(job.numbers[1]);
  [[maybe_unused]] const std::array<T*, sizeof...(I)> state{static_cast<T*>(job.numbers[2 + I])...};
  int64_t i = begin;
  for (; i + P::size <= end; i += P::size) {
    P p = P::load(weights + i);
    [[maybe_unused]] std::array<P, sizeof...(I)> s{P::load(state[I] + i)...};
    Kernel::update(factors, p, P::load(gradient + i), s[I]...);
    p.store(weights + i);
    (s[I].store(state[I] + i), ...);
  }
  if (i == end) return;
  P p = P::load(weights + i, end - i);
  [[maybe_unused]] std::array<P, sizeof...(I)> s{P::load(state[I] + i, end - i)...};
  Kernel::update(factors, p, P::load(gradient + i, end - i), s[I]...);
  p.store(weights + i, end - i);
  (s[I].store(state[I] + i, end - i), ...);
}

template <class T>
ATHANOR_PACK void divide_block(T* numbers, int64_t count, T divisor) {
  using P = Pack<T>;
  int64_t i = 0;
  for (; i + P::size <= count; i += P::size) (P::load(numbers + i) / divisor).store(numbers + i);
  for (; i < count; ++i) numbers[i] /= divisor;
}

/// `Kernel` works on packs:
///
///     static constexpr size_t states = 2;                      tensors beside weights and gradient
///     template <class T> struct Factors { ... };
///     template <class T>
///     ATHANOR_PACK static void update(const Factors<T>&, Pack<T>& p, Pack<T> g, Pack<T>& exp_avg, Pack<T>&
///     exp_avg_sq);
template <class Kernel, class T>
ATHANOR_PACK_ENTRY void run_kernel(const ElementJob& job, int64_t begin, int64_t end) {
  constexpr int64_t block_in_cache = 1024;
  const auto factors = *static_cast<const typename Kernel::template Factors<T>*>(job.factors);
  const bool divides = job.divisor != 1;
  const int64_t block = divides ? block_in_cache : end - begin;
  for (int64_t i = begin; i < end; i += block) {
    const int64_t stop = end - i < block ? end : i + block;
    if (divides) divide_block(static_cast<T*>(job.numbers[1]) + i, stop - i, static_cast<T>(job.divisor));
    element_loop<Kernel, T>(job, factors, i, stop, std::make_index_sequence<Kernel::states>());
  }
}

/// What the operators of one optimizer work on: each list has one entry a parameter. Gradients may be replaced, their
/// numbers must stay.
template <class Factors, size_t states>
struct OperatorLists {
  std::vector<at::Tensor> parameters, gradients;
  std::array<std::vector<at::Tensor>, states> state;
  std::vector<Factors> factors;

  /// One factor of all parameters, as the list operators take it.
  [[nodiscard]] std::vector<at::Scalar> all(double Factors::*member) const {
    std::vector<at::Scalar> scalars;
    for (const Factors& each : factors) scalars.emplace_back(each.*member);
    return scalars;
  }
  template <class Takes>
  [[nodiscard]] OperatorLists where(Takes takes) const {
    OperatorLists part;
    for (size_t i = 0; i < factors.size(); ++i) {
      if (!takes(factors[i])) continue;
      part.parameters.push_back(parameters[i]);
      part.gradients.push_back(gradients[i]);
      for (size_t s = 0; s < states; ++s) part.state[s].push_back(state[s][i]);
      part.factors.push_back(factors[i]);
    }
    return part;
  }
};

/// One step of each group, with the scale of its gradients, unless that says to leave the step out.
template <class Rules>
class ScaledOptimizer : public GroupedOptimizer<Rules> {
  using Base = GroupedOptimizer<Rules>;

 public:
  ScaledOptimizer(const typename Rules::Options& options, const ParameterGroups& groups) : Base(options, groups) {}

  using Optimizer::step;
  void step(const GradientScale& gradient_scale) final {
    const at::NoGradGuard no_grad;
    for (Group& group : this->groups_) {
      const StepScale scale = step_scale(gradient_scale, group.device(), this->name_);
      if (scale.skip) continue;
      Base::read_lr(group);
      step_group(group, scale);
    }
  }

 protected:
  using typename Base::Group;

  virtual void step_group(Group& group, const StepScale& scale) = 0;
};

/// `Rules` has, beside what GroupedOptimizer asks for:
///
///     static constexpr size_t states;                                    the most tensors of state beside a parameter
///     static std::array<at::Tensor, states> states_of(const Options&, const Slot&);    those a kernel uses first
///     template <class T> struct Factors;
///     template <class T> static Factors<T> count_step(const Options&, Slot&);    also counts
///     template <class T> static ElementJob::Run* kernel(const Options&, const Factors<T>&);
///     static void by_operators(const Options&, OperatorLists<Factors<double>, states>&);
///
/// and for a state that may come later: static void prepare_slot(const Options&, const at::Tensor& parameter, Slot&).
///
/// Both ways name the operations of Python's implementation for single tensors, in its order. float32 and float64 on a
/// CPU take the kernel; everything else takes the operators.
template <class Rules>
class ElementwiseOptimizer final : public ScaledOptimizer<Rules> {
  using Base = ScaledOptimizer<Rules>;
  using Lists = OperatorLists<typename Rules::template Factors<double>, Rules::states>;

 public:
  ElementwiseOptimizer(const typename Rules::Options& options, const ParameterGroups& groups) : Base(options, groups) {}

 private:
  template <class T>
  using Factors = typename Rules::template Factors<T>;

  void step_group(typename Base::Group& group, const StepScale& scale) override {
    jobs_.clear();
    float_factors_.clear();
    double_factors_.clear();
    Lists lists;
    // All are looked at before one is changed.
    for (const Parameter& parameter : group.parameters) checked_gradient(parameter, this->name_);
    for (size_t i = 0; i < group.parameters.size(); ++i) {
      const at::Tensor& parameter = group.parameters[i].tensor;
      const at::Tensor& gradient = parameter.grad();
      if (!gradient.defined()) continue;
      auto& slot = group.slots[i];
      if constexpr (requires { Rules::prepare_slot(group.options, parameter, slot); })
        Rules::prepare_slot(group.options, parameter, slot);
      const bool has_kernel = parameter.is_cpu() && has_packs();
      if (has_kernel && parameter.scalar_type() == at::kFloat) {
        add_job(float_factors_, group.options, parameter, gradient, slot, scale.divisor);
      } else if (has_kernel && parameter.scalar_type() == at::kDouble) {
        add_job(double_factors_, group.options, parameter, gradient, slot, scale.divisor);
      } else {
        lists.parameters.push_back(parameter);
        lists.gradients.push_back(gradient);
        auto states = Rules::states_of(group.options, slot);
        for (size_t s = 0; s < Rules::states; ++s) lists.state[s].push_back(std::move(states[s]));
        lists.factors.push_back(Rules::template count_step<double>(group.options, slot));
      }
    }
    run_elements(jobs_);
    if (lists.parameters.empty()) return;
    if (scale.on_device.defined()) divide_gradients(lists.gradients, scale.on_device);
    if (scale.divisor != 1) divide_gradients(lists.gradients, make_host_scalar(static_cast<float>(scale.divisor)));
    Rules::by_operators(group.options, lists);
  }

  template <class T>
  void add_job(std::deque<Factors<T>>& factors, const typename Rules::Options& options, const at::Tensor& parameter,
               const at::Tensor& gradient, typename Rules::Slot& slot, double divisor) {
    const Factors<T>& mine = factors.emplace_back(Rules::template count_step<T>(options, slot));
    ElementJob job{.run = Rules::template kernel<T>(options, mine),
                   .numbers = {parameter.mutable_data_ptr(), gradient.mutable_data_ptr()},
                   .factors = &mine,
                   .count = parameter.numel(),
                   .divisor = divisor};
    const auto states = Rules::states_of(options, slot);
    for (size_t s = 0; s < Rules::states; ++s)
      job.numbers[2 + s] = states[s].defined() ? states[s].mutable_data_ptr() : nullptr;
    jobs_.push_back(job);
    parameter.unsafeGetTensorImpl()->bump_version();  // so that a graph that has kept the weights tells
  }

  std::vector<ElementJob> jobs_;
  std::deque<Factors<float>> float_factors_;
  std::deque<Factors<double>> double_factors_;
};

}  // namespace athanor::optim::detail
