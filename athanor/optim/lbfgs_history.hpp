// SPDX-License-Identifier: Apache-2.0
// The pairs of vectors that L-BFGS knows the curvature by, and the direction that follows from them.
#pragma once

#include <ATen/core/Tensor.h>

#include <deque>
#include <vector>

namespace athanor::optim::detail {

/// A direction, and what is asked of it.
struct Direction {
  at::Tensor d;
  double slope = 0;    ///< Gradient times direction.
  double largest = 0;  ///< The largest magnitude in it; NaN when it holds one.
};

/// What a vector measures.
struct VectorSizes {
  double largest = 0;  ///< Magnitude; NaN when the vector holds one.
  double sum = 0;      ///< Of the magnitudes.
};
VectorSizes sizes_of(const at::Tensor& vector);

/// Copies share the vectors, which are never changed.
class LBFGSHistory {
 public:
  std::deque<at::Tensor> old_dirs;  ///< Changes of the gradient, as Python calls them.
  std::deque<at::Tensor> old_stps;  ///< Changes of the weights.
  std::deque<double> ro;            ///< 1 / (change of the gradient times change of the weights).
  double h_diag = 1;                ///< The curvature before the pairs count.

  /// Takes the change from `before` to `gradient` over the step `t d`, unless the curvature along it is not positive;
  /// then the first of `most` pairs is dropped.
  void add(const at::Tensor& gradient, const at::Tensor& before, const at::Tensor& d, double t, size_t most);
  /// Minus the approximate inverse Hessian times the gradient.
  [[nodiscard]] Direction direction(const at::Tensor& gradient);
  /// The same by LibTorch's operators, vector by vector, as Python does it.
  [[nodiscard]] Direction direction_by_operators(const at::Tensor& gradient) const;

 private:
  /// What came into the history with one pair: inner products of its change of the gradient with the pairs up to it.
  struct Column {
    std::deque<double> steps, dirs;
  };
  template <class T>
  [[nodiscard]] Direction direction_by_products(const at::Tensor& gradient);
  /// Products that a loaded history does not have yet, all but those of the last pair.
  template <class T>
  void complete(int64_t size);

  std::deque<Column> columns_;
};

}  // namespace athanor::optim::detail
