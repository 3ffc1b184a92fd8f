// SPDX-License-Identifier: Apache-2.0
// Sum, minimum and maximum of the elements that a model gives, whatever the target is; mean.hpp has their mean.
//
// As metrics of predictions and targets they look at the predictions alone. NaN makes them NaN.
//
//     athanor::Metrics metrics = {{"largest_logit", athanor::metrics::maximum()}};
#pragma once

#include <string>

#include "athanor/metrics/metric.hpp"
#include "athanor/metrics/reductions.hpp"

namespace athanor::metrics {

namespace detail {

enum class Reduction { sum, minimum, maximum };

/// The reduction of a tensor to a scalar: on the CPU a number without an operator, on a device a tensor there. Throws
/// Error for complex, undefined and empty tensors.
void reduce_into(Sum& into, const at::Tensor& values);
void reduce_into(Minimum& into, const at::Tensor& values);
void reduce_into(Maximum& into, const at::Tensor& values);

template <class R, Reduction reduction>
class Elementwise {
 public:
  [[nodiscard]] std::string name() const {
    return reduction == Reduction::sum ? "sum" : reduction == Reduction::minimum ? "min" : "max";
  }
  [[nodiscard]] Direction direction() const noexcept { return Direction::unknown; }
  [[nodiscard]] bool alike(const Elementwise& /*other*/) const noexcept { return true; }
  /// Takes in every element, of any shape and any real dtype. Does not wait for a device. Throws Error for complex or
  /// undefined tensors.
  void update(const at::Tensor& values) { reduce_into(reduced_, values); }
  void update(const at::Tensor& predictions, const at::Tensor& /*target*/) { update(predictions); }
  void update(double value) { reduced_.update(value); }
  void merge(const Elementwise& other) { reduced_.merge(other.reduced_); }
  /// Waits for the device. Throws Error when nothing was seen.
  [[nodiscard]] double compute() const;
  [[nodiscard]] bool empty() const noexcept { return reduced_.empty(); }
  void reset() { reduced_.reset(); }
  void state(State& state) { reduced_.state(state); }

 private:
  R reduced_;
};

extern template class Elementwise<Sum, Reduction::sum>;
extern template class Elementwise<Minimum, Reduction::minimum>;
extern template class Elementwise<Maximum, Reduction::maximum>;

}  // namespace detail

/// Called "sum", "min" and "max".
using ElementSum = detail::Elementwise<Sum, detail::Reduction::sum>;
using ElementMinimum = detail::Elementwise<Minimum, detail::Reduction::minimum>;
using ElementMaximum = detail::Elementwise<Maximum, detail::Reduction::maximum>;

[[nodiscard]] ElementSum sum();
[[nodiscard]] ElementMinimum minimum();
[[nodiscard]] ElementMaximum maximum();

/// The value of this tensor alone. Waits for the device.
[[nodiscard]] double sum(const at::Tensor& values);
[[nodiscard]] double minimum(const at::Tensor& values);
[[nodiscard]] double maximum(const at::Tensor& values);

}  // namespace athanor::metrics
