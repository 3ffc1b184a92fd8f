// SPDX-License-Identifier: Apache-2.0
// Nested values: a tensor, a number or a text; a list of trees; an ordered dictionary of trees.
//
//     Tree batch = {{"image", image}, {"boxes", Tree::list({first, second})}};
//     Tree moved = batch.map([&](const at::Tensor& tensor) { return tensor.to(device); });
#pragma once

#include <ATen/core/Tensor.h>

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace athanor {

/// What moves between the rooms: inputs, targets, predictions, states. A value; copying it shares the tensors in it.
///
/// Access that does not fit (`.tensor()` of a list, `["x"]` of a missing name) throws Error with the path from the
/// root, what is there and what was asked for. A tree is not thread-safe while somebody writes to it.
class Tree {
 public:
  using List = std::vector<Tree>;
  using Entry = std::pair<std::string, Tree>;
  using Dictionary = std::vector<Entry>;  ///< In the order of insertion; few entries, found by a walk.
  enum class Kind { empty, tensor, boolean, integer, real, text, list, dictionary };

  Tree() noexcept;
  Tree(const Tree& other);
  Tree(Tree&& other) noexcept;
  Tree& operator=(const Tree& other);
  Tree& operator=(Tree&& other) noexcept;
  ~Tree();

  Tree(at::Tensor tensor);
  template <std::same_as<bool> B>
  Tree(B value) : Tree(Kind::boolean, value) {}
  template <std::integral I>
  requires(!std::same_as<I, bool>) Tree(I value) : Tree(Kind::integer, static_cast<int64_t>(value)) {}
  template <std::floating_point F>
  Tree(F value) : Tree(Kind::real, static_cast<double>(value)) {}
  Tree(std::string text);
  Tree(const char* text);
  Tree(std::vector<at::Tensor> tensors);
  Tree(List list);
  Tree(Dictionary dictionary);
  Tree(std::initializer_list<Entry> entries);

  /// A list; spelled out because braces mean a dictionary.
  static Tree list(List items);

  [[nodiscard]] Kind kind() const noexcept { return static_cast<Kind>(value_.index()); }
  [[nodiscard]] bool empty() const noexcept { return kind() == Kind::empty; }
  [[nodiscard]] bool is_tensor() const noexcept { return kind() == Kind::tensor; }
  [[nodiscard]] bool is_list() const noexcept { return kind() == Kind::list; }
  [[nodiscard]] bool is_dictionary() const noexcept { return kind() == Kind::dictionary; }

  [[nodiscard]] const at::Tensor& tensor() const;
  [[nodiscard]] at::Tensor& tensor();
  [[nodiscard]] bool boolean() const;
  [[nodiscard]] int64_t integer() const;
  [[nodiscard]] double real() const;  ///< An integer is accepted and converted.
  [[nodiscard]] const std::string& text() const;
  [[nodiscard]] const List& items() const;
  [[nodiscard]] List& items();
  [[nodiscard]] const Dictionary& entries() const;
  [[nodiscard]] Dictionary& entries();

  /// Number of children of a list or dictionary; 0 when empty, 1 for everything else.
  [[nodiscard]] size_t size() const noexcept;
  [[nodiscard]] const Tree& operator[](size_t index) const;
  template <std::integral I>
  [[nodiscard]] const Tree& operator[](I index) const {  // else the 0 in tree[0] might be a pointer
    return (*this)[static_cast<size_t>(index)];
  }
  [[nodiscard]] const Tree& operator[](std::string_view name) const;
  [[nodiscard]] const Tree& operator[](const char* name) const { return (*this)[std::string_view(name)]; }
  /// The child of that name, or null.
  [[nodiscard]] const Tree* find(std::string_view name) const noexcept;
  [[nodiscard]] Tree* find(std::string_view name) noexcept;
  /// The child of that name, made when missing. An empty tree becomes a dictionary.
  Tree& at_or_insert(std::string_view name);

  /// The same shape with `function(tensor)` in place of every tensor; other leaves are kept.
  template <class F>
  [[nodiscard]] Tree map(F&& function) const {
    switch (kind()) {
      case Kind::tensor:
        return Tree(at::Tensor(function(tensor())));
      case Kind::list: {
        List result;
        result.reserve(size());
        for (const Tree& item : items()) result.push_back(item.map(function));
        return Tree(std::move(result));
      }
      case Kind::dictionary: {
        Dictionary result;
        result.reserve(size());
        for (const auto& [name, item] : entries()) result.emplace_back(name, item.map(function));
        return Tree(std::move(result));
      }
      default:
        return *this;
    }
  }

  /// Calls `function(path, leaf)` for every leaf, depth first; a path reads `encoder.weights.0`.
  template <class F>
  void walk(F&& function, const std::string& path = {}) const {
    auto join = [&](std::string_view name) {
      return path.empty() ? std::string(name) : path + "." + std::string(name);
    };
    if (is_list()) {
      for (size_t i = 0; i < size(); ++i) items()[i].walk(function, join(std::to_string(i)));
    } else if (is_dictionary()) {
      for (const auto& [name, item] : entries()) item.walk(function, join(name));
    } else if (!empty()) {
      function(path, *this);
    }
  }

  /// The tensors in it, in the order of the walk.
  [[nodiscard]] std::vector<at::Tensor> tensors() const;
  /// The first tensor in the order of the walk; undefined when there is none.
  [[nodiscard]] at::Tensor first_tensor() const;
  /// Every tensor on that device; those that are there already are shared.
  [[nodiscard]] Tree to(at::Device device) const;
  /// One line for messages: `{image: float32 (32, 1, 28, 28), label: int64 (32)}`.
  [[nodiscard]] std::string describe() const;

 private:
  Tree(Kind kind, bool value);
  Tree(Kind kind, int64_t value);
  Tree(Kind kind, double value);

  // Constructors and assignments are not inline: instantiating them in every source that has a tree is dear.
  std::variant<std::monostate, at::Tensor, bool, int64_t, double, std::string, List, Dictionary> value_;
};

/// `float32 (32, 1, 28, 28)`; with the device when it is not the CPU; "undefined".
[[nodiscard]] std::string describe(const at::Tensor& tensor);
/// `float32`, as Python's torch spells it.
[[nodiscard]] std::string dtype_name(at::ScalarType dtype);

}  // namespace athanor
