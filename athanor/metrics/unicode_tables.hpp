// SPDX-License-Identifier: Apache-2.0
// Tables of characters; shared by the metrics of text, not for use outside. No LibTorch.
#pragma once

#include <cstdint>
#include <span>

namespace athanor::metrics::detail {

/// What a character is, as bits.
enum CharacterProperty : uint8_t {
  number_character = 1,           ///< \p{N} of the regex module.
  punctuation_character = 2,      ///< \p{P}
  symbol_character = 4,           ///< \p{S}
  cased_character = 8,            ///< \p{Cased}
  case_ignorable_character = 16,  ///< \p{Case_Ignorable}
  word_character = 32,            ///< str.isalnum(): \w of Python's re, without the underscore.
};

/// Characters from `first` to `last` with the same properties.
struct PropertyRange {
  uint32_t first;
  uint32_t last;
  uint8_t properties;
};

/// Every `step`-th character from `first` to `last` is `delta` away from its lower case.
struct LowerRange {
  uint32_t first;
  uint32_t last;
  int32_t delta;
  uint32_t step;
};

/// In ascending order.
[[nodiscard]] std::span<const PropertyRange> property_ranges() noexcept;
[[nodiscard]] std::span<const LowerRange> lower_ranges() noexcept;

}  // namespace athanor::metrics::detail
