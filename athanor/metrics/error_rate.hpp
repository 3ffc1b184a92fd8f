// SPDX-License-Identifier: Apache-2.0
// Errors of a transcription for each character or word of what was said: CER and WER.
//
//     athanor::metrics::wer({"the cat sat"}, {"the cat sat down"})      // 0.25: one deletion, four words
//     athanor::metrics::word_edits("the cat sat", "the cat sat down").deletions
//
// All errors of all samples divided by all characters or words of the references, so long samples weigh more, and it
// may exceed 1. Nothing is normalised: put texts into one form (case, punctuation, numbers) before.
#pragma once

#include <string>
#include <string_view>

#include "athanor/metrics/edit_distance.hpp"
#include "athanor/metrics/metric.hpp"
#include "athanor/metrics/text_input.hpp"

namespace athanor::metrics {

struct ErrorRateOptions {
  /// `compute` gives a dictionary: "rate", and "insertions", "deletions" and "substitutions", which add up to it. Takes
  /// the time of the product of the lengths, where the rate alone takes a 64th of it.
  bool kinds = false;

  friend bool operator==(const ErrorRateOptions&, const ErrorRateOptions&) = default;
};

/// What both classes share.
class ErrorRate {
 public:
  [[nodiscard]] std::string name() const { return name_; }
  [[nodiscard]] Direction direction() const noexcept { return Direction::down; }
  [[nodiscard]] const ErrorRateOptions& options() const noexcept { return options_; }
  [[nodiscard]] bool alike(const ErrorRate& other) const noexcept {
    return words_ == other.words_ && options_ == other.options_;
  }
  /// Adds samples, each with one reference. Throws Error, and adds nothing, for what text_input.hpp refuses.
  void update(const Texts& predictions, const References& targets);
  /// The same of the Trees of a step.
  void update(const Tree& predictions, const Tree& targets, int64_t samples);
  /// Throws Error when the options differ.
  void merge(const ErrorRate& other);
  /// A number, or a dictionary with `kinds`. Throws Error when nothing was seen, or references that are all empty.
  [[nodiscard]] Tree compute() const;
  /// The errors of all samples. Throws Error without `kinds`: they were not counted.
  [[nodiscard]] EditCounts counts() const;
  [[nodiscard]] bool empty() const noexcept { return samples_ == 0; }
  void reset();
  void state(State& state);

 protected:
  ErrorRate(const char* name, bool words, ErrorRateOptions options) : name_(name), words_(words), options_(options) {}

 private:
  const char* name_;
  bool words_;
  ErrorRateOptions options_;
  int64_t samples_ = 0;
  int64_t errors_ = 0;
  int64_t length_ = 0;
  EditCounts counts_;
};

/// Of characters: code points, white space among them. Called "cer".
class CharacterErrorRate : public ErrorRate {
 public:
  explicit CharacterErrorRate(ErrorRateOptions options = {}) : ErrorRate("cer", false, options) {}
};

/// Of words: what white space parts. Called "wer".
class WordErrorRate : public ErrorRate {
 public:
  explicit WordErrorRate(ErrorRateOptions options = {}) : ErrorRate("wer", true, options) {}
};

/// For `.metrics = {athanor::metrics::wer()}`.
[[nodiscard]] CharacterErrorRate cer(ErrorRateOptions options = {});
[[nodiscard]] WordErrorRate wer(ErrorRateOptions options = {});

/// The rate of these texts alone. Throws what `update` and `compute` throw.
[[nodiscard]] double cer(const Texts& predictions, const References& targets);
[[nodiscard]] double wer(const Texts& predictions, const References& targets);

/// The errors of one prediction. Throws Error for a text that is not UTF-8.
[[nodiscard]] EditCounts character_edits(std::string_view prediction, std::string_view target);
[[nodiscard]] EditCounts word_edits(std::string_view prediction, std::string_view target);

}  // namespace athanor::metrics
