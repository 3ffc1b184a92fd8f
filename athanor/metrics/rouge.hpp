// SPDX-License-Identifier: Apache-2.0
// ROUGE, as Google's rouge-score counts it.
//
//     athanor::Metrics metrics = {athanor::metrics::rouge_n(1), athanor::metrics::rouge_n(2),
//     athanor::metrics::rouge_l()}; athanor::metrics::rouge_n(2, predictions, references, {.stemmer = true});
//
// A word is a run of the letters a to z and digits, after str.lower(): for English. Of several references that one
// counts whose F is greatest. The value is the mean over the samples; a text without a word gives 0.
//
// Lin, "ROUGE: A Package for Automatic Evaluation of Summaries", 2004.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "athanor/metrics/metric.hpp"
#include "athanor/metrics/text_input.hpp"

namespace athanor::metrics {

enum class RougeMeasure { f, precision, recall };

struct RougeOptions {
  /// Compares stems instead of words of more than three letters (porter_stemmer.hpp).
  bool stemmer = false;
  /// What `compute` gives: "rouge1", "rouge1_precision" or "rouge1_recall".
  RougeMeasure measure = RougeMeasure::f;

  friend bool operator==(const RougeOptions&, const RougeOptions&) = default;
};

/// From 0 to 1 each.
struct RougeScore {
  double precision = 0;
  double recall = 0;
  double f = 0;
};

/// What the classes of ROUGE share.
class Rouge {
 public:
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] Direction direction() const noexcept { return Direction::up; }
  [[nodiscard]] const RougeOptions& options() const noexcept { return options_; }
  [[nodiscard]] bool alike(const Rouge& other) const noexcept {
    return name_ == other.name_ && options_ == other.options_;
  }

  /// Adds samples, each with one reference or more. Throws Error, and adds nothing, for what text_input.hpp refuses.
  void update(const Texts& predictions, const References& targets);
  /// The same of the Trees of a step.
  void update(const Tree& predictions, const Tree& targets, int64_t samples);
  /// Throws Error when the options differ.
  void merge(const Rouge& other);
  /// The mean of the measure. Throws Error when nothing was seen.
  [[nodiscard]] double compute() const;
  /// The means of all three.
  [[nodiscard]] RougeScore score() const;
  [[nodiscard]] bool empty() const noexcept { return samples_ == 0; }
  void reset();
  void state(State& state);

 protected:
  enum class Kind { runs, subsequence, subsequences_of_lines };
  Rouge(Kind kind, int length, std::string name, RougeOptions options);

 private:
  [[nodiscard]] RougeScore of_pair(std::string_view prediction, std::string_view target) const;

  Kind kind_;
  int length_;
  std::string name_;
  RougeOptions options_;
  int64_t samples_ = 0;
  RougeScore sum_;
};

/// Runs of `length` words that both have. Called "rouge1", "rouge2", …
class RougeN : public Rouge {
 public:
  /// `length`: 1 to 9. Throws Error for another.
  explicit RougeN(int length, RougeOptions options = {});
};

/// The longest common subsequence of words, of the whole texts. Called "rougeL".
class RougeL : public Rouge {
 public:
  explicit RougeL(RougeOptions options = {});
};

/// The same line by line: of each line of the reference the words that it shares, in order, with any line of the
/// prediction; a sentence should be a line. Called "rougeLsum".
class RougeLsum : public Rouge {
 public:
  explicit RougeLsum(RougeOptions options = {});
};

/// For `.metrics = {athanor::metrics::rouge_l()}`.
[[nodiscard]] RougeN rouge_n(int length, RougeOptions options = {});
[[nodiscard]] RougeL rouge_l(RougeOptions options = {});
[[nodiscard]] RougeLsum rouge_lsum(RougeOptions options = {});

/// The means of these texts alone. Throws what `update` and `compute` throw.
[[nodiscard]] RougeScore rouge_n(int length, const Texts& predictions, const References& targets,
                                 RougeOptions options = {});
[[nodiscard]] RougeScore rouge_l(const Texts& predictions, const References& targets, RougeOptions options = {});
[[nodiscard]] RougeScore rouge_lsum(const Texts& predictions, const References& targets, RougeOptions options = {});

}  // namespace athanor::metrics
