// SPDX-License-Identifier: Apache-2.0
#include "athanor/metrics/refusals.hpp"

#include "athanor/core/error.hpp"

namespace athanor::metrics::detail {

std::string place_in_batch(int64_t place, int64_t places_of_row) {
  std::string where = "row " + std::to_string(place / places_of_row) + " of the batch";
  if (places_of_row > 1) where += ", element " + std::to_string(place % places_of_row) + " of the row";
  return where;
}

void refuse_nan(const std::string& where, const std::string& values) {
  throw Error({.what = "a score is NaN",
               .where = where,
               .got = values,
               .expected = "numbers",
               .todo = "look for the layer that gives the first NaN (LayerWatch does), or leave such samples out"});
}

void refuse_probability(const std::string& where, const std::string& values) {
  throw Error({.what = "a probability is out of range",
               .where = where,
               .got = values,
               .expected = "0 to 1, because of .from_logits = false",
               .todo = "leave .from_logits at true when the predictions are logits"});
}

}  // namespace athanor::metrics::detail
