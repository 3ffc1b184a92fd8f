// SPDX-License-Identifier: Apache-2.0
#include "athanor/checkpoint/tree_json.hpp"

#include <bit>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "athanor/checkpoint/state_json.hpp"
#include "athanor/core/error.hpp"

namespace athanor {
namespace {

constexpr size_t deepest_tree = 64;

std::string hexadecimal(std::string_view bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (const char byte : bytes) {
    text += digits[static_cast<unsigned char>(byte) >> 4];
    text += digits[static_cast<unsigned char>(byte) & 15];
  }
  return text;
}

std::string quoted_json(const std::string& text) { return nlohmann::json(text).dump(); }

std::string text_to_json(const std::string& text) {
  try {
    return quoted_json(text);
  } catch (const nlohmann::json::type_error&) {
    return "{\"$bytes\": \"" + hexadecimal(text) + "\"}";
  }
}

std::string name_to_json(const std::string& name) {
  try {
    return quoted_json(name.starts_with('$') ? "$" + name : name);
  } catch (const nlohmann::json::type_error&) {
    throw Error({.what = "a name in a saved state is not UTF-8",
                 .got = "the bytes " + hexadecimal(name),
                 .todo = "give that part of the state another name"});
  }
}

std::string real_to_json(double value) {
  char buffer[32];
  if (!std::isfinite(value)) {
    const auto bits = std::bit_cast<uint64_t>(value);
    return "{\"$real\": \"" + std::string(buffer, std::to_chars(buffer, buffer + sizeof buffer, bits, 16).ptr) + "\"}";
  }
  std::string text(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
  return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
}

class JsonWriter {
 public:
  explicit JsonWriter(const std::function<std::string(const at::Tensor&)>& name_tensor) : name_tensor_(name_tensor) {}

  void write(const Tree& tree, size_t depth) {
    if (depth > deepest_tree) {
      throw Error({.what = "a saved state is nested too deeply",
                   .expected = "at most " + std::to_string(deepest_tree) + " levels"});
    }
    switch (tree.kind()) {
      case Tree::Kind::empty:
        text += "null";
        break;
      case Tree::Kind::tensor:
        if (!name_tensor_) throw Error({.what = "a tensor can't be written as JSON", .got = tree.describe()});
        text += "{\"$tensor\": " + quoted_json(name_tensor_(tree.tensor())) + "}";
        break;
      case Tree::Kind::boolean:
        text += tree.boolean() ? "true" : "false";
        break;
      case Tree::Kind::integer:
        text += std::to_string(tree.integer());
        break;
      case Tree::Kind::real:
        text += real_to_json(tree.real());
        break;
      case Tree::Kind::text:
        text += text_to_json(tree.text());
        break;
      case Tree::Kind::list: {
        text += "[";
        for (size_t i = 0; i < tree.size(); ++i) {
          if (i > 0) text += ", ";
          write(tree.items()[i], depth + 1);
        }
        text += "]";
        break;
      }
      case Tree::Kind::dictionary: {
        const std::string indent(2 * depth, ' ');
        bool first = true;
        text += "{";
        for (const auto& [name, entry] : tree.entries()) {
          text += (first ? "\n  " : ",\n  ") + indent + name_to_json(name) + ": ";
          write(entry, depth + 1);
          first = false;
        }
        text += first ? "}" : "\n" + indent + "}";
        break;
      }
    }
  }

  std::string text;

 private:
  const std::function<std::string(const at::Tensor&)>& name_tensor_;
};

Tree tree_of(StateJson& json, const std::string& where,
             const std::function<at::Tensor(const std::string&)>& find_tensor) {
  switch (json.kind) {
    case StateJson::Kind::null:
      return {};
    case StateJson::Kind::boolean:
      return json.boolean;
    case StateJson::Kind::integer:
      return json.integer;
    case StateJson::Kind::real:
      return json.real;
    case StateJson::Kind::text:
      return Tree(std::move(json.text));
    case StateJson::Kind::tensor:
      if (find_tensor) return find_tensor(json.text);
      throw Error({.what = "this is not the JSON of a saved state",
                   .where = where,
                   .got = "a name with $ that is not known here: $tensor",
                   .expected = "JSON without tensors"});
    case StateJson::Kind::list: {
      Tree list = Tree::List{};
      list.items().reserve(json.entries.size());
      for (auto& [name, entry] : json.entries) list.items().push_back(tree_of(entry, where, find_tensor));
      return list;
    }
    case StateJson::Kind::dictionary: {
      Tree dictionary = Tree::Dictionary{};
      dictionary.entries().reserve(json.entries.size());
      for (auto& [name, entry] : json.entries) {
        dictionary.entries().emplace_back(std::move(name), tree_of(entry, where, find_tensor));
      }
      return dictionary;
    }
  }
  return {};
}

}  // namespace

std::string tree_to_json(const Tree& tree, const std::function<std::string(const at::Tensor&)>& name_tensor) {
  JsonWriter writer(name_tensor);
  writer.write(tree, 0);
  return std::move(writer.text) + "\n";
}

Tree tree_from_json(std::string_view json, const std::string& where,
                    const std::function<at::Tensor(const std::string&)>& find_tensor) {
  StateJson state = parse_state_json(json, where);
  return tree_of(state, where, find_tensor);
}

}  // namespace athanor
