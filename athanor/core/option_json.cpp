// SPDX-License-Identifier: Apache-2.0
#include "athanor/core/option_json.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "athanor/core/error.hpp"

namespace athanor::detail {
namespace {

using Kind = OptionValue::Kind;

constexpr size_t max_depth = 32;
constexpr size_t max_bytes = size_t{1} << 20;

std::string place(std::string_view json, size_t byte, const std::string& where) {
  const std::string_view before = json.substr(0, std::min(byte > 0 ? byte - 1 : 0, json.size()));
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const size_t begin = before.rfind('\n');
  const size_t column = before.size() - (begin == std::string_view::npos ? 0 : begin + 1) + 1;
  return where + ", line " + std::to_string(line) + ", column " + std::to_string(column);
}

/// The parser's words without its own name and place.
std::string reason(const std::string& message) {
  size_t begin = message.find("] ");
  begin = begin == std::string::npos ? 0 : begin + 2;
  if (message.compare(begin, 11, "parse error") == 0) {
    const size_t colon = message.find(": ", begin);
    if (colon != std::string::npos) begin = colon + 2;
  }
  return OptionValue{.kind = Kind::word, .text = message.substr(begin)}.describe();
}

class Builder : public nlohmann::json_sax<nlohmann::json> {
 public:
  Builder(std::string_view json, const std::string& where) : json_(json), where_(where) {}

  OptionValue take() { return std::move(root_); }

  bool null() override { return put({}); }
  bool boolean(bool value) override { return put({.kind = Kind::boolean, .text = value ? "true" : "false"}); }
  bool number_integer(number_integer_t value) override { return number(std::to_string(value)); }
  bool number_unsigned(number_unsigned_t value) override { return number(std::to_string(value)); }
  bool number_float(number_float_t, const std::string& text) override { return number(text); }
  bool string(std::string& text) override { return put({.kind = Kind::text, .text = std::move(text)}); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(Kind::dictionary); }
  bool key(std::string& name) override {
    keys_.back() = std::move(name);
    return true;
  }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open(Kind::list); }
  bool end_array() override { return close(); }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& failure) override {
    throw Error({.what = "this is not JSON",
                 .where = place(json_, position, where_),
                 .got = reason(failure.what()),
                 .expected = "one JSON object in UTF-8, without comments"});
  }

 private:
  bool number(std::string digits) { return put({.kind = Kind::number, .text = std::move(digits)}); }
  bool put(OptionValue value) {
    if (open_.empty()) {
      root_ = std::move(value);
    } else if (open_.back().kind == Kind::list) {
      open_.back().items.push_back(std::move(value));
    } else {
      open_.back().entries.emplace_back(keys_.back(), std::move(value));
    }
    return true;
  }
  bool open(Kind kind) {
    if (open_.size() == max_depth) {
      throw Error({.what = "the JSON of options is nested too deeply",
                   .where = where_,
                   .expected = "at most " + std::to_string(max_depth) + " levels"});
    }
    open_.push_back({.kind = kind});
    keys_.emplace_back();
    return true;
  }
  bool close() {
    OptionValue value = std::move(open_.back());
    open_.pop_back();
    keys_.pop_back();
    return put(std::move(value));
  }

  std::string_view json_;
  const std::string& where_;
  OptionValue root_;
  std::vector<OptionValue> open_;
  std::vector<std::string> keys_;
};

std::string quote_or_throw(const std::string& text) {
  if (auto quoted = quote(text)) return std::move(*quoted);
  throw Error({.what = "an option can't be written as JSON",
               .got = "text that is not UTF-8",
               .todo = "give the option another text or path"});
}

}  // namespace

OptionValue parse_option_json(std::string_view json, const std::string& where) {
  auto refuse = [&](const char* what, std::string got, std::string expected) {
    throw Error({.what = what, .where = where, .got = std::move(got), .expected = std::move(expected)});
  };
  if (json.size() > max_bytes) {
    refuse("the JSON of options is too long", std::to_string(json.size()) + " bytes",
           "at most " + std::to_string(max_bytes) + " bytes");
  }
  // The parser would skip a byte order mark, and take a zero byte for the end.
  if (json.starts_with("\xEF\xBB\xBF")) refuse("this is not JSON", "a byte order mark", "UTF-8 without one");
  if (json.find('\0') != std::string_view::npos) refuse("this is not JSON", "a zero byte", "text in UTF-8");
  Builder builder(json, where);
  nlohmann::json::sax_parse(json, &builder);
  return builder.take();
}

std::optional<std::string> quote(const std::string& text) {
  try {
    return nlohmann::json(text).dump();
  } catch (const nlohmann::json::type_error&) {
    return std::nullopt;
  }
}

std::string write_option_json(const OptionValue& value, int indent) {
  switch (value.kind) {
    case Kind::null:
      return "null";
    case Kind::boolean:
    case Kind::number:
      return value.text;
    case Kind::text:
    case Kind::word:
      return quote_or_throw(value.text);
    case Kind::list: {
      std::string text = "[";
      for (const OptionValue& item : value.items) {
        text += (text.size() > 1 ? ", " : "") + write_option_json(item, indent);
      }
      return text + "]";
    }
    case Kind::dictionary: {
      const std::string blanks(static_cast<size_t>(indent) * 2, ' ');
      std::string text;
      for (const auto& [name, entry] : value.entries) {
        text += (text.empty() ? "\n  " : ",\n  ") + blanks + quote_or_throw(name) + ": " +
                write_option_json(entry, indent + 1);
      }
      return text.empty() ? "{}" : "{" + text + "\n" + blanks + "}";
    }
  }
  return {};
}

}  // namespace athanor::detail
