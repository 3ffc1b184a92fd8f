// SPDX-License-Identifier: Apache-2.0
// How a tree meets a C++ signature: which arguments a forward() or a loss takes, and what its result becomes.
#pragma once

#include <map>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "athanor/core/tree.hpp"

namespace athanor::detail {

/// A type that nobody has written a parameter for: what accepts it is an unconstrained template.
struct Impossible {};

template <size_t>
using EachTensor = const at::Tensor&;

template <class T, class Indices>
inline constexpr bool takes_tensors_of = false;
template <class T, size_t... I>
inline constexpr bool takes_tensors_of<T, std::index_sequence<I...>> = requires(T& net, const at::Tensor& tensor) {
  net.forward((void(I), tensor)...);
};

/// Whether `net.forward` can be called with N tensors.
template <class T, size_t N>
concept TakesTensors = takes_tensors_of<T, std::make_index_sequence<N>>;
template <class T>
concept TakesAnything = requires(T& net) {
  net.forward(Impossible{});
};
template <class T>
concept TakesTree = !TakesAnything<T> && requires(T & net, const Tree& tree) {
  net.forward(tree);
};
template <class T>
concept TakesList = !TakesAnything<T> && requires(T & net, const std::vector<at::Tensor>& tensors) {
  net.forward(tensors);
};

inline Tree to_tree(Tree tree) { return tree; }
inline Tree to_tree(at::Tensor tensor) { return Tree(std::move(tensor)); }
inline Tree to_tree(std::vector<at::Tensor> tensors) { return Tree(std::move(tensors)); }
template <class A, class B>
Tree to_tree(std::pair<A, B> pair);
template <class... T>
Tree to_tree(std::tuple<T...> elements) {
  return std::apply([](auto&&... each) { return Tree::list({to_tree(std::move(each))...}); }, std::move(elements));
}
template <class A, class B>
Tree to_tree(std::pair<A, B> pair) {
  return Tree::list({to_tree(std::move(pair.first)), to_tree(std::move(pair.second))});
}
template <class T>
Tree to_tree(std::map<std::string, T> entries) {
  Tree::Dictionary dictionary;
  for (auto& [name, value] : entries) dictionary.emplace_back(name, to_tree(std::move(value)));
  return Tree(std::move(dictionary));
}

[[noreturn]] void refuse_input(const Tree& input, const char* accepted);

template <size_t N, class T, size_t... I>
Tree call_with(T& net, const Tree::List& items, std::index_sequence<I...>) {
  return to_tree(net.forward(items[I].tensor()...));
}

/// `net.forward` with what the tree holds: one tensor, several, or the tree itself.
template <class T>
Tree call_forward(T& net, const Tree& input) {
  // Sequential takes any number of anything; a few numbers of tensors are tried, each costs compile time.
  constexpr size_t most = TakesAnything<T> ? 3 : 6;
  if constexpr (TakesTensors<T, 1>) {
    if (input.is_tensor()) return to_tree(net.forward(input.tensor()));
  }
  if (input.is_list()) {
    const Tree::List& items = input.items();
    bool only_tensors = true;
    for (const Tree& item : items) only_tensors = only_tensors && item.is_tensor();
    Tree result;
    bool called = false;
    auto attempt = [&]<size_t N>(std::integral_constant<size_t, N>) {
      if constexpr (N <= most && TakesTensors<T, N>) {
        if (!called && items.size() == N) {
          result = call_with<N>(net, items, std::make_index_sequence<N>{});
          called = true;
        }
      }
    };
    if (only_tensors) {
      [&]<size_t... N>(std::index_sequence<N...>) { (attempt(std::integral_constant<size_t, N + 1>{}), ...); }
      (std::make_index_sequence<6>{});
    }
    if (called) return result;
    if constexpr (TakesList<T>) {
      if (only_tensors) return to_tree(net.forward(input.tensors()));
    }
  }
  if constexpr (TakesTree<T>) return to_tree(net.forward(input));
  if constexpr (TakesTensors<T, 1>) {
    refuse_input(input, "one tensor");
  } else {
    refuse_input(input, "several tensors, as a list");
  }
}

}  // namespace athanor::detail
