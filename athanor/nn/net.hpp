// SPDX-License-Identifier: Apache-2.0
// Any LibTorch module with a forward(), under one type.
#pragma once

#include <concepts>
#include <functional>
#include <memory>

#include "athanor/nn/call.hpp"

namespace torch::nn {
class Module;
}

namespace athanor {

/// A net that was given by whoever builds a Model: a `torch::nn::Sequential`, a module holder (`torch::nn::Linear`,
/// `TORCH_MODULE`), a `std::shared_ptr` to a module, or an object of a class derived from `torch::nn::Module`.
///
/// An object that is given as an lvalue stays the caller's and must outlive this; everything else is shared or moved.
/// `forward` may take one tensor, up to six, a `std::vector<Tensor>` or a `Tree`, and return a tensor, a tuple, pair,
/// vector or map of such, or a `Tree`.
class Net {
 public:
  template <class M>
  requires(!std::same_as<std::remove_cvref_t<M>, Net>) Net(M&& net);

  [[nodiscard]] Tree forward(const Tree& input) const { return forward_(input); }
  [[nodiscard]] const std::shared_ptr<torch::nn::Module>& module() const noexcept { return module_; }

 private:
  template <class T>
  void hold(std::shared_ptr<T> net);

  std::shared_ptr<torch::nn::Module> module_;
  std::function<Tree(const Tree&)> forward_;
};

namespace detail {
template <class M>
concept ModuleHolderLike = requires(const M& net) {
  {net.ptr()};
  { *net.ptr() } -> std::convertible_to<const torch::nn::Module&>;
};
template <class M>
concept ModulePointerLike = requires(const M& net) {
  {net.get()};
  { *net } -> std::convertible_to<const torch::nn::Module&>;
};
template <class M>
concept ModuleLike = std::convertible_to<M&, torch::nn::Module&>;
}  // namespace detail

template <class M>
requires(!std::same_as<std::remove_cvref_t<M>, Net>) Net::Net(M&& net) {
  using Plain = std::remove_cvref_t<M>;
  static_assert(detail::ModuleHolderLike<Plain> || detail::ModulePointerLike<Plain> || detail::ModuleLike<Plain>,
                "athanor: a net is a torch::nn::Sequential, a module holder, a shared_ptr to a module, or an object of "
                "a class derived from torch::nn::Module");
  if constexpr (detail::ModuleHolderLike<Plain>) {
    hold(net.ptr());
  } else if constexpr (detail::ModulePointerLike<Plain>) {
    hold(std::shared_ptr<typename std::pointer_traits<Plain>::element_type>(std::forward<M>(net)));
  } else if constexpr (detail::ModuleLike<Plain>) {
    if constexpr (std::is_lvalue_reference_v<M>) {
      hold(std::shared_ptr<Plain>(std::shared_ptr<void>(), &net));
    } else {
      hold(std::make_shared<Plain>(std::forward<M>(net)));
    }
  }
}

template <class T>
void Net::hold(std::shared_ptr<T> net) {
  static_assert(detail::TakesTensors<T, 1> || detail::TakesTensors<T, 2> || detail::TakesTensors<T, 3> ||
                    detail::TakesTensors<T, 4> || detail::TakesTensors<T, 5> || detail::TakesTensors<T, 6> ||
                    detail::TakesList<T> || detail::TakesTree<T>,
                "athanor: the net needs a public forward() that takes tensors, a std::vector of tensors, or an "
                "athanor::Tree");
  T* pointer = net.get();
  forward_ = [pointer](const Tree& input) { return detail::call_forward(*pointer, input); };
  module_ = std::move(net);
}

}  // namespace athanor
