// SPDX-License-Identifier: Apache-2.0
// Losses: any callable or LibTorch loss module under one type, and the usual ones by name.
//
//     .loss = athanor::loss::cross_entropy
//     .loss = torch::nn::SmoothL1Loss()
//     .loss = [](const torch::Tensor& predictions, const torch::Tensor& target) { return (predictions -
//     target).abs().mean(); }
#pragma once

#include <concepts>
#include <functional>
#include <memory>
#include <type_traits>

#include "athanor/core/tree.hpp"

namespace torch::nn {
class Module;
}

namespace athanor {
namespace detail {

/// A callable whose parameters are fixed: not a template, so that asking what it takes can't fail inside its body.
template <class F>
concept HasOneSignature = std::is_pointer_v<F> || requires {
  &F::operator();
};
template <class F>
concept LossOfTrees = HasOneSignature<F> && std::is_invocable_r_v<at::Tensor, const F&, const Tree&, const Tree&>;
template <class F>
concept LossModule = requires(F& loss, const at::Tensor& tensor) {
  { loss->forward(tensor, tensor) } -> std::convertible_to<at::Tensor>;
};
template <class F>
concept LossOfTensors = std::is_invocable_r_v<at::Tensor, const F&, const at::Tensor&, const at::Tensor&>;
template <class F>
concept LossByElement = requires(const F& loss, const at::Tensor& tensor) {
  { loss.by_element(tensor, tensor) } -> std::convertible_to<at::Tensor>;
};
template <class F>
concept LossOfPredictions = std::is_invocable_r_v<at::Tensor, const F&, const at::Tensor&>;

}  // namespace detail

/// A loss is called as loss(predictions, target) and returns a scalar tensor, the mean over the samples of the batch;
/// without a target it may be called as loss(predictions). Tensors reach it as tensors; a callable that takes trees
/// gets the whole structure.
///
/// A loss with parameters of its own, a LibTorch module or a type with `module()`, hands them out by `module()`.
///
/// A loss that is used with sample or class weights has a second function, `by_element(predictions, target)`, which
/// returns one number for each element of the target, or one for each sample.
class Loss {
 public:
  Loss() = default;  ///< None.

  template <class F>
  requires(!std::same_as<std::remove_cvref_t<F>, Loss>) Loss(F loss) {
    static_assert(
        detail::LossModule<F> || detail::LossOfTrees<F> || detail::LossOfTensors<F> || detail::LossOfPredictions<F>,
        "athanor: a loss is called as loss(predictions, target) with two tensors and returns a tensor; put a "
        "function with default arguments into a lambda");
    if constexpr (requires { loss.target_is_class_index; }) target_is_class_index_ = loss.target_is_class_index;
    if constexpr (requires { loss.module(); }) {
      module_ = loss.module();
    } else if constexpr (requires { loss.ptr(); }) {
      module_ = loss.ptr();
    }
    if constexpr (detail::LossByElement<F>) {
      by_element_ = [loss](const at::Tensor& predictions, const at::Tensor& target) {
        return loss.by_element(predictions, target);
      };
    }
    if constexpr (detail::LossModule<F>) {
      call_ = [loss](const Tree& predictions, const Tree& target) mutable {  // forward() of a module is not const
        return loss->forward(predictions.first_tensor(), target.first_tensor());
      };
    } else if constexpr (detail::LossOfTrees<F>) {
      call_ = [loss](const Tree& predictions, const Tree& target) { return loss(predictions, target); };
    } else if constexpr (detail::LossOfTensors<F>) {
      call_ = [loss](const Tree& predictions, const Tree& target) {
        return loss(predictions.first_tensor(), target.first_tensor());
      };
    } else if constexpr (detail::LossOfPredictions<F>) {
      call_ = [loss](const Tree& predictions, const Tree&) { return loss(predictions.first_tensor()); };
    }
  }

  [[nodiscard]] bool defined() const noexcept { return call_ != nullptr; }
  [[nodiscard]] at::Tensor operator()(const Tree& predictions, const Tree& target) const {
    return call_(predictions, target);
  }
  /// The mean over all elements of weight x loss, as Keras weights: weights of 1 change nothing, and weights of 2
  /// double the loss. `sample_weight` (N) may be undefined; `class_weight` (C) too, else it needs class numbers as
  /// targets. Throws Error for a loss that can't tell its elements apart.
  [[nodiscard]] at::Tensor weighted(const Tree& predictions, const Tree& target, const at::Tensor& sample_weight,
                                    const at::Tensor& class_weight) const;
  /// Whether targets are class numbers, so that they can be checked against the net's outputs before the first step.
  [[nodiscard]] bool target_is_class_index() const noexcept { return target_is_class_index_; }
  /// What a loss with parameters keeps them in; null for others. A Model trains them with the net; a task registers it.
  [[nodiscard]] const std::shared_ptr<torch::nn::Module>& module() const noexcept { return module_; }

 private:
  std::function<at::Tensor(const Tree&, const Tree&)> call_;
  std::function<at::Tensor(const at::Tensor&, const at::Tensor&)> by_element_;
  std::shared_ptr<torch::nn::Module> module_;
  bool target_is_class_index_ = false;
};

namespace loss {

/// Mean cross entropy of logits (N, C) or (N, C, d1, …), any floating dtype, with class numbers int64 (N) or
/// (N, d1, …), or with probabilities of the shape of the logits.
struct CrossEntropy {
  static constexpr bool target_is_class_index = true;
  at::Tensor operator()(const at::Tensor& logits, const at::Tensor& target) const;
  at::Tensor by_element(const at::Tensor& logits, const at::Tensor& target) const;
};
/// Mean binary cross entropy of logits (N, …) with targets of the same shape in [0, 1]; integer targets are converted.
struct BinaryCrossEntropy {
  at::Tensor operator()(const at::Tensor& logits, const at::Tensor& target) const;
  at::Tensor by_element(const at::Tensor& logits, const at::Tensor& target) const;
};
/// Mean squared error; shapes must be equal, nothing is broadcast.
struct MeanSquaredError {
  at::Tensor operator()(const at::Tensor& predictions, const at::Tensor& target) const;
  at::Tensor by_element(const at::Tensor& predictions, const at::Tensor& target) const;
};
/// Mean absolute error; shapes must be equal, nothing is broadcast.
struct MeanAbsoluteError {
  at::Tensor operator()(const at::Tensor& predictions, const at::Tensor& target) const;
  at::Tensor by_element(const at::Tensor& predictions, const at::Tensor& target) const;
};

/// For a net that returns its own loss: a scalar, or a dictionary with a scalar `loss`. The whole batch may be its
/// input.
struct OfNet {
  at::Tensor operator()(const Tree& predictions, const Tree& target) const;
};

inline constexpr OfNet of_net;
inline constexpr CrossEntropy cross_entropy;
inline constexpr BinaryCrossEntropy binary_cross_entropy;
inline constexpr MeanSquaredError mse;
inline constexpr MeanAbsoluteError mae;

}  // namespace loss
}  // namespace athanor
