// SPDX-License-Identifier: Apache-2.0
#include "athanor/data/limit.hpp"

#include <algorithm>
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
