// SPDX-License-Identifier: Apache-2.0
// A part of the batches of an epoch.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

namespace athanor {

/// So many batches, or such a fraction of them; the kind of the number says which:
///
///     std::optional<Limit> train_batches = 100;   // the first hundred batches
///     std::optional<Limit> train_batches = 0.25;  // the first quarter
///
/// Mind the point: `1` is one batch, `1.0` is all of them. Any number is taken; check() tells whether it makes sense.
class Limit {
 public:
  template <std::integral I>
  requires(!std::same_as<I, bool>) constexpr Limit(I batches) noexcept : batches_(static_cast<int64_t>(batches)) {}
  template <std::floating_point F>
  constexpr Limit(F fraction) noexcept : fraction_(static_cast<double>(fraction)), is_fraction_(true) {}

  /// How many of `batches` that is: at least 1, and not more than there are. A fraction is rounded down.
  [[nodiscard]] int64_t of(int64_t batches) const noexcept;

  /// `100 batches`, `0.25 of the batches`.
  [[nodiscard]] std::string describe() const;
  /// What `describe` gives, or the number alone: `100`, `0.25`, `1.0`. Throws Error for anything else.
  [[nodiscard]] static Limit parse(std::string_view text);

  /// Throws Error that names `option` for less than one batch, and for a fraction outside of (0, 1].
  void check(const char* option) const;

  bool operator==(const Limit&) const = default;

 private:
  int64_t batches_ = 0;
  double fraction_ = 0;
  bool is_fraction_ = false;
};

}  // namespace athanor
