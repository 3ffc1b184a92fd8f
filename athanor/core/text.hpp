// SPDX-License-Identifier: Apache-2.0
// Small text helpers for messages and tables.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace athanor {

/// The parts with `separator` between them.
[[nodiscard]] std::string join(std::span<const std::string> parts, std::string_view separator);

/// A number as a person writes it: four decimals, scientific below 1e-3 and from 1e6 on, integers without decimals,
/// `nan`, `inf`, `-inf`.
[[nodiscard]] std::string format_number(double value, int decimals = 4);

/// A number as somebody would write an option: the fewest digits that read back as the same number.
[[nodiscard]] std::string shortest(double value);

/// The candidate that is nearest to `word` by edit distance, or empty when none is near (more than a third differs).
[[nodiscard]] std::string nearest(std::string_view word, std::span<const std::string> candidates);

/// Whether all of `name` fits `pattern`, in which `*` stands for any run of characters, none and dots included, `?` for
/// any one character, and everything else for itself. Time grows with the product of the two lengths at most.
[[nodiscard]] bool matches(std::string_view pattern, std::string_view name) noexcept;

/// `0:42`, `12:05`, `3:07:12`; `-:--` for a time that is not known (NaN or infinite).
[[nodiscard]] std::string format_seconds(double seconds);

}  // namespace athanor
