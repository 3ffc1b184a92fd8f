// SPDX-License-Identifier: Apache-2.0
// The distance of Levenshtein: how many characters must be put in, left out or replaced.
//
// Characters are code points, as Python's str counts them; the time grows with one length times a 64th of the other
// (Myers, "A fast bit-vector algorithm for approximate string matching based on dynamic programming", 1999; Hyyrö's
// form for long texts).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "athanor/metrics/metric.hpp"
#include "athanor/metrics/text_input.hpp"

namespace athanor::metrics {

/// The distance of two texts in code points. Throws Error for a text that is not UTF-8.
[[nodiscard]] int64_t levenshtein(std::string_view a, std::string_view b);

struct EditDistanceOptions {
  /// Divides each distance by the length of the longer text, so that it lies from 0 to 1; two empty texts have 0.
  bool normalized = false;

  friend bool operator==(const EditDistanceOptions&, const EditDistanceOptions&) = default;
};

/// The mean of the distances of the samples. Called "edit_distance", or "normalized_edit_distance".
class EditDistance {
 public:
  explicit EditDistance(EditDistanceOptions options = {}) : options_(options) {}

  [[nodiscard]] std::string name() const { return options_.normalized ? "normalized_edit_distance" : "edit_distance"; }
  [[nodiscard]] Direction direction() const noexcept { return Direction::down; }
  [[nodiscard]] bool alike(const EditDistance& other) const noexcept { return options_ == other.options_; }
  /// Adds samples, each with one reference. Throws Error, and adds nothing, for what text_input.hpp refuses.
  void update(const Texts& predictions, const References& targets);
  /// The same of the Trees of a step.
  void update(const Tree& predictions, const Tree& targets, int64_t samples);
  /// Throws Error when the options differ.
  void merge(const EditDistance& other);
  /// Throws Error when nothing was seen.
  [[nodiscard]] double compute() const;
  [[nodiscard]] bool empty() const noexcept { return samples_ == 0; }
  void reset() { *this = EditDistance(options_); }
  void state(State& state);

 private:
  EditDistanceOptions options_;
  int64_t samples_ = 0;
  double sum_ = 0;
};

/// For `.metrics = {athanor::metrics::edit_distance()}`.
[[nodiscard]] EditDistance edit_distance(EditDistanceOptions options = {});
/// The mean over these texts alone. Throws what `update` and `compute` throw.
[[nodiscard]] double edit_distance(const Texts& predictions, const References& targets,
                                   EditDistanceOptions options = {});

/// How one text becomes the other with the fewest errors; of several ways one with the most hits.
struct EditCounts {
  int64_t insertions = 0;     ///< In the prediction, but not in the target.
  int64_t deletions = 0;      ///< In the target, but not in the prediction.
  int64_t substitutions = 0;  ///< Another in its place.
  int64_t hits = 0;           ///< Right.

  [[nodiscard]] int64_t errors() const noexcept { return insertions + deletions + substitutions; }
  friend bool operator==(const EditCounts&, const EditCounts&) = default;
};

namespace detail {

/// The distance of two sequences of numbers.
[[nodiscard]] int64_t distance(std::span<const int32_t> a, std::span<const int32_t> b);
/// In the time of the product of the lengths.
[[nodiscard]] EditCounts edits(std::span<const int32_t> prediction, std::span<const int32_t> target);
/// The code points of a text that is UTF-8, as numbers.
[[nodiscard]] std::vector<int32_t> character_ids(std::string_view utf8);

}  // namespace detail
}  // namespace athanor::metrics
