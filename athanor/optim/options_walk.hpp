// SPDX-License-Identifier: Apache-2.0
// The options of an optimizer as a list that is gone through: to check them, to take those of a group, to keep them.
//
//     template <class Visitor>
//     static void walk(AdamOptions& o, Visitor&& visit) {
//       visit("lr", o.lr, &GroupOptions::lr, zero_or_more);
//       visit("amsgrad", o.amsgrad, &GroupOptions::amsgrad);
//     }
#pragma once

#include <array>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "athanor/core/state.hpp"
#include "athanor/optim/fused.hpp"

namespace athanor::optim::detail {

/// What the numbers of an option may be; NaN never.
struct Range {
  double low;
  double high;
  const char* text;
  bool with_low = true;
  bool with_high = true;
  [[nodiscard]] bool holds(double value) const noexcept {
    return (value > low || (with_low && value == low)) && (value < high || (with_high && value == high));
  }
};

inline constexpr double unlimited = std::numeric_limits<double>::infinity();
inline constexpr Range zero_or_more{0, unlimited, "0 or more"};
inline constexpr Range above_zero{0, unlimited, "above 0", false};
inline constexpr Range below_one{0, 1, "from 0 to below 1", true, false};
inline constexpr Range zero_to_one{0, 1, "from 0 to 1"};
inline constexpr Range zero_or_less{-unlimited, 0, "0 or less"};
inline constexpr Range one_or_more{1, unlimited, "1 or more"};
inline constexpr Range any_number{-unlimited, unlimited, "a number"};

/// Throws Error for a number outside its range.
struct OptionCheck {
  const std::string& optimizer;
  template <class Member>
  void operator()(const char* name, double& value, Member, const Range& range) const {
    require(range.holds(value), optimizer, name, value, range.text);
  }
  template <size_t size, class Member>
  void operator()(const char* name, std::array<double, size>& values, Member, const Range& range) const {
    for (const double value : values) require(range.holds(value), optimizer, name, value, range.text);
  }
  template <class Member>
  void operator()(const char* name, std::optional<double>& value, Member, const Range& range) const {
    if (value) require(range.holds(*value), optimizer, name, *value, range.text);
  }
  template <class Member>
  void operator()(const char* name, int64_t& value, Member, const Range& range) const {
    const auto number = static_cast<double>(value);
    require(range.holds(number), optimizer, name, number, range.text);
  }
  template <class T, class Member>
  void operator()(const char*, T&, Member) const {}
};

/// Takes what a group has set, and notes which options there are.
struct OptionOverride {
  const GroupOptions& group;
  std::vector<std::string_view>& known;
  template <class T, class U, class... Rest>
  void operator()(const char* name, T& value, std::optional<U> GroupOptions::*member, const Rest&...) const {
    known.emplace_back(name);
    if (group.*member) value = *(group.*member);
  }
};

/// Saves and loads the numbers; `betas` are called `beta1` and `beta2`. Switches, counts and modes belong to the
/// program, not to the state.
struct OptionState {
  State& state;
  template <class... Rest>
  void operator()(const char* name, double& value, const Rest&...) const {
    state.value(name, value);
  }
  template <size_t size, class... Rest>
  void operator()(std::string_view name, std::array<double, size>& values, const Rest&...) const {
    if (name.ends_with('s')) name.remove_suffix(1);
    for (size_t i = 0; i < size; ++i) state.value(std::string(name) + std::to_string(i + 1), values[i]);
  }
  /// Told, for Python; loading does not change it, because the states of the parameters are made for it.
  template <class... Rest>
  void operator()(const char* name, bool& flag, const Rest&...) const {
    bool told = flag;
    state.value(name, told);
  }
  template <class T, class... Rest>
  void operator()(std::string_view, T&, const Rest&...) const {}
};

/// Finds the place of a field; "momentum" is the first of the betas where there is no option of that name.
struct OptionField {
  std::string_view field;
  double*& place;
  template <class... Rest>
  void operator()(std::string_view name, double& value, const Rest&...) const {
    if (name == field) place = &value;
  }
  template <class... Rest>
  void operator()(std::string_view name, std::array<double, 2>& values, const Rest&...) const {
    if (name == "betas" && field == "momentum") place = values.data();
  }
  template <class T, class... Rest>
  void operator()(std::string_view, T&, const Rest&...) const {}
};

/// Throws Error for an option that the group sets and that is not among the known ones.
void refuse_unknown(const GroupOptions& group, const std::vector<std::string_view>& known,
                    const std::string& optimizer);

template <class Rules>
void check_options(typename Rules::Options& options) {
  const std::string name = Rules::name;
  Rules::walk(options, OptionCheck{name});
  if constexpr (requires { Rules::check_together(options, name); }) Rules::check_together(options, name);
}

template <class Rules>
void take_group_options(const GroupOptions& group, typename Rules::Options& options) {
  std::vector<std::string_view> known;
  Rules::walk(options, OptionOverride{group, known});
  refuse_unknown(group, known, Rules::name);
  check_options<Rules>(options);
}

template <class Rules>
double* field_of(typename Rules::Options& options, Optimizer::Field field) {
  double* place = nullptr;
  Rules::walk(options, OptionField{name_of(field), place});
  return place;
}

}  // namespace athanor::optim::detail
