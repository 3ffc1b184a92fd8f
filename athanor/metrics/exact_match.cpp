// SPDX-License-Identifier: Apache-2.0
// The part of the predictions that are exactly what they should be.
#include "athanor/metrics/exact_match.hpp"

#include <algorithm>

#include "athanor/core/utf8.hpp"
#include "athanor/metrics/once.hpp"
#include "athanor/metrics/unicode.hpp"

namespace athanor::metrics {
namespace {

bool is_ascii_punctuation(char32_t c) noexcept {
  return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
}

/// With a space in place of each word that is an article; a word is a run of what Python's \w matches, and what is left
/// of an underscore here is none, because punctuation is gone.
std::u32string without_articles(const std::u32string& text) {
  std::u32string result;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = begin;
    while (end < text.size() && (detail::properties_of(text[end]) & detail::word_character) != 0) ++end;
    const std::u32string_view word(text.data() + begin, end - begin);
    if (word.empty()) {
      result += text[begin++];
      continue;
    }
    const bool article = word == U"a" || word == U"an" || word == U"the";
    result += article ? std::u32string_view(U" ") : word;
    begin = end;
  }
  return result;
}

}  // namespace

std::string squad_normalized(std::string_view utf8) {
  std::u32string text = detail::lower(std::u32string_view(code_points(utf8)));
  std::erase_if(text, is_ascii_punctuation);
  const std::string rest = to_utf8(without_articles(text));
  std::string normalized;
  for (const std::string_view word : detail::split(rest)) {
    if (!normalized.empty()) normalized += ' ';
    normalized += word;
  }
  return normalized;
}

void ExactMatch::update(const Texts& predictions, const References& targets) {
  detail::check_texts(predictions, targets, name(), false);
  for (size_t sample = 0; sample < predictions.size(); ++sample) {
    const std::string_view said = predictions[sample];
    const auto equals = [&](std::string_view reference) { return reference == said; };
    const std::string normal = options_.normalize ? squad_normalized(said) : std::string();
    const auto equals_normalized = [&](std::string_view reference) { return squad_normalized(reference) == normal; };
    const auto references = targets[sample];
    const bool right = options_.normalize ? std::any_of(references.begin(), references.end(), equals_normalized)
                                          : std::any_of(references.begin(), references.end(), equals);
    right_ += static_cast<int64_t>(right);
    ++samples_;
  }
}

void ExactMatch::update(const Tree& predictions, const Tree& targets, int64_t) {
  update(Texts(predictions, name()), References(targets, name()));
}

void ExactMatch::merge(const ExactMatch& other) {
  detail::check_alike(alike(other), name());
  samples_ += other.samples_;
  right_ += other.right_;
}

double ExactMatch::compute() const {
  detail::check_seen(samples_, name());
  return static_cast<double>(right_) / static_cast<double>(samples_);
}

void ExactMatch::state(State& state) {
  state.value("samples", samples_);
  state.value("right", right_);
}

ExactMatch exact_match(ExactMatchOptions options) { return ExactMatch(options); }

double exact_match(const Texts& predictions, const References& targets, ExactMatchOptions options) {
  ExactMatch metric(options);
  metric.update(predictions, targets);
  return metric.compute();
}

}  // namespace athanor::metrics
