// SPDX-License-Identifier: Apache-2.0
#include "athanor/metrics/once.hpp"

#include "athanor/core/error.hpp"

namespace athanor::metrics::detail {

double single_number(const Tree& value, const std::string& metric) {
  if (!value.is_dictionary()) return value.real();
  throw Error({.what = "a value for each class is not a single number",
               .where = metric,
               .got = "Average::per_class",
               .expected = "micro, macro or weighted",
               .todo = "call metrics::once(metric, predictions, target), which gives the dictionary"});
}

void check_alike(bool alike, const std::string& metric) {
  if (alike) return;
  throw Error({.what = "two metrics with different options can't be merged",
               .where = metric,
               .todo = "merge only copies of one metric, each with a part of the data"});
}

}  // namespace athanor::metrics::detail
