// SPDX-License-Identifier: Apache-2.0
#include "athanor/checkpoint/state_json.hpp"

#include <bit>
#include <charconv>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "athanor/core/error.hpp"

namespace athanor {
namespace {

constexpr size_t deepest_state = 65;

class StateReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit StateReader(const std::string& where) : where_(where) {}

  StateJson take() { return std::move(root_); }

  bool null() override { return put({}); }
  bool boolean(bool value) override { return put({.kind = StateJson::Kind::boolean, .boolean = value}); }
  bool number_integer(number_integer_t value) override {
    return put({.kind = StateJson::Kind::integer, .integer = value});
  }
  bool number_unsigned(number_unsigned_t value) override {
    if (value > static_cast<uint64_t>(INT64_MAX)) refuse("an integer beyond 64 bits", std::to_string(value));
    return number_integer(static_cast<int64_t>(value));
  }
  bool number_float(number_float_t, const std::string& text) override {
    double value = 0;
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (code != std::errc() || end != text.data() + text.size()) refuse("a number out of range", text);
    if (text.find_first_of(".eE") == std::string::npos) refuse("an integer beyond 64 bits", text);
    return put_real(value);
  }
  bool string(std::string& text) override { return put_text(std::move(text)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(StateJson::Kind::dictionary); }
  bool start_array(std::size_t) override { return open(StateJson::Kind::list); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(std::string& name) override {
    Level& level = open_.back();
    if (name.starts_with("$$")) {
      name.erase(0, 1);
    } else {
      level.special = level.special || name.starts_with('$');
    }
    if (!level.names.insert(name).second) refuse("a name that comes twice", name);
    level.name = std::move(name);
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    refuse("something else", "byte " + std::to_string(position));
  }

 private:
  struct Level {
    StateJson value;
    std::string name = {};  // of the entry that comes next
    std::unordered_set<std::string> names = {};
    bool special = false;  // a name begins with a single $
  };

  [[noreturn]] void refuse(const char* what, const std::string& got) const {
    constexpr size_t most = 80;
    throw Error({.what = "this is not the JSON of a saved state",
                 .where = where_,
                 .got = std::string(what) + ": " + got.substr(0, most) + (got.size() > most ? "…" : ""),
                 .expected = "JSON as tree_to_json writes it"});
  }

  bool put(StateJson value) {
    if (open_.empty()) {
      root_ = std::move(value);
    } else {
      open_.back().value.entries.emplace_back(std::move(open_.back().name), std::move(value));
      open_.back().name.clear();
    }
    return true;
  }
  bool put_real(double value) { return put({.kind = StateJson::Kind::real, .real = value}); }
  bool put_text(std::string text) { return put({.kind = StateJson::Kind::text, .text = std::move(text)}); }
  bool open(StateJson::Kind kind) {
    if (open_.size() == deepest_state) refuse("too many levels", std::to_string(open_.size() + 1));
    open_.push_back({.value = {.kind = kind}});
    return true;
  }
  bool close() {
    Level level = std::move(open_.back());
    open_.pop_back();
    return level.special ? put_special(level.value) : put(std::move(level.value));
  }

  bool put_special(StateJson& special) {
    if (special.entries.size() != 1 || special.entries[0].second.kind != StateJson::Kind::text) {
      refuse("a name with $ beside others", std::to_string(special.entries.size()) + " entries");
    }
    const std::string& name = special.entries[0].first;
    std::string& text = special.entries[0].second.text;
    if (name == "$tensor") return put({.kind = StateJson::Kind::tensor, .text = std::move(text)});
    if (name == "$real") {
      uint64_t bits = 0;
      const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), bits, 16);
      if (code == std::errc() && end == text.data() + text.size()) return put_real(std::bit_cast<double>(bits));
    }
    if (name == "$bytes" && text.size() % 2 == 0) {
      std::string bytes;
      bytes.reserve(text.size() / 2);
      for (size_t i = 0; i < text.size(); i += 2) {
        unsigned byte = 0;
        const auto [end, code] = std::from_chars(text.data() + i, text.data() + i + 2, byte, 16);
        if (code != std::errc() || end != text.data() + i + 2) refuse("bytes that are not hexadecimal", text);
        bytes += static_cast<char>(byte);
      }
      return put_text(std::move(bytes));
    }
    refuse("a name with $ that is not known here", name);
  }

  const std::string& where_;
  StateJson root_;
  std::vector<Level> open_;
};

}  // namespace

StateJson parse_state_json(std::string_view json, const std::string& where) {
  StateReader reader(where);
  nlohmann::json::sax_parse(json, &reader);
  return reader.take();
}

}  // namespace athanor
