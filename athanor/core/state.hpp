// SPDX-License-Identifier: Apache-2.0
// The walk that saves, loads, compares and lists everything that can change the future of a run.
//
//     struct Counter {
//       int64_t steps = 0;
//       at::Tensor average;
//       void state(athanor::State& state) {
//         state.value("steps", steps);
//         state.tensor("average", average);
//       }
//     };
//     athanor::Tree saved = athanor::save_state(counter);
//     athanor::load_state(other, saved);
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "athanor/core/tree.hpp"

namespace athanor {

class State;

/// A class takes part by one member function `void state(State&)` that names each of its parts.
template <class T>
concept Stateful = requires(T& object, State& state) {
  object.state(state);
};

/// One function in each class does all four jobs, so that what is saved and what is loaded can't drift apart.
///
/// Names, not positions: an entry is found by its path. Loading checks everything first (names, dtypes, shapes) and
/// throws one Error that tells all differences; only then it copies, in place, so that addresses, strides, views and
/// captured graphs survive. The walk runs on the calling thread; tensors on a device are copied on its current stream.
class State {
 public:
  enum class Action {
    save,   ///< Writes copies of the parts into a tree. A tree that was written before is written over in place.
    check,  ///< Compares names, kinds, dtypes and shapes; changes nothing.
    load,   ///< Copies the entries of a tree into the parts.
  };
  enum class Shape {
    fixed,  ///< A different shape or dtype is a difference, and refused.
    free,   ///< The part takes whatever shape was saved.
  };

  State(Action action, Tree& tree, std::vector<std::string>* differences = nullptr);

  /// Ends the walk at the outermost level: saving removes what no part has written, checking tells it as unexpected.
  void finish();

  [[nodiscard]] bool saving() const noexcept { return action_ == Action::save; }
  [[nodiscard]] bool loading() const noexcept { return action_ == Action::load; }

  /// A tensor. Undefined is saved as an empty entry; an undefined part takes a copy of what was saved.
  void tensor(std::string_view name, at::Tensor& tensor, Shape shape = Shape::fixed);
  void value(std::string_view name, bool& value);
  void value(std::string_view name, int& value);
  void value(std::string_view name, int64_t& value);
  void value(std::string_view name, uint64_t& value);
  void value(std::string_view name, double& value);
  void value(std::string_view name, std::string& value);
  /// Numbers and texts of any nesting, such as a history. Tensors in it are shared with the saved tree.
  void value(std::string_view name, Tree& value);

  /// A part with a state of its own. With `Shape::free` what is in it is not checked before loading: for parts whose
  /// names come out of the saved state themselves.
  template <Stateful T>
  void child(std::string_view name, T& object, Shape shape = Shape::fixed) {
    if (!enter(name, shape)) return;
    object.state(*this);
    leave();
  }

 private:
  struct Scope {
    Tree* tree;
    std::vector<bool> visited;  ///< One for each entry of `tree`, as far as they were reached.
  };

  bool enter(std::string_view name, Shape shape);
  void leave();
  void visit(Scope& scope, const Tree* entry, std::string_view name);
  Tree* entry(std::string_view name, Tree::Kind kind);
  [[nodiscard]] std::string path(std::string_view name) const;
  void differ(std::string text);
  template <class T, class Read>
  void scalar(std::string_view name, T& value, Tree::Kind kind, Read read);

  Action action_;
  std::vector<std::string>* differences_;
  std::vector<Scope> scopes_;
  std::vector<std::string> names_;
};

namespace detail {
[[noreturn]] void refuse_state(const std::vector<std::string>& differences);
}

/// Saves `object` into `into`. Give the tree of an earlier save to write over its tensors: no memory is allocated when
/// nothing changed its shape; entries that the object no longer has are removed. Throws Error when two parts share a
/// name.
template <Stateful T>
void save_state(T& object, Tree& into) {
  State walk(State::Action::save, into);
  object.state(walk);
  walk.finish();
}

template <Stateful T>
[[nodiscard]] Tree save_state(T& object) {
  Tree tree = Tree::Dictionary{};
  save_state(object, tree);
  return tree;
}

/// What keeps `saved` from being loaded into `object`, a line each; empty when it fits.
template <Stateful T>
[[nodiscard]] std::vector<std::string> check_state(T& object, const Tree& saved) {
  std::vector<std::string> differences;
  {
    State walk(State::Action::check, const_cast<Tree&>(saved), &differences);
    object.state(walk);
    walk.finish();
  }
  return differences;
}

/// Loads `saved` into `object`. Throws Error that names every difference, and then `object` is unchanged.
template <Stateful T>
void load_state(T& object, const Tree& saved) {
  if (auto differences = check_state(object, saved); !differences.empty()) detail::refuse_state(differences);
  State walk(State::Action::load, const_cast<Tree&>(saved));
  object.state(walk);
}

/// Where two saved states differ, a line each (path and both values); empty when they are equal bit for bit.
[[nodiscard]] std::vector<std::string> compare_states(const Tree& left, const Tree& right);

/// The paths of a saved state with what each holds: `net.0.weight  float32 (128, 784)`.
[[nodiscard]] std::vector<std::string> list_state(const Tree& saved);

}  // namespace athanor
