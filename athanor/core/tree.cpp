// SPDX-License-Identifier: Apache-2.0
#include "athanor/core/tree.hpp"

#include "athanor/core/error.hpp"
#include "athanor/core/join_numbers.hpp"
#include "athanor/core/text.hpp"

namespace athanor {
namespace {

const char* kind_name(Tree::Kind kind) {
  static constexpr const char* names[] = {"nothing",  "a tensor", "a boolean", "an integer",
                                          "a number", "a text",   "a list",    "a dictionary"};
  return names[static_cast<size_t>(kind)];
}

[[noreturn]] void refuse(const Tree& tree, const char* expected) {
  throw Error({.what = "a tree holds something else than was asked for",
               .got = std::string(kind_name(tree.kind())) + ": " + tree.describe(),
               .expected = expected});
}

}  // namespace

Tree::Tree() noexcept = default;
Tree::Tree(const Tree& other) = default;
Tree::Tree(Tree&& other) noexcept = default;
Tree& Tree::operator=(const Tree& other) = default;
Tree& Tree::operator=(Tree&& other) noexcept = default;
Tree::~Tree() = default;

Tree::Tree(Kind, bool value) : value_(value) {}
Tree::Tree(Kind, int64_t value) : value_(value) {}
Tree::Tree(Kind, double value) : value_(value) {}
Tree::Tree(at::Tensor tensor) : value_(std::move(tensor)) {}
Tree::Tree(std::string text) : value_(std::move(text)) {}
Tree::Tree(const char* text) : value_(std::string(text)) {}
Tree::Tree(List list) : value_(std::move(list)) {}
Tree::Tree(Dictionary dictionary) : value_(std::move(dictionary)) {}
Tree::Tree(std::initializer_list<Entry> entries) : value_(Dictionary(entries)) {}
Tree::Tree(std::vector<at::Tensor> tensors) : value_(List(tensors.begin(), tensors.end())) {}

Tree Tree::list(List items) { return Tree(std::move(items)); }

const at::Tensor& Tree::tensor() const {
  if (const auto* held = std::get_if<at::Tensor>(&value_)) return *held;
  refuse(*this, "a tensor");
}
at::Tensor& Tree::tensor() { return const_cast<at::Tensor&>(std::as_const(*this).tensor()); }

const Tree::List& Tree::items() const {
  if (const auto* held = std::get_if<List>(&value_)) return *held;
  refuse(*this, "a list");
}
Tree::List& Tree::items() { return const_cast<List&>(std::as_const(*this).items()); }

const Tree::Dictionary& Tree::entries() const {
  if (const auto* held = std::get_if<Dictionary>(&value_)) return *held;
  refuse(*this, "a dictionary");
}
Tree::Dictionary& Tree::entries() { return const_cast<Dictionary&>(std::as_const(*this).entries()); }

bool Tree::boolean() const {
  if (const auto* held = std::get_if<bool>(&value_)) return *held;
  refuse(*this, "a boolean");
}

int64_t Tree::integer() const {
  if (const auto* held = std::get_if<int64_t>(&value_)) return *held;
  refuse(*this, "an integer");
}

double Tree::real() const {
  if (const auto* held = std::get_if<double>(&value_)) return *held;
  if (const auto* held = std::get_if<int64_t>(&value_)) return static_cast<double>(*held);
  refuse(*this, "a number");
}

const std::string& Tree::text() const {
  if (const auto* held = std::get_if<std::string>(&value_)) return *held;
  refuse(*this, "a text");
}

size_t Tree::size() const noexcept {
  if (const auto* list = std::get_if<List>(&value_)) return list->size();
  if (const auto* dictionary = std::get_if<Dictionary>(&value_)) return dictionary->size();
  return empty() ? 0 : 1;
}

const Tree& Tree::operator[](size_t index) const {
  const List& list = items();
  if (index >= list.size()) {
    throw Error({.what = "a list in a tree is shorter than was asked for",
                 .got = "index " + std::to_string(static_cast<int64_t>(index)) + " of " + describe(),
                 .expected = "an index below " + std::to_string(list.size())});
  }
  return list[index];
}

const Tree& Tree::operator[](std::string_view name) const {
  const Dictionary& dictionary = entries();
  if (const Tree* found = find(name)) return *found;
  std::vector<std::string> names;
  for (const Entry& entry : dictionary) names.push_back(entry.first);
  throw Error({.what = "a dictionary in a tree has no entry '" + std::string(name) + "'",
               .got = describe(),
               .expected = "one of " + join(names, ", ")});
}

const Tree* Tree::find(std::string_view name) const noexcept {
  if (const auto* dictionary = std::get_if<Dictionary>(&value_)) {
    for (const Entry& entry : *dictionary) {
      if (entry.first == name) return &entry.second;
    }
  }
  return nullptr;
}

Tree* Tree::find(std::string_view name) noexcept { return const_cast<Tree*>(std::as_const(*this).find(name)); }

Tree& Tree::at_or_insert(std::string_view name) {
  if (empty()) value_ = Dictionary{};
  Dictionary& dictionary = entries();
  if (Tree* found = find(name)) return *found;
  dictionary.emplace_back(std::string(name), Tree{});
  return dictionary.back().second;
}

std::vector<at::Tensor> Tree::tensors() const {
  std::vector<at::Tensor> found;
  walk([&](const std::string&, const Tree& leaf) {
    if (leaf.is_tensor()) found.push_back(leaf.tensor());
  });
  return found;
}

at::Tensor Tree::first_tensor() const {
  switch (kind()) {
    case Kind::tensor:
      return std::get<at::Tensor>(value_);
    case Kind::list:
      for (const Tree& item : std::get<List>(value_)) {
        if (at::Tensor found = item.first_tensor(); found.defined()) return found;
      }
      return {};
    case Kind::dictionary:
      for (const Entry& entry : std::get<Dictionary>(value_)) {
        if (at::Tensor found = entry.second.first_tensor(); found.defined()) return found;
      }
      return {};
    default:
      return {};
  }
}

Tree Tree::to(at::Device device) const {
  // A copy to the host that does not wait would be read before it has arrived.
  const bool non_blocking = !device.is_cpu();
  return map([&](const at::Tensor& tensor) {
    return tensor.defined() && tensor.device() != device ? tensor.to(device, non_blocking) : tensor;
  });
}

std::string Tree::describe() const {
  switch (kind()) {
    case Kind::empty:
      return "nothing";
    case Kind::tensor:
      return athanor::describe(std::get<at::Tensor>(value_));
    case Kind::boolean:
      return std::get<bool>(value_) ? "true" : "false";
    case Kind::integer:
      return std::to_string(std::get<int64_t>(value_));
    case Kind::real:
      return format_number(std::get<double>(value_));
    case Kind::text:
      return '"' + std::get<std::string>(value_) + '"';
    case Kind::list: {
      std::vector<std::string> parts;
      for (const Tree& item : std::get<List>(value_)) parts.push_back(item.describe());
      return "[" + join(parts, ", ") + "]";
    }
    case Kind::dictionary: {
      std::vector<std::string> parts;
      for (const Entry& entry : std::get<Dictionary>(value_))
        parts.push_back(entry.first + ": " + entry.second.describe());
      return "{" + join(parts, ", ") + "}";
    }
  }
  return {};
}

std::string dtype_name(at::ScalarType dtype) {
  switch (dtype) {
    case at::kFloat:
      return "float32";
    case at::kDouble:
      return "float64";
    case at::kHalf:
      return "float16";
    case at::kBFloat16:
      return "bfloat16";
    case at::kLong:
      return "int64";
    case at::kInt:
      return "int32";
    case at::kShort:
      return "int16";
    case at::kChar:
      return "int8";
    case at::kByte:
      return "uint8";
    case at::kBool:
      return "bool";
    default:
      return c10::toString(dtype);
  }
}

std::string describe(const at::Tensor& tensor) {
  if (!tensor.defined()) return "undefined";
  std::string text = dtype_name(tensor.scalar_type()) + " (" + join_numbers(tensor.sizes()) + ")";
  if (!tensor.device().is_cpu()) text += " on " + tensor.device().str();
  return text;
}

}  // namespace athanor
