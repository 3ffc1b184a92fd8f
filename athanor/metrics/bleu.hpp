// SPDX-License-Identifier: Apache-2.0
// BLEU, as sacreBLEU counts it.
//
//     athanor::metrics::bleu(predictions, references)                      // 0 to 100
//     athanor::metrics::Bleu bleu({.tokenizer = BleuTokenizer::chinese});  // or batch by batch
//     bleu.signature();  // "nrefs:1|case:mixed|eff:no|tok:zh|smooth:exp|version:athanor"
//
// Papineni et al., "BLEU: a Method for Automatic Evaluation of Machine Translation", 2002; Post, "A Call for Clarity in
// Reporting BLEU Scores", 2018.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "athanor/metrics/bleu_tokenizer.hpp"
#include "athanor/metrics/metric.hpp"
#include "athanor/metrics/text_input.hpp"

namespace athanor::metrics {

/// What stands for a precision of 0, which would make the whole 0.
enum class BleuSmoothing {
  exponential,  ///< "exp": 1 / 2, 1 / 4, … of a match, as mteval-v13a.
  floor,        ///< "floor": `smoothing_value` matches.
  add_k,        ///< "add-k": `smoothing_value` more matches and more runs, of all lengths above 1.
  none,         ///< "none": the value is 0.
};

struct BleuOptions {
  BleuTokenizer tokenizer = BleuTokenizer::v13a;
  BleuSmoothing smoothing = BleuSmoothing::exponential;
  /// Unset: 0.1 of floor, 1 of add_k. Above 0.
  std::optional<double> smoothing_value = {};
  /// Compares texts in lower case.
  bool lowercase = false;
  /// Leaves out run lengths for which the predictions are too short. Set it for the value of a single sentence.
  bool effective_order = false;
  /// The longest run of words that is counted, 1 or more. BLEU-4 is what papers mean.
  int64_t max_order = 4;

  friend bool operator==(const BleuOptions&, const BleuOptions&) = default;
};

/// A value and what it is made of.
struct BleuScore {
  double value = 0;                ///< 0 to 100.
  std::vector<double> precisions;  ///< Of runs of 1, 2, … words, 0 to 100, smoothed.
  std::vector<int64_t> matches;    ///< Of runs of 1, 2, … words.
  std::vector<int64_t> totals;     ///< Runs in the predictions.
  double brevity_penalty = 1;
  int64_t prediction_words = 0;
  int64_t reference_words = 0;  ///< Of each sample that reference whose length is nearest.
};

/// How many runs of words of the predictions occur in the references, 0 to 100. Called "bleu". Counts are added up, so
/// any split of the data gives the same bits.
class Bleu {
 public:
  /// Throws Error for options out of their range.
  explicit Bleu(BleuOptions options = {});

  [[nodiscard]] std::string name() const { return "bleu"; }
  [[nodiscard]] Direction direction() const noexcept { return Direction::up; }
  [[nodiscard]] const BleuOptions& options() const noexcept { return options_; }
  [[nodiscard]] bool alike(const Bleu& other) const noexcept { return options_ == other.options_; }

  /// Adds samples, each with one reference or more. Throws Error, and adds nothing, for what text_input.hpp refuses.
  void update(const Texts& predictions, const References& targets);
  /// The same of the Trees of a step.
  void update(const Tree& predictions, const Tree& targets, int64_t samples);
  /// Throws Error when the options differ.
  void merge(const Bleu& other);
  /// Throws Error when nothing was seen.
  [[nodiscard]] double compute() const { return score().value; }
  [[nodiscard]] BleuScore score() const;
  /// How the value was made, in the words of sacreBLEU, so that others can compare with it. Throws Error when nothing
  /// was seen.
  [[nodiscard]] std::string signature() const;
  [[nodiscard]] bool empty() const noexcept { return samples_ == 0; }
  void reset() { *this = Bleu(options_); }
  void state(State& state);

 private:
  void add(std::string_view prediction, std::span<const std::string_view> references);

  BleuOptions options_;
  int64_t samples_ = 0;
  int64_t references_ = 0;  // of each sample; -1 when they differ
  int64_t prediction_words_ = 0;
  int64_t reference_words_ = 0;
  std::vector<int64_t> matches_;
  std::vector<int64_t> totals_;
};

/// For `.metrics = {athanor::metrics::bleu()}`.
[[nodiscard]] Bleu bleu(BleuOptions options = {});
/// The value of these texts alone. Throws what `update` and `compute` throw.
[[nodiscard]] double bleu(const Texts& predictions, const References& targets, BleuOptions options = {});
/// The value of one sentence, with effective_order whatever the options say.
[[nodiscard]] double sentence_bleu(std::string_view prediction, const std::vector<std::string>& references,
                                   BleuOptions options = {});

}  // namespace athanor::metrics
