// SPDX-License-Identifier: Apache-2.0
// Errors of a transcription for each character or word of what was said.
#include "athanor/metrics/error_rate.hpp"

#include "athanor/core/error.hpp"
#include "athanor/metrics/once.hpp"
#include "athanor/metrics/token_ids.hpp"
#include "athanor/metrics/unicode.hpp"

namespace athanor::metrics {
namespace {

struct PairOfIds {
  std::vector<int32_t> said;
  std::vector<int32_t> right;
};

PairOfIds ids_of_pair(std::string_view prediction, std::string_view target, bool words) {
  if (!words) return {detail::character_ids(prediction), detail::character_ids(target)};
  detail::TokenIds ids;
  PairOfIds pair;
  pair.said = ids.of_all(detail::split(prediction));
  pair.right = ids.of_all(detail::split(target));
  return pair;
}

EditCounts edits_of_pair(std::string_view prediction, std::string_view target, bool words, const char* where) {
  detail::check_texts(Texts(std::vector{prediction}), References(std::vector{target}), where, true);
  const PairOfIds pair = ids_of_pair(prediction, target, words);
  return detail::edits(pair.said, pair.right);
}

template <class M>
double error_rate_once(M metric, const Texts& predictions, const References& targets) {
  metric.update(predictions, targets);
  return metric.compute().real();
}

}  // namespace

void ErrorRate::update(const Texts& predictions, const References& targets) {
  detail::check_texts(predictions, targets, name_, true);
  for (size_t sample = 0; sample < predictions.size(); ++sample) {
    const PairOfIds pair = ids_of_pair(predictions[sample], targets[sample].front(), words_);
    if (options_.kinds) {
      const EditCounts more = detail::edits(pair.said, pair.right);
      counts_.insertions += more.insertions;
      counts_.deletions += more.deletions;
      counts_.substitutions += more.substitutions;
      counts_.hits += more.hits;
      errors_ += more.errors();
    } else {
      errors_ += detail::distance(pair.said, pair.right);
    }
    length_ += static_cast<int64_t>(pair.right.size());
    ++samples_;
  }
}

void ErrorRate::update(const Tree& predictions, const Tree& targets, int64_t) {
  update(Texts(predictions, name_), References(targets, name_));
}

void ErrorRate::merge(const ErrorRate& other) {
  detail::check_alike(alike(other), name_);
  samples_ += other.samples_;
  errors_ += other.errors_;
  length_ += other.length_;
  counts_.insertions += other.counts_.insertions;
  counts_.deletions += other.counts_.deletions;
  counts_.substitutions += other.counts_.substitutions;
  counts_.hits += other.counts_.hits;
}

Tree ErrorRate::compute() const {
  detail::check_seen(samples_, name_);
  if (length_ == 0) {
    throw Error({.what = "an error rate has no length to divide by",
                 .where = name_,
                 .got = std::to_string(samples_) + " references without a " + (words_ ? "word" : "character") + ", " +
                        std::to_string(errors_) + " errors",
                 .expected = "at least one reference that is not empty"});
  }
  const auto rate = [&](int64_t errors) { return static_cast<double>(errors) / static_cast<double>(length_); };
  if (!options_.kinds) return rate(errors_);
  return Tree({{"rate", rate(errors_)},
               {"insertions", rate(counts_.insertions)},
               {"deletions", rate(counts_.deletions)},
               {"substitutions", rate(counts_.substitutions)}});
}

EditCounts ErrorRate::counts() const {
  detail::check_seen(samples_, name_);
  if (options_.kinds) return counts_;
  throw Error({.what = "the kinds of errors were not counted",
               .where = name_,
               .got = ".kinds = false",
               .todo = std::string("make it by metrics::") + name_ + "({.kinds = true})"});
}

void ErrorRate::reset() {
  samples_ = errors_ = length_ = 0;
  counts_ = {};
}

void ErrorRate::state(State& state) {
  state.value("samples", samples_);
  state.value("errors", errors_);
  state.value("length", length_);
  if (!options_.kinds) return;
  state.value("insertions", counts_.insertions);
  state.value("deletions", counts_.deletions);
  state.value("substitutions", counts_.substitutions);
  state.value("hits", counts_.hits);
}

CharacterErrorRate cer(ErrorRateOptions options) { return CharacterErrorRate(options); }
WordErrorRate wer(ErrorRateOptions options) { return WordErrorRate(options); }

double cer(const Texts& predictions, const References& targets) { return error_rate_once(cer(), predictions, targets); }
double wer(const Texts& predictions, const References& targets) { return error_rate_once(wer(), predictions, targets); }

EditCounts character_edits(std::string_view prediction, std::string_view target) {
  return edits_of_pair(prediction, target, false, "character_edits");
}
EditCounts word_edits(std::string_view prediction, std::string_view target) {
  return edits_of_pair(prediction, target, true, "word_edits");
}

}  // namespace athanor::metrics
