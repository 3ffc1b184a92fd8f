// SPDX-License-Identifier: Apache-2.0
// What is said about scores that are no use; shared by the metrics, not for use outside.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

namespace athanor::metrics::detail {

/// "row 3 of the batch", and the element of the row where it has several.
[[nodiscard]] std::string place_in_batch(int64_t place, int64_t places_of_row);

/// Throws Error: `values` is the row, as text.
[[noreturn]] void refuse_nan(const std::string& where, const std::string& values);
[[noreturn]] void refuse_probability(const std::string& where, const std::string& values);

/// Throws Error when a score of the place is NaN or, of probabilities, not from 0 to 1; otherwise returns.
template <class Score>
void refuse_score(const Score* scores, int64_t classes, int64_t stride, bool probabilities, int64_t place,
                  int64_t places_of_row, const char* metric) {
  bool nan = false, outside = false;
  for (int64_t c = 0; c < classes; ++c) {
    const Score score = scores[c * stride];
    nan = nan || score != score;
    outside = outside || (probabilities && !(score >= 0 && score <= 1));
  }
  if (!nan && !outside) return;
  std::string values;
  for (int64_t c = 0; c < std::min<int64_t>(classes, 10); ++c) {
    values += (c == 0 ? "" : ", ") + std::to_string(scores[c * stride]);
  }
  if (classes > 10) values += ", …";
  const std::string where = std::string(metric) + ", " + place_in_batch(place, places_of_row);
  nan ? refuse_nan(where, values) : refuse_probability(where, values);
}

}  // namespace athanor::metrics::detail
