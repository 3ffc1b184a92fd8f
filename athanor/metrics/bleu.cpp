// SPDX-License-Identifier: Apache-2.0
// BLEU, as sacreBLEU counts it.
#include "athanor/metrics/bleu.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"
#include "athanor/metrics/once.hpp"
#include "athanor/metrics/token_ids.hpp"
#include "athanor/metrics/unicode.hpp"

namespace athanor::metrics {
namespace {

double default_smoothing(BleuSmoothing smoothing) noexcept { return smoothing == BleuSmoothing::floor ? 0.1 : 1; }

std::string bleu_text(std::string_view text, const BleuOptions& options) {
  const std::string lowered = options.lowercase ? detail::lower(text) : std::string(text);
  return bleu_tokenize(detail::without_trailing_space(lowered), options.tokenizer);
}

/// sacreBLEU stands in for the logarithm of 0 like this.
double log_or_least(double value) { return value == 0 ? -9999999999 : std::log(value); }

}  // namespace

Bleu::Bleu(BleuOptions options) : options_(options) {
  if (options.max_order < 1 || options.max_order > 100) {
    throw Error({.what = "max_order is out of range",
                 .where = "bleu",
                 .got = std::to_string(options.max_order),
                 .expected = "1 to 100 words"});
  }
  const bool takes_value = options.smoothing == BleuSmoothing::floor || options.smoothing == BleuSmoothing::add_k;
  if (options.smoothing_value && (!takes_value || !(*options.smoothing_value > 0))) {
    throw Error({.what = takes_value ? "smoothing_value is out of range" : "smoothing_value has no meaning here",
                 .where = "bleu",
                 .got = shortest(*options.smoothing_value),
                 .expected = takes_value ? "a number above 0" : "unset, or .smoothing = floor or add_k"});
  }
  matches_.resize(static_cast<size_t>(options.max_order));
  totals_.resize(static_cast<size_t>(options.max_order));
}

void Bleu::update(const Texts& predictions, const References& targets) {
  detail::check_texts(predictions, targets, name(), false);
  for (size_t sample = 0; sample < predictions.size(); ++sample) add(predictions[sample], targets[sample]);
}

void Bleu::update(const Tree& predictions, const Tree& targets, int64_t) {
  update(Texts(predictions, name()), References(targets, name()));
}

void Bleu::add(std::string_view prediction, std::span<const std::string_view> references) {
  const int order = static_cast<int>(options_.max_order);
  const std::string text = bleu_text(prediction, options_);
  std::vector<std::string> reference_texts;
  for (const std::string_view reference : references) reference_texts.push_back(bleu_text(reference, options_));

  detail::TokenIds words;
  detail::NgramIds ngrams;
  const std::vector<int32_t> said = words.of_all(detail::split(text));
  const auto said_runs = ngrams.of(said, order);
  const size_t runs_of_prediction = ngrams.size();
  // Of a run that the prediction does not have nobody asks how often the references have it.
  std::vector<int64_t> allowed(runs_of_prediction, 0);
  int64_t nearest_length = 0;
  int64_t nearest_distance = std::numeric_limits<int64_t>::max();
  for (const std::string& reference : reference_texts) {
    const std::vector<int32_t> right = words.of_all(detail::split(reference));
    std::vector<int64_t> counts(runs_of_prediction, 0);
    for (const std::vector<int32_t>& runs : ngrams.of(right, order)) {
      for (const int32_t run : runs) {
        if (static_cast<size_t>(run) < runs_of_prediction) ++counts[static_cast<size_t>(run)];
      }
    }
    for (size_t run = 0; run < runs_of_prediction; ++run) allowed[run] = std::max(allowed[run], counts[run]);
    const auto length = static_cast<int64_t>(right.size());
    const int64_t distance = std::abs(length - static_cast<int64_t>(said.size()));
    if (distance < nearest_distance || (distance == nearest_distance && length < nearest_length)) {
      nearest_distance = distance;
      nearest_length = length;
    }
  }
  for (size_t n = 0; n < said_runs.size(); ++n) {
    totals_[n] += static_cast<int64_t>(said_runs[n].size());
    for (const int32_t run : said_runs[n]) {
      if (allowed[static_cast<size_t>(run)]-- > 0) ++matches_[n];
    }
  }
  prediction_words_ += static_cast<int64_t>(said.size());
  reference_words_ += nearest_length;
  const auto count = static_cast<int64_t>(references.size());
  references_ = samples_ == 0 || references_ == count ? count : -1;
  ++samples_;
}

BleuScore Bleu::score() const {
  detail::check_seen(samples_, name());
  BleuScore score;
  score.matches = matches_;
  score.totals = totals_;
  score.precisions.resize(matches_.size());
  score.prediction_words = prediction_words_;
  score.reference_words = reference_words_;
  const auto said = static_cast<double>(prediction_words_);
  if (prediction_words_ < reference_words_) {
    score.brevity_penalty = said > 0 ? std::exp(1 - static_cast<double>(reference_words_) / said) : 0;
  }
  if (std::all_of(matches_.begin(), matches_.end(), [](int64_t count) { return count == 0; })) return score;
  const double smoothing = options_.smoothing_value.value_or(default_smoothing(options_.smoothing));
  double part_of_match = 1;
  size_t order = matches_.size();
  for (size_t n = 0; n < matches_.size(); ++n) {
    auto right = static_cast<double>(matches_[n]);
    auto total = static_cast<double>(totals_[n]);
    if (options_.smoothing == BleuSmoothing::add_k && n > 0) {
      right += smoothing;
      total += smoothing;
    }
    if (total == 0) break;
    if (options_.effective_order) order = n + 1;
    if (right == 0 && options_.smoothing == BleuSmoothing::exponential) right = part_of_match /= 2;
    if (right == 0 && options_.smoothing == BleuSmoothing::floor) right = smoothing;
    score.precisions[n] = 100 * right / total;
  }
  double sum = 0;
  for (size_t n = 0; n < order; ++n) sum += log_or_least(score.precisions[n]);
  score.value = score.brevity_penalty * std::exp(sum / static_cast<double>(order));
  return score;
}

std::string Bleu::signature() const {
  detail::check_seen(samples_, name());
  const double value = options_.smoothing_value.value_or(default_smoothing(options_.smoothing));
  std::array<char, 32> number{};
  std::snprintf(number.data(), number.size(), "[%.2f]", value);
  const auto smoothing = [&]() -> std::string {
    switch (options_.smoothing) {
      case BleuSmoothing::exponential:
        return "exp";
      case BleuSmoothing::floor:
        return std::string("floor") + number.data();
      case BleuSmoothing::add_k:
        return std::string("add-k") + number.data();
      case BleuSmoothing::none:
        break;
    }
    return "none";
  };
  return "nrefs:" + (references_ < 0 ? "var" : std::to_string(references_)) +
         "|case:" + (options_.lowercase ? "lc" : "mixed") + "|eff:" + (options_.effective_order ? "yes" : "no") +
         "|tok:" + bleu_tokenizer_name(options_.tokenizer) + "|smooth:" + smoothing() + "|version:athanor";
}

void Bleu::merge(const Bleu& other) {
  detail::check_alike(alike(other), name());
  if (other.empty()) return;
  references_ = empty() || references_ == other.references_ ? other.references_ : -1;
  samples_ += other.samples_;
  prediction_words_ += other.prediction_words_;
  reference_words_ += other.reference_words_;
  for (size_t n = 0; n < matches_.size(); ++n) {
    matches_[n] += other.matches_[n];
    totals_[n] += other.totals_[n];
  }
}

void Bleu::state(State& state) {
  state.value("samples", samples_);
  state.value("references", references_);
  state.value("prediction_words", prediction_words_);
  state.value("reference_words", reference_words_);
  for (size_t n = 0; n < matches_.size(); ++n) {
    state.value("matches_" + std::to_string(n + 1), matches_[n]);
    state.value("totals_" + std::to_string(n + 1), totals_[n]);
  }
}

Bleu bleu(BleuOptions options) { return Bleu(options); }

double bleu(const Texts& predictions, const References& targets, BleuOptions options) {
  Bleu metric(options);
  metric.update(predictions, targets);
  return metric.compute();
}

double sentence_bleu(std::string_view prediction, const std::vector<std::string>& references, BleuOptions options) {
  options.effective_order = true;
  Bleu metric(options);
  metric.update(Texts(std::vector<std::string_view>{prediction}),
                References(std::vector<std::vector<std::string>>{references}));
  return metric.compute();
}

}  // namespace athanor::metrics
