// SPDX-License-Identifier: Apache-2.0
// What a function must be to measure something, and what it may return.
#pragma once

#include <concepts>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "athanor/core/tree.hpp"
#include "athanor/metrics/weighted_mean.hpp"

namespace athanor {

/// Names with numbers: Values, std::map<std::string, double>, a vector of pairs.
template <class R>
concept NamedNumbers = requires(const R& numbers) {
  { numbers.begin()->first } -> std::convertible_to<std::string_view>;
  { numbers.begin()->second } -> std::convertible_to<double>;
  numbers.end();
};

/// What a metric function may return: a number, a scalar tensor, or several of these under names: NamedNumbers or a
/// Tree that is a dictionary.
template <class R>
concept MetricResult = std::convertible_to<R, at::Tensor> || NamedNumbers<std::remove_cvref_t<R>> ||
    std::convertible_to<R, Tree> || std::convertible_to<R, double>;

namespace metrics::detail {

/// Whether a function wants predictions and targets whole. One with a template for its parameters gets tensors.
template <class F>
concept TakesTrees = std::invocable<F&, const at::Tensor&, const at::Tensor&> &&
                     (std::is_pointer_v<F> || requires { &F::operator(); }) &&
                     std::invocable<F&, const Tree&, const Tree&>;

template <MetricResult R>
[[nodiscard]] Tree tree_of(R&& result) {
  if constexpr (std::convertible_to<R, at::Tensor>) {
    return Tree(at::Tensor(std::forward<R>(result)));
  } else if constexpr (NamedNumbers<std::remove_cvref_t<R>>) {
    Tree::Dictionary each;
    for (const auto& [name, number] : result) each.emplace_back(std::string(name), static_cast<double>(number));
    return Tree(std::move(each));
  } else if constexpr (std::convertible_to<R, Tree>) {
    return std::forward<R>(result);
  } else {
    return Tree(static_cast<double>(std::forward<R>(result)));
  }
}

}  // namespace metrics::detail

/// A function of (predictions, target): const at::Tensor& each, the first tensor of what a step handed back; or const
/// Tree& each, all of it.
template <class F>
concept MetricFunction = std::invocable<F&, const at::Tensor&, const at::Tensor&> &&
    MetricResult<std::invoke_result_t<F&, const at::Tensor&, const at::Tensor&>>;

/// A function of a confusion matrix, (C, C), int64, on the CPU; rows are targets.
template <class F>
concept MatrixFunction =
    std::invocable<F&, const at::Tensor&> && MetricResult<std::invoke_result_t<F&, const at::Tensor&>>;

namespace metrics::detail {

template <MetricFunction F>
[[nodiscard]] Tree call(F& function, const Tree& predictions, const Tree& target) {
  if constexpr (TakesTrees<F>) {
    return tree_of(function(predictions, target));
  } else {
    return tree_of(function(predictions.first_tensor(), target.first_tensor()));
  }
}

}  // namespace metrics::detail

namespace accumulate {

/// A function whose values are averaged over batches, weighted by samples.
template <MetricFunction F>
class MeanOf {
 public:
  explicit MeanOf(F function) : function_(std::move(function)) {}
  void update(const Tree& predictions, const Tree& target, int64_t samples) {
    if (samples != 0) {
      means_.update(metrics::detail::call(function_, predictions, target), static_cast<double>(samples));
    }
  }
  void merge(const MeanOf& other) { means_.merge(other.means_); }
  [[nodiscard]] Tree compute() const { return means_.compute(); }
  [[nodiscard]] bool empty() const noexcept { return means_.empty(); }
  void reset() { means_.reset(); }
  void state(State& state) { means_.state(state); }

 private:
  F function_;
  metrics::detail::NamedMeans means_;
};

}  // namespace accumulate
}  // namespace athanor
