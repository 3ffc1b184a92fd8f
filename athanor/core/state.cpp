// SPDX-License-Identifier: Apache-2.0
#include "athanor/core/state.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty_like.h>

#include <algorithm>
#include <bit>
#include <map>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"

namespace athanor {
namespace {

bool same_layout(const at::Tensor& a, const at::Tensor& b) {
  return a.defined() && b.defined() && a.sizes() == b.sizes() && a.scalar_type() == b.scalar_type() &&
         a.device() == b.device();
}

at::Tensor copy_of(const at::Tensor& tensor) {
  at::Tensor copy = at::empty_like(tensor.detach());
  copy.copy_(tensor.detach());
  return copy;
}

bool equal_bits(const at::Tensor& a, const at::Tensor& b) {
  if (!same_layout(a, b)) return a.defined() == b.defined() && !a.defined();
  const at::Tensor left = a.detach().cpu().contiguous();
  const at::Tensor right = b.detach().cpu().contiguous();
  const auto* bytes = static_cast<const char*>(left.const_data_ptr());
  return std::equal(bytes, bytes + left.nbytes(), static_cast<const char*>(right.const_data_ptr()));
}

bool equal_leaves(const Tree& a, const Tree& b) {
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Tree::Kind::tensor:
      return equal_bits(a.tensor(), b.tensor());
    case Tree::Kind::real:
      return std::bit_cast<uint64_t>(a.real()) == std::bit_cast<uint64_t>(b.real());
    case Tree::Kind::integer:
      return a.integer() == b.integer();
    case Tree::Kind::boolean:
      return a.boolean() == b.boolean();
    case Tree::Kind::text:
      return a.text() == b.text();
    default:
      return true;
  }
}

}  // namespace

State::State(Action action, Tree& tree, std::vector<std::string>* differences)
    : action_(action), differences_(differences) {
  if (saving() && tree.empty()) tree = Tree::Dictionary{};
  scopes_.push_back({&tree, {}});
}

std::string State::path(std::string_view name) const {
  std::string text;
  for (const std::string& part : names_) text += part + ".";
  return text.append(name);
}

void State::differ(std::string text) {
  if (differences_ != nullptr) differences_->push_back(std::move(text));
}

void State::visit(Scope& scope, const Tree* entry, std::string_view name) {
  const Tree::Dictionary& entries = scope.tree->entries();
  const auto place =
      std::find_if(entries.begin(), entries.end(), [&](const Tree::Entry& each) { return &each.second == entry; });
  scope.visited.resize(entries.size());
  auto visited = scope.visited[static_cast<size_t>(place - entries.begin())];
  if (saving() && visited) {
    throw Error({.what = "two parts of a state have the same name",
                 .got = path(name),
                 .expected = "names that differ within one class",
                 .todo = "rename one of them, or put it into a child"});
  }
  visited = true;
}

Tree* State::entry(std::string_view name, Tree::Kind kind) {
  Scope& scope = scopes_.back();
  Tree* found = saving() ? &scope.tree->at_or_insert(name) : scope.tree->find(name);
  if (found != nullptr && !loading()) visit(scope, found, name);
  if (action_ == Action::check) {
    if (found == nullptr) {
      differ("missing: " + path(name));
    } else if (kind != Tree::Kind::empty && found->kind() != kind) {
      differ("of another kind: " + path(name) + " is saved as " + found->describe());
      return nullptr;
    }
  }
  return found;
}

bool State::enter(std::string_view name, Shape shape) {
  Tree* tree = entry(name, Tree::Kind::empty);
  if (tree == nullptr) return false;
  if (saving() && !tree->is_dictionary()) *tree = Tree::Dictionary{};
  if (!tree->is_dictionary()) {
    differ("of another kind: " + path(name) + " is saved as " + tree->describe());
    return false;
  }
  if (action_ == Action::check && shape == Shape::free) return false;
  scopes_.push_back({tree, {}});
  names_.emplace_back(name);
  return true;
}

void State::finish() {
  Scope& scope = scopes_.back();
  if (loading() || !scope.tree->is_dictionary()) return;
  Tree::Dictionary& entries = scope.tree->entries();
  scope.visited.resize(entries.size());
  if (saving()) {
    size_t index = 0;
    std::erase_if(entries, [&](const Tree::Entry&) { return !scope.visited[index++]; });
  } else {
    for (size_t i = 0; i < entries.size(); ++i) {
      if (!scope.visited[i]) differ("unexpected: " + path(entries[i].first));
    }
  }
}

void State::leave() {
  finish();
  scopes_.pop_back();
  names_.pop_back();
}

void State::tensor(std::string_view name, at::Tensor& tensor, Shape shape) {
  Tree* saved = entry(name, Tree::Kind::empty);
  if (saved == nullptr) return;
  at::NoGradGuard no_grad;
  if (saving()) {
    if (!tensor.defined()) {
      *saved = Tree();
    } else if (saved->is_tensor() && same_layout(saved->tensor(), tensor)) {
      saved->tensor().copy_(tensor.detach());
    } else {
      *saved = Tree(copy_of(tensor));
    }
    return;
  }
  if (!saved->empty() && !saved->is_tensor()) {
    differ("of another kind: " + path(name) + " is saved as " + saved->describe());
    return;
  }
  const bool fits = !tensor.defined() || shape == Shape::free ||
                    (saved->is_tensor() && saved->tensor().sizes() == tensor.sizes() &&
                     saved->tensor().scalar_type() == tensor.scalar_type());
  if (action_ == Action::check) {
    if (!fits) differ("different: " + path(name) + " is " + describe(tensor) + ", saved is " + saved->describe());
    return;
  }
  if (saved->empty()) {
    tensor = at::Tensor();
  } else if (tensor.defined() && tensor.sizes() == saved->tensor().sizes() &&
             tensor.scalar_type() == saved->tensor().scalar_type()) {
    tensor.detach().copy_(saved->tensor());
  } else {
    tensor = tensor.defined() ? copy_of(saved->tensor()).to(tensor.device()) : copy_of(saved->tensor());
  }
}

template <class T, class Read>
void State::scalar(std::string_view name, T& value, Tree::Kind kind, Read read) {
  Tree* saved = entry(name, kind);
  if (saved == nullptr || action_ == Action::check) return;
  if (saving()) {
    *saved = Tree(value);
  } else {
    value = static_cast<T>(read(*saved));
  }
}

void State::value(std::string_view name, bool& value) {
  scalar(name, value, Tree::Kind::boolean, [](const Tree& tree) { return tree.boolean(); });
}
void State::value(std::string_view name, int& value) {
  scalar(name, value, Tree::Kind::integer, [](const Tree& tree) { return tree.integer(); });
}
void State::value(std::string_view name, int64_t& value) {
  scalar(name, value, Tree::Kind::integer, [](const Tree& tree) { return tree.integer(); });
}
void State::value(std::string_view name, uint64_t& value) {
  scalar(name, value, Tree::Kind::integer, [](const Tree& tree) { return tree.integer(); });
}
void State::value(std::string_view name, double& value) {
  scalar(name, value, Tree::Kind::real, [](const Tree& tree) { return tree.real(); });
}
void State::value(std::string_view name, std::string& value) {
  scalar(name, value, Tree::Kind::text, [](const Tree& tree) { return tree.text(); });
}
void State::value(std::string_view name, Tree& value) {
  scalar(name, value, Tree::Kind::empty, [](const Tree& tree) -> const Tree& { return tree; });
}

void detail::refuse_state(const std::vector<std::string>& differences) {
  constexpr size_t shown = 20;
  std::vector<std::string> lines(
      differences.begin(), differences.begin() + static_cast<std::ptrdiff_t>(std::min(shown, differences.size())));
  if (differences.size() > shown) lines.push_back("and " + std::to_string(differences.size() - shown) + " more");
  throw Error({.what = "a saved state does not fit",
               .got = join(lines, "\n            "),
               .expected = "the names, dtypes and shapes of the object that it is loaded into",
               .todo = "build the same nets, optimizers and metrics as when it was saved"});
}

std::vector<std::string> compare_states(const Tree& left, const Tree& right) {
  std::map<std::string, const Tree*> other;
  right.walk([&](const std::string& path, const Tree& leaf) { other.emplace(path, &leaf); });
  std::vector<std::string> lines;
  left.walk([&](const std::string& path, const Tree& leaf) {
    const auto found = other.find(path);
    if (found == other.end()) {
      lines.push_back("only left: " + path);
      return;
    }
    if (!equal_leaves(leaf, *found->second)) {
      lines.push_back("different: " + path + ": " + leaf.describe() + " and " + found->second->describe());
    }
    other.erase(found);
  });
  for (const auto& [path, leaf] : other) lines.push_back("only right: " + path);
  return lines;
}

std::vector<std::string> list_state(const Tree& saved) {
  std::vector<std::string> lines;
  saved.walk([&](const std::string& path, const Tree& leaf) { lines.push_back(path + "  " + leaf.describe()); });
  return lines;
}

}  // namespace athanor
