// SPDX-License-Identifier: Apache-2.0
// Options from outside: each field of an options struct by its name, from the command line or a JSON file.
//
//     struct ClipOptions {
//       std::optional<double> norm = {};
//       std::optional<double> value = {};
//     };
//     template <class Visitor>
//     void fields(Visitor& visit, ClipOptions& o) {
//       visit("norm", o.norm, "largest norm of all gradients together");
//       visit("value", o.value);
//     }
//
//     set_options_from_json(options, "training.json");                       // {"clip": {"norm": 1.0}}
//     auto files = set_options_from_command_line(options, argc, argv);       // --clip.norm 0.5 --shuffle more.txt
#pragma once

#include <concepts>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "athanor/core/option_fields.hpp"

namespace athanor {

/// A copyable aggregate with a function `fields(visit, options)` beside it, found by its namespace, that calls
/// `visit(name, field)` or `visit(name, field, description)` for each field that may come from outside. What is not
/// named (callbacks, functions, data) can't be set. Fields are:
///
/// | type | as text | in JSON |
/// |---|---|---|
/// | `bool` | `true`, `false` | true, false |
/// | integers | `12`, no fraction, no exponent | 12 |
/// | `double` | `0.1`, `1e-3`, `inf`, `-inf`, `nan` | 0.1; "inf", "-inf", "nan" |
/// | `std::string`, `std::filesystem::path` | as it is, UTF-8 | "text" |
/// | `Duration` | `20 epochs`, see `parse_duration` | "20 epochs" |
/// | an enum | a name | "name" |
/// | a class with `static T parse(std::string_view)` and `describe()` | what `parse` reads | "text" |
/// | `std::optional<T>` | `none`, or a T | null, or a T |
/// | `std::vector<T>`, `std::array<T, N>` | `64,128`; or a JSON list: `[64, 128]` | [64, 128] |
/// | a struct with `fields` | each field as `struct.field`; or a JSON object | {"field": 1} |
///
/// The names of an enum come from a function beside it that returns a range of pairs of name and value:
///
///     constexpr std::array<std::pair<std::string_view, Mode>, 2> enum_names(Mode) {
///       return {{{"min", Mode::min}, {"max", Mode::max}}};
///     }
///
/// Dashes and underscores in names are the same. An optional struct that is unset is made, with its defaults, when one
/// of its fields is set. Values are taken over only when all are right: otherwise an Error lists every fault (unknown
/// names with the nearest known one, wrong types with what was expected, numbers that do not fit) and the options are
/// unchanged. What an option means for training is checked by who uses it.
template <class T>
concept Options = std::copyable<T> && detail::HasOptionFields<T>;

/// A length as the literals spell it: a number, then epoch(s), step(s), sample(s), second(s), minute(s) or hour(s),
/// with a space, an underscore or nothing between: `20 epochs`, `0.25_epochs`, `500steps`. Steps and samples are whole
/// numbers up to 2^53; nothing is negative. Throws Error.
[[nodiscard]] Duration parse_duration(std::string_view text);

namespace detail {
void set_option(const std::vector<OptionField>& fields, std::string_view name, std::string_view text);
std::vector<std::string> set_from_command_line(const std::vector<OptionField>& fields, int argc,
                                               const char* const* argv);
void set_from_json(const std::vector<OptionField>& fields, const std::filesystem::path& path);
void set_from_json_text(const std::vector<OptionField>& fields, std::string_view json, const std::string& where);
std::string to_json(const std::vector<OptionField>& fields);
std::vector<std::pair<std::string, std::string>> list(const std::vector<OptionField>& fields);
std::string help(const std::vector<OptionField>& fields);
}  // namespace detail

/// Sets one option; `clip.norm` names a field of a nested struct. Throws Error, and then nothing has changed.
template <Options T>
void set_option(T& options, std::string_view name, std::string_view text) {
  T changed = options;
  detail::set_option(detail::fields_of(changed), name, text);
  options = std::move(changed);
}

/// Takes the arguments of `main`, without the first, which is the program: `--name value`, `--name=value`, `--name` for
/// a bool that becomes true and `--no-name` for false (a bool takes the next argument only when that is `true` or
/// `false`). The last of several wins, `--` ends the options. Returns the other arguments in their order; one that
/// begins with a single dash and a letter is refused, and so is a value that begins with two (write `--name=--value`).
/// Throws Error, and then nothing has changed. `--help`, where no option is called so, and `-h` print `options_help`
/// with what was set before them, and end the program with 0.
template <Options T>
std::vector<std::string> set_options_from_command_line(T& options, int argc, const char* const* argv) {
  T changed = options;
  auto rest = detail::set_from_command_line(detail::fields_of(changed), argc, argv);
  options = std::move(changed);
  return rest;
}

/// Sets the options that a JSON file names; the others stay. The file holds one object in UTF-8, at most 1 MiB and 32
/// levels deep, without comments; a name that occurs twice in an object is refused. Throws Error with line and column
/// for what is not JSON, and then nothing has changed.
template <Options T>
void set_options_from_json(T& options, const std::filesystem::path& path) {
  T changed = options;
  detail::set_from_json(detail::fields_of(changed), path);
  options = std::move(changed);
}

/// The same from text. `where` names its source in messages.
template <Options T>
void set_options_from_json_text(T& options, std::string_view json, const std::string& where = "JSON text") {
  T changed = options;
  detail::set_from_json_text(detail::fields_of(changed), json, where);
  options = std::move(changed);
}

/// Every field as a JSON object, ready for a file. Reading it back gives the same values to the last bit. Throws Error
/// for text that is not UTF-8 and for an enum without a name.
template <Options T>
[[nodiscard]] std::string options_to_json(const T& options) {
  T copy = options;
  return detail::to_json(detail::fields_of(copy));
}

/// Every field with its dotted name and its value as `set_option` takes it, for printing.
template <Options T>
[[nodiscard]] std::vector<std::pair<std::string, std::string>> list_options(const T& options) {
  T copy = options;
  return detail::list(detail::fields_of(copy));
}

/// A line for each option: name, the value that it has in `options`, what it takes, and its description.
template <Options T>
[[nodiscard]] std::string options_help(const T& options) {
  T copy = options;
  return detail::help(detail::fields_of(copy));
}

}  // namespace athanor
