// SPDX-License-Identifier: Apache-2.0
#include "athanor/core/option_fields.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "athanor/core/error.hpp"
#include "athanor/core/option_json.hpp"
#include "athanor/core/options.hpp"
#include "athanor/core/text.hpp"

namespace athanor {
namespace {

using detail::OptionFaults;
using detail::OptionValue;
using Kind = OptionValue::Kind;

std::string_view trim(std::string_view text) {
  constexpr std::string_view blanks = " \t";
  const size_t begin = text.find_first_not_of(blanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
}

/// The whole text as a number: digits only, no `inf`, no sign `+`.
template <class T>
std::optional<T> number_in(std::string_view text) {
  if (text.find_first_not_of("0123456789.eE+-") != std::string_view::npos) return std::nullopt;
  T number{};
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failure != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<double> special_number(std::string_view text) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (text == "inf") return infinity;
  if (text == "-inf") return -infinity;
  if (text == "nan") return std::numeric_limits<double>::quiet_NaN();
  return std::nullopt;
}

bool is_number(const OptionValue& value) { return value.kind == Kind::number || value.kind == Kind::word; }
bool is_text(const OptionValue& value) { return value.kind == Kind::text || value.kind == Kind::word; }

std::optional<Duration> duration_in(std::string_view text) {
  const size_t letters = text.find_first_not_of("0123456789.eE+-");
  // The e of `epochs` may have been taken for an exponent.
  size_t end = letters == std::string_view::npos ? text.size() : letters;
  if (end > 0 && end < text.size() && text[end] == 'p' && text[end - 1] == 'e') --end;
  const std::string_view digits = text.substr(0, end);
  std::string_view unit = text.substr(end);
  if (unit.starts_with(' ') || unit.starts_with('_')) unit.remove_prefix(1);
  const auto count = number_in<double>(digits);
  if (!count || *count < 0 || std::signbit(*count)) return std::nullopt;
  auto is = [&](std::string_view one) {
    return unit == one || (unit.size() == one.size() + 1 && unit.starts_with(one) && unit.back() == 's');
  };
  if (is("epoch")) return Duration::epochs(*count);
  if (is("second")) return Duration::seconds(*count);
  if (is("minute")) return Duration::seconds(60 * *count);
  if (is("hour")) return Duration::seconds(3600 * *count);
  const bool whole = *count == std::trunc(*count) && *count <= 9007199254740992.0;
  if (is("step") && whole) return Duration::steps(static_cast<int64_t>(*count));
  if (is("sample") && whole) return Duration::samples(static_cast<int64_t>(*count));
  return std::nullopt;
}

constexpr const char* duration_forms =
    "a length such as 20 epochs, 0.5 epochs, 500 steps, 60000 samples, 30 seconds, 90 minutes or 2 hours";

}  // namespace

Duration parse_duration(std::string_view text) {
  if (const auto duration = duration_in(text)) return *duration;
  throw Error({.what = "this is not a length of training", .got = std::string(text), .expected = duration_forms});
}

namespace detail {

std::string OptionValue::describe() const {
  constexpr size_t longest = 80;
  switch (kind) {
    case Kind::null:
      return "null";
    case Kind::list:
      return "a list of " + std::to_string(items.size());
    case Kind::dictionary:
      return "an object";
    default:
      break;
  }
  if (text.size() <= longest) return text;
  size_t cut = longest;
  while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xC0U) == 0x80U) --cut;
  return text.substr(0, cut) + "...";
}

void OptionFields::add(OptionField field) {
  const bool taken = std::any_of(fields_.begin(), fields_.end(), [&](const auto& f) { return f.name == field.name; });
  if (field.name.empty() || taken || field.name.find_first_of(".-= ") != std::string::npos) {
    throw Error({.what = taken ? "two fields of an options struct have one name" : "a field can't have such a name",
                 .where = "fields() of an options struct",
                 .got = "'" + field.name + "'",
                 .expected = "letters, digits and underscores, each name once"});
  }
  fields_.push_back(std::move(field));
}

void add_fault(OptionFaults& faults, const std::string& name, const OptionValue& value, const std::string& expected) {
  const bool quoted = value.kind == Kind::text || value.kind == Kind::word;
  faults.push_back(name + ": " + (quoted ? "'" + value.describe() + "'" : value.describe()) + ", expected " + expected);
}

std::optional<OptionValue> as_list(const OptionValue& value, const std::string& name, const std::string& expected,
                                   OptionFaults& faults) {
  if (value.kind == Kind::list) return value;
  if (value.kind == Kind::word) {
    const std::string_view text = trim(value.text);
    if (text.starts_with('[')) {
      try {
        return parse_option_json(text, name);
      } catch (const Error&) {
        add_fault(faults, name, value, expected + ", separated by commas, or a list in JSON");
        return std::nullopt;
      }
    }
    OptionValue list{.kind = Kind::list};
    for (size_t begin = 0; begin < text.size() || (begin > 0 && begin == text.size());) {
      const size_t comma = std::min(text.find(',', begin), text.size());
      list.items.push_back({.kind = Kind::word, .text = std::string(trim(text.substr(begin, comma - begin)))});
      begin = comma + 1;
    }
    return list;
  }
  add_fault(faults, name, value, expected);
  return std::nullopt;
}

std::optional<OptionValue> as_dictionary(const OptionValue& value, const std::string& name, OptionFaults& faults) {
  if (value.kind == Kind::dictionary) return value;
  if (value.kind == Kind::word && trim(value.text).starts_with('{')) {
    try {
      return parse_option_json(trim(value.text), name);
    } catch (const Error& error) {
      faults.push_back(name + ": " + error.parts().got + ", expected an object in JSON");
      return std::nullopt;
    }
  }
  add_fault(faults, name, value, "a group of options: " + name + ".FIELD, or an object in JSON");
  return std::nullopt;
}

std::optional<bool> OptionCodec<bool>::take(const OptionValue& value, const bool*, const std::string& name,
                                            OptionFaults& faults) {
  if (value.kind == Kind::boolean || value.kind == Kind::word) {
    if (value.text == "true") return true;
    if (value.text == "false") return false;
  }
  add_fault(faults, name, value, expected());
  return std::nullopt;
}
OptionValue OptionCodec<bool>::write(bool value) { return {.kind = Kind::boolean, .text = value ? "true" : "false"}; }
std::string OptionCodec<bool>::expected() { return "true or false"; }

std::optional<double> OptionCodec<double>::take(const OptionValue& value, const double*, const std::string& name,
                                                OptionFaults& faults) {
  if (is_text(value)) {
    if (const auto number = special_number(value.text)) return number;
  }
  if (is_number(value)) {
    if (const auto number = number_in<double>(value.text)) return number;
  }
  add_fault(faults, name, value, expected());
  return std::nullopt;
}
OptionValue OptionCodec<double>::write(double value) {
  if (std::isnan(value)) return {.kind = Kind::text, .text = "nan"};
  if (std::isinf(value)) return {.kind = Kind::text, .text = value > 0 ? "inf" : "-inf"};
  return {.kind = Kind::number, .text = value == 0 && std::signbit(value) ? "-0.0" : shortest(value)};
}
std::string OptionCodec<double>::expected() { return "a number"; }

std::optional<std::string> OptionCodec<std::string>::take(const OptionValue& value, const std::string*,
                                                          const std::string& name, OptionFaults& faults) {
  return take_text(value, name, expected(), faults);
}
OptionValue OptionCodec<std::string>::write(const std::string& value) { return {.kind = Kind::text, .text = value}; }
std::string OptionCodec<std::string>::expected() { return "text"; }

std::optional<std::filesystem::path> OptionCodec<std::filesystem::path>::take(const OptionValue& value,
                                                                              const std::filesystem::path*,
                                                                              const std::string& name,
                                                                              OptionFaults& faults) {
  const auto text = take_text(value, name, expected(), faults);
  if (!text) return std::nullopt;
  if (text->find('\0') != std::string::npos) {
    faults.push_back(name + ": text with a zero byte, expected " + expected());
    return std::nullopt;
  }
  return std::filesystem::path(*text);
}
OptionValue OptionCodec<std::filesystem::path>::write(const std::filesystem::path& value) {
  return {.kind = Kind::text, .text = value.string()};
}
std::string OptionCodec<std::filesystem::path>::expected() { return "a path"; }

std::optional<Duration> OptionCodec<Duration>::take(const OptionValue& value, const Duration*, const std::string& name,
                                                    OptionFaults& faults) {
  if (is_text(value)) {
    if (const auto duration = duration_in(value.text)) return duration;
  }
  add_fault(faults, name, value, expected());
  return std::nullopt;
}
OptionValue OptionCodec<Duration>::write(const Duration& value) {
  return {.kind = Kind::text, .text = value.describe()};
}
std::string OptionCodec<Duration>::expected() { return duration_forms; }

std::optional<int64_t> take_signed(const OptionValue& value, int64_t least, int64_t most, const std::string& name,
                                   OptionFaults& faults) {
  const auto number = is_number(value) ? number_in<int64_t>(value.text) : std::nullopt;
  if (number && *number >= least && *number <= most) return number;
  add_fault(faults, name, value, expected_integer(std::to_string(least), std::to_string(most)));
  return std::nullopt;
}

std::optional<uint64_t> take_unsigned(const OptionValue& value, uint64_t most, const std::string& name,
                                      OptionFaults& faults) {
  const auto number = is_number(value) ? number_in<uint64_t>(value.text) : std::nullopt;
  if (number && *number <= most) return number;
  add_fault(faults, name, value, expected_integer("0", std::to_string(most)));
  return std::nullopt;
}

std::string expected_integer(const std::string& least, const std::string& most) {
  return "a whole number from " + least + " to " + most;
}

std::optional<size_t> take_name(const OptionValue& value, const std::vector<std::string>& names,
                                const std::string& name, OptionFaults& faults) {
  if (is_text(value)) {
    const auto found = std::find(names.begin(), names.end(), value.text);
    if (found != names.end()) return static_cast<size_t>(found - names.begin());
  }
  std::string expected = expected_name(names);
  const std::string near = is_text(value) ? nearest(value.text, names) : "";
  if (!near.empty()) expected += "; the nearest is " + near;
  add_fault(faults, name, value, expected);
  return std::nullopt;
}

std::string expected_name(const std::vector<std::string>& names) { return "one of " + join(names, ", "); }

void refuse_unnamed_enum(int64_t value) {
  throw Error({.what = "a value of an enum has no name",
               .got = std::to_string(value),
               .todo = "add it to enum_names() beside the enum"});
}

std::optional<std::string> take_text(const OptionValue& value, const std::string& name, const std::string& expected,
                                     OptionFaults& faults) {
  if (is_text(value)) {
    if (quote(value.text)) return value.text;
    faults.push_back(name + ": text that is not UTF-8, expected " + expected);
    return std::nullopt;
  }
  add_fault(faults, name, value, expected);
  return std::nullopt;
}

void add_parse_fault(OptionFaults& faults, const std::string& name, const OptionValue& value) {
  const std::string begin = name + ": '" + value.describe() + "', ";
  try {
    throw;
  } catch (const Error& error) {
    const Error::Parts& parts = error.parts();
    faults.push_back(begin + parts.what + (parts.expected.empty() ? "" : ", expected " + parts.expected));
  } catch (const std::exception& exception) {
    faults.push_back(begin + exception.what());
  }
}

}  // namespace detail
}  // namespace athanor
