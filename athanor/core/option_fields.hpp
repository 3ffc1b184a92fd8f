// SPDX-License-Identifier: Apache-2.0
// Which types an options struct may have, and how each is read from text and JSON and written again.
#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "athanor/core/duration.hpp"

namespace athanor::detail {

/// What a JSON file or the command line says, before anybody knows the type of the field.
struct OptionValue {
  enum class Kind {
    null,
    boolean,  ///< `text` is true or false.
    number,   ///< `text` holds its digits, so that no integer is rounded.
    text,
    list,        ///< `items`.
    dictionary,  ///< `entries`, in the order of the file.
    word,        ///< `text` from a command line: anything.
  };
  Kind kind = Kind::null;
  std::string text = {};
  std::vector<OptionValue> items = {};
  std::vector<std::pair<std::string, OptionValue>> entries = {};

  /// For messages; long ones are cut.
  [[nodiscard]] std::string describe() const;
};

/// Everything that is wrong, a line each.
using OptionFaults = std::vector<std::string>;

struct OptionField;

/// How the fields of one type are handled without knowing the type.
struct OptionType {
  void (*read)(const OptionValue& value, void* field, const std::string& name, OptionFaults& faults);
  OptionValue (*write)(const void* field);
  std::string (*expected)();
  /// The fields of a nested struct; an unset optional struct has them only after `make`. Null for all other types.
  std::vector<OptionField> (*members)(void* field, bool make);
  bool is_flag;  ///< `--name` alone means true.
};

struct OptionField {
  std::string name;
  std::string description;
  void* field;
  const OptionType* type;
};

template <class T>
struct OptionCodec;

template <class T>
[[nodiscard]] const OptionType& option_type() noexcept;

/// The visitor that `fields(visit, options)` is given.
class OptionFields {
 public:
  template <class T>
  void operator()(std::string_view name, T& field, std::string_view description = {}) {
    add({std::string(name), std::string(description), &field, &option_type<T>()});
  }
  [[nodiscard]] std::vector<OptionField> take() noexcept { return std::move(fields_); }

 private:
  void add(OptionField field);
  std::vector<OptionField> fields_;
};

template <class T>
concept HasOptionFields = std::is_class_v<T> && requires(OptionFields& visit, T& options) {
  fields(visit, options);
};

template <HasOptionFields T>
[[nodiscard]] std::vector<OptionField> fields_of(T& options) {
  OptionFields visit;
  fields(visit, options);
  return visit.take();
}

/// Reads the entries of a dictionary into the fields of those names.
void read_members(const std::vector<OptionField>& members, const OptionValue& value, const std::string& name,
                  OptionFaults& faults);
[[nodiscard]] OptionValue write_members(const std::vector<OptionField>& members);

void add_fault(OptionFaults& faults, const std::string& name, const OptionValue& value, const std::string& expected);
/// `value` itself; for a word, the list or dictionary that it spells. None, with a fault, when it is something else.
[[nodiscard]] std::optional<OptionValue> as_list(const OptionValue& value, const std::string& name,
                                                 const std::string& expected, OptionFaults& faults);
[[nodiscard]] std::optional<OptionValue> as_dictionary(const OptionValue& value, const std::string& name,
                                                       OptionFaults& faults);

/// `take` makes a T out of a value; none, with a fault, when that can't be done. `before` is the value that the field
/// has, for structs of which the value names some fields only; it may be null.
template <>
struct OptionCodec<bool> {
  static std::optional<bool> take(const OptionValue&, const bool* before, const std::string& name, OptionFaults&);
  static OptionValue write(bool value);
  static std::string expected();
};

template <>
struct OptionCodec<double> {
  static std::optional<double> take(const OptionValue&, const double* before, const std::string& name, OptionFaults&);
  static OptionValue write(double value);
  static std::string expected();
};

template <>
struct OptionCodec<std::string> {
  static std::optional<std::string> take(const OptionValue&, const std::string* before, const std::string& name,
                                         OptionFaults&);
  static OptionValue write(const std::string& value);
  static std::string expected();
};

template <>
struct OptionCodec<std::filesystem::path> {
  static std::optional<std::filesystem::path> take(const OptionValue&, const std::filesystem::path* before,
                                                   const std::string& name, OptionFaults&);
  static OptionValue write(const std::filesystem::path& value);
  static std::string expected();
};

template <>
struct OptionCodec<Duration> {
  static std::optional<Duration> take(const OptionValue&, const Duration* before, const std::string& name,
                                      OptionFaults&);
  static OptionValue write(const Duration& value);
  static std::string expected();
};

[[nodiscard]] std::optional<int64_t> take_signed(const OptionValue&, int64_t least, int64_t most,
                                                 const std::string& name, OptionFaults&);
[[nodiscard]] std::optional<uint64_t> take_unsigned(const OptionValue&, uint64_t most, const std::string& name,
                                                    OptionFaults&);
[[nodiscard]] std::string expected_integer(const std::string& least, const std::string& most);

template <class T>
requires(std::integral<T> && !std::same_as<T, bool>) struct OptionCodec<T> {
  using Limits = std::numeric_limits<T>;

  static std::optional<T> take(const OptionValue& value, const T*, const std::string& name, OptionFaults& faults) {
    if constexpr (std::is_signed_v<T>) {
      const auto number = take_signed(value, Limits::min(), Limits::max(), name, faults);
      return number ? std::optional<T>(static_cast<T>(*number)) : std::nullopt;
    } else {
      const auto number = take_unsigned(value, Limits::max(), name, faults);
      return number ? std::optional<T>(static_cast<T>(*number)) : std::nullopt;
    }
  }
  static OptionValue write(T value) { return {.kind = OptionValue::Kind::number, .text = std::to_string(value)}; }
  static std::string expected() {
    return expected_integer(std::to_string(Limits::min()), std::to_string(Limits::max()));
  }
};

template <class T>
concept HasEnumNames = std::is_enum_v<T> && requires(T value) {
  enum_names(value);
};

[[nodiscard]] std::optional<size_t> take_name(const OptionValue&, const std::vector<std::string>& names,
                                              const std::string& name, OptionFaults&);
[[nodiscard]] std::string expected_name(const std::vector<std::string>& names);
[[noreturn]] void refuse_unnamed_enum(int64_t value);

template <HasEnumNames T>
struct OptionCodec<T> {
  static std::optional<T> take(const OptionValue& value, const T*, const std::string& name, OptionFaults& faults) {
    const auto found = take_name(value, names(), name, faults);
    if (!found) return std::nullopt;
    return enum_names(T{})[*found].second;
  }
  static OptionValue write(T value) {
    for (const auto& [name, named] : enum_names(T{})) {
      if (named == value) return {.kind = OptionValue::Kind::text, .text = std::string(name)};
    }
    refuse_unnamed_enum(static_cast<int64_t>(value));
  }
  static std::string expected() { return expected_name(names()); }

 private:
  static std::vector<std::string> names() {
    std::vector<std::string> result;
    for (const auto& [name, named] : enum_names(T{})) result.emplace_back(name);
    return result;
  }
};

template <class T>
concept HasParse = std::is_class_v<T> && requires(const T& value, std::string_view text) {
  { T::parse(text) } -> std::convertible_to<T>;
  { value.describe() } -> std::convertible_to<std::string>;
};

[[nodiscard]] std::optional<std::string> take_text(const OptionValue&, const std::string& name,
                                                   const std::string& expected, OptionFaults&);
/// The fault of a text that `parse` refused, in the words of the exception that is being handled.
void add_parse_fault(OptionFaults& faults, const std::string& name, const OptionValue& value);

template <HasParse T>
struct OptionCodec<T> {
  static std::optional<T> take(const OptionValue& value, const T*, const std::string& name, OptionFaults& faults) {
    const auto text = take_text(value, name, expected(), faults);
    if (!text) return std::nullopt;
    try {
      return T::parse(*text);
    } catch (...) {
      add_parse_fault(faults, name, value);
      return std::nullopt;
    }
  }
  static OptionValue write(const T& value) { return {.kind = OptionValue::Kind::text, .text = value.describe()}; }
  static std::string expected() { return "text"; }
};

template <class T>
requires(HasOptionFields<T> && !HasParse<T>) struct OptionCodec<T> {
  static std::optional<T> take(const OptionValue& value, const T* before, const std::string& name,
                               OptionFaults& faults) {
    const auto dictionary = as_dictionary(value, name, faults);
    if (!dictionary) return std::nullopt;
    T result = before != nullptr ? *before : T{};
    const size_t faults_before = faults.size();
    read_members(fields_of(result), *dictionary, name, faults);
    return faults.size() == faults_before ? std::optional<T>(std::move(result)) : std::nullopt;
  }
  static OptionValue write(const T& value) { return write_members(fields_of(const_cast<T&>(value))); }
  static std::string expected() { return "a group of options"; }
};

template <class T>
struct OptionCodec<std::optional<T>> {
  static std::optional<std::optional<T>> take(const OptionValue& value, const std::optional<T>* before,
                                              const std::string& name, OptionFaults& faults) {
    using Kind = OptionValue::Kind;
    if (value.kind == Kind::null || (value.kind == Kind::word && value.text == "none")) {
      return std::optional<std::optional<T>>(std::in_place);
    }
    auto taken = OptionCodec<T>::take(value, before != nullptr && *before ? &**before : nullptr, name, faults);
    if (!taken) return std::nullopt;
    return std::optional<std::optional<T>>(std::in_place, std::move(*taken));
  }
  static OptionValue write(const std::optional<T>& value) {
    return value ? OptionCodec<T>::write(*value) : OptionValue{};
  }
  static std::string expected() { return OptionCodec<T>::expected() + ", or none"; }
};

template <class T>
struct OptionCodec<std::vector<T>> {
  static std::optional<std::vector<T>> take(const OptionValue& value, const std::vector<T>*, const std::string& name,
                                            OptionFaults& faults) {
    const auto list = as_list(value, name, expected(), faults);
    if (!list) return std::nullopt;
    std::vector<T> result;
    bool whole = true;
    for (size_t i = 0; i < list->items.size(); ++i) {
      auto item = OptionCodec<T>::take(list->items[i], nullptr, name + "[" + std::to_string(i) + "]", faults);
      whole = whole && item.has_value();
      if (whole) result.push_back(std::move(*item));
    }
    return whole ? std::optional<std::vector<T>>(std::move(result)) : std::nullopt;
  }
  static OptionValue write(const std::vector<T>& value) {
    OptionValue list{.kind = OptionValue::Kind::list};
    for (size_t i = 0; i < value.size(); ++i) list.items.push_back(OptionCodec<T>::write(value[i]));
    return list;
  }
  static std::string expected() { return "a list, each " + OptionCodec<T>::expected(); }
};

template <class T, size_t N>
struct OptionCodec<std::array<T, N>> {
  static std::optional<std::array<T, N>> take(const OptionValue& value, const std::array<T, N>* before,
                                              const std::string& name, OptionFaults& faults) {
    auto items = OptionCodec<std::vector<T>>::take(value, nullptr, name, faults);
    if (!items) return std::nullopt;
    if (items->size() != N) {
      add_fault(faults, name, value, expected());
      return std::nullopt;
    }
    std::array<T, N> result = before != nullptr ? *before : std::array<T, N>{};
    for (size_t i = 0; i < N; ++i) result[i] = std::move((*items)[i]);
    return result;
  }
  static OptionValue write(const std::array<T, N>& value) {
    OptionValue list{.kind = OptionValue::Kind::list};
    for (const T& item : value) list.items.push_back(OptionCodec<T>::write(item));
    return list;
  }
  static std::string expected() { return "a list of " + std::to_string(N) + ", each " + OptionCodec<T>::expected(); }
};

template <class T>
concept IsOption = requires(const T& value) {
  OptionCodec<T>::write(value);
};

template <class T>
struct OptionMembers {
  static constexpr std::vector<OptionField> (*function)(void*, bool) = nullptr;
};
template <class T>
requires(HasOptionFields<T> && !HasParse<T>) struct OptionMembers<T> {
  static std::vector<OptionField> function(void* field, bool) { return fields_of(*static_cast<T*>(field)); }
};
template <class T>
requires(HasOptionFields<T> && !HasParse<T>) struct OptionMembers<std::optional<T>> {
  static std::vector<OptionField> function(void* field, bool make) {
    auto& optional = *static_cast<std::optional<T>*>(field);
    if (make && !optional) optional.emplace();
    return optional ? fields_of(*optional) : std::vector<OptionField>();
  }
};

template <class T>
const OptionType& option_type() noexcept {
  static_assert(IsOption<T>,
                "athanor: an option is a bool, an integer, a double, a string, a path, a Duration, an enum with "
                "enum_names(), a struct with fields(), a class with parse() and describe(), or an optional, vector or "
                "array of such; a field of another type is not named in fields()");
  static constexpr OptionType type = {
      .read =
          [](const OptionValue& value, void* field, const std::string& name, OptionFaults& faults) {
            T& place = *static_cast<T*>(field);
            if (auto taken = OptionCodec<T>::take(value, &place, name, faults)) place = std::move(*taken);
          },
      .write = [](const void* field) { return OptionCodec<T>::write(*static_cast<const T*>(field)); },
      .expected = [] { return OptionCodec<T>::expected(); },
      .members = OptionMembers<T>::function,
      .is_flag = std::same_as<T, bool> || std::same_as<T, std::optional<bool>>,
  };
  return type;
}

}  // namespace athanor::detail
