// SPDX-License-Identifier: Apache-2.0
// The part of the predictions that are exactly what they should be.
#pragma once

#include <string>
#include <string_view>

#include "athanor/metrics/metric.hpp"
#include "athanor/metrics/text_input.hpp"

namespace athanor::metrics {

struct ExactMatchOptions {
  /// Compares the texts as SQuAD does: in lower case, without ASCII punctuation, without the words a, an and the, and
  /// with single spaces. Unset: byte by byte.
  bool normalize = false;

  friend bool operator==(const ExactMatchOptions&, const ExactMatchOptions&) = default;
};

/// A prediction is right when it equals one of its references. From 0 to 1 (torchmetrics' SQuAD gives 0 to 100). Called
/// "exact_match".
class ExactMatch {
 public:
  explicit ExactMatch(ExactMatchOptions options = {}) : options_(options) {}

  [[nodiscard]] std::string name() const { return "exact_match"; }
  [[nodiscard]] Direction direction() const noexcept { return Direction::up; }
  [[nodiscard]] bool alike(const ExactMatch& other) const noexcept { return options_ == other.options_; }
  /// Adds samples, each with one reference or more. Throws Error, and adds nothing, for what text_input.hpp refuses.
  void update(const Texts& predictions, const References& targets);
  /// The same of the Trees of a step.
  void update(const Tree& predictions, const Tree& targets, int64_t samples);
  /// Throws Error when the options differ.
  void merge(const ExactMatch& other);
  /// Throws Error when nothing was seen.
  [[nodiscard]] double compute() const;
  [[nodiscard]] bool empty() const noexcept { return samples_ == 0; }
  void reset() { *this = ExactMatch(options_); }
  void state(State& state);

 private:
  ExactMatchOptions options_;
  int64_t samples_ = 0;
  int64_t right_ = 0;
};

/// For `.metrics = {athanor::metrics::exact_match()}`.
[[nodiscard]] ExactMatch exact_match(ExactMatchOptions options = {});
/// The value of these texts alone. Throws what `update` and `compute` throw.
[[nodiscard]] double exact_match(const Texts& predictions, const References& targets, ExactMatchOptions options = {});

/// A text in the form in which SQuAD compares answers. `utf8` is UTF-8.
[[nodiscard]] std::string squad_normalized(std::string_view utf8);

}  // namespace athanor::metrics
