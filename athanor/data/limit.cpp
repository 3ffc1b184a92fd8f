// SPDX-License-Identifier: Apache-2.0
#include "athanor/data/limit.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"

namespace athanor {

int64_t Limit::of(int64_t batches) const noexcept {
  int64_t wanted = batches_;
  if (is_fraction_) {
    // 0.29 of 100 batches are 29, although the product is 28.999999999999996.
    constexpr double rounding = 1 + 4e-16;
    const double product = std::floor(fraction_ * static_cast<double>(batches) * rounding);
    wanted = product < static_cast<double>(batches) ? static_cast<int64_t>(product) : batches;
  }
  return std::min(std::max<int64_t>(wanted, 1), batches);
}

std::string Limit::describe() const {
  if (is_fraction_) return shortest(fraction_) + " of the batches";
  return std::to_string(batches_) + (batches_ == 1 ? " batch" : " batches");
}

Limit Limit::parse(std::string_view text) {
  std::string_view number = text;
  for (const std::string_view ending : {" of the batches", " batches", " batch"}) {
    if (!number.ends_with(ending)) continue;
    number.remove_suffix(ending.size());
    break;
  }
  const bool fraction = number.find_first_of(".eE") != std::string_view::npos || text.ends_with(" of the batches");
  const char* const end = number.data() + number.size();
  int64_t batches = 0;
  double part = 0;
  const auto [stopped, error] =
      fraction ? std::from_chars(number.data(), end, part) : std::from_chars(number.data(), end, batches);
  if (error != std::errc() || stopped != end) {
    throw Error({.what = "this is no limit on the batches",
                 .got = std::string(text),
                 .expected = "a number of batches such as 100, or a fraction of them such as 0.25"});
  }
  return fraction ? Limit(part) : Limit(batches);
}

void Limit::check(const char* option) const {
  if (is_fraction_ ? fraction_ > 0 && fraction_ <= 1 : batches_ >= 1) return;
  throw Error({.what = "an impossible limit on the batches",
               .where = option,
               .got = describe(),
               .expected = "a whole number of batches, 1 or more, or a fraction above 0 and up to 1.0",
               .todo = is_fraction_ && fraction_ > 1 ? "write a number of batches without a decimal point"
                                                     : "leave the option unset to use all batches"});
}

}  // namespace athanor
