// SPDX-License-Identifier: Apache-2.0
#include "athanor/checkpoint/tree_json.hpp"

#include <bit>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

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

class TreeReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  TreeReader(const std::string& where, const std::function<at::Tensor(const std::string&)>& find_tensor)
      : where_(where), find_tensor_(find_tensor) {}

  Tree take() { return std::move(root_); }

  bool null() override { return put({}); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(number_integer_t value) override { return put(value); }
  bool number_unsigned(number_unsigned_t value) override {
    if (value > static_cast<uint64_t>(INT64_MAX)) refuse("an integer beyond 64 bits", std::to_string(value));
    return put(static_cast<int64_t>(value));
  }
  bool number_float(number_float_t, const std::string& text) override {
    double value = 0;
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (code != std::errc() || end != text.data() + text.size()) refuse("a number out of range", text);
    if (text.find_first_of(".eE") == std::string::npos) refuse("an integer beyond 64 bits", text);
    return put(value);
  }
  bool string(std::string& text) override { return put(Tree(std::move(text))); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(Tree::Dictionary{}); }
  bool key(std::string& name) override {
    if (name.starts_with("$$")) {
      names_.back() = name.substr(1);
    } else {
      special_.back() = name.starts_with('$');
      names_.back() = std::move(name);
    }
    if (open_.back().find(names_.back()) != nullptr) refuse("a name that comes twice", names_.back());
    return true;
  }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open(Tree::List{}); }
  bool end_array() override { return close(); }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    refuse("something else", "byte " + std::to_string(position));
  }

 private:
  [[noreturn]] void refuse(const char* what, const std::string& got) const {
    throw Error({.what = "this is not the JSON of a saved state",
                 .where = where_,
                 .got = std::string(what) + ": " + got,
                 .expected = "JSON as tree_to_json writes it"});
  }

  bool put(Tree value) {
    if (open_.empty()) {
      root_ = std::move(value);
    } else if (open_.back().is_list()) {
      open_.back().items().push_back(std::move(value));
    } else {
      open_.back().entries().emplace_back(names_.back(), std::move(value));
    }
    return true;
  }
  bool open(Tree container) {
    if (open_.size() == deepest_tree + 1) refuse("too many levels", std::to_string(open_.size() + 1));
    open_.push_back(std::move(container));
    names_.emplace_back();
    special_.push_back(false);
    return true;
  }
  bool close() {
    Tree value = std::move(open_.back());
    const bool special = special_.back();
    open_.pop_back();
    names_.pop_back();
    special_.pop_back();
    return put(special ? resolve(value) : std::move(value));
  }

  Tree resolve(const Tree& special) const {
    if (special.size() != 1 || special.entries()[0].second.kind() != Tree::Kind::text) {
      refuse("a name with $ beside others", special.describe());
    }
    const auto& [name, content] = special.entries()[0];
    const std::string& text = content.text();
    if (name == "$tensor" && find_tensor_) return find_tensor_(text);
    if (name == "$real") {
      uint64_t bits = 0;
      const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), bits, 16);
      if (code == std::errc() && end == text.data() + text.size()) return std::bit_cast<double>(bits);
    }
    if (name == "$bytes" && text.size() % 2 == 0) {
      std::string bytes;
      for (size_t i = 0; i < text.size(); i += 2) {
        unsigned byte = 0;
        const auto [end, code] = std::from_chars(text.data() + i, text.data() + i + 2, byte, 16);
        if (code != std::errc() || end != text.data() + i + 2) refuse("bytes that are not hexadecimal", text);
        bytes += static_cast<char>(byte);
      }
      return bytes;
    }
    refuse("a name with $ that is not known here", name);
  }

  const std::string& where_;
  const std::function<at::Tensor(const std::string&)>& find_tensor_;
  Tree root_;
  std::vector<Tree> open_;
  std::vector<std::string> names_;
  std::vector<bool> special_;
};

}  // namespace

std::string tree_to_json(const Tree& tree, const std::function<std::string(const at::Tensor&)>& name_tensor) {
  JsonWriter writer(name_tensor);
  writer.write(tree, 0);
  return std::move(writer.text) + "\n";
}

Tree tree_from_json(std::string_view json, const std::string& where,
                    const std::function<at::Tensor(const std::string&)>& find_tensor) {
  TreeReader reader(where, find_tensor);
  nlohmann::json::sax_parse(json, &reader);
  return reader.take();
}

}  // namespace athanor
