// SPDX-License-Identifier: Apache-2.0
// How the metrics of text are given their texts.
#include "athanor/metrics/text_input.hpp"

#include <numeric>
#include <optional>

#include "athanor/core/error.hpp"
#include "athanor/core/utf8.hpp"

namespace athanor::metrics {
namespace {

[[noreturn]] void refuse_text_tree(const Tree& tree, const std::string& where, const char* expected) {
  throw Error({.what = "a metric of text was given something else",
               .where = where,
               .got = tree.empty() ? "nothing" : tree.describe(),
               .expected = expected,
               .todo = "hand back the texts from the step, or wrap the metric: metrics::decoded(metric, decode) takes "
                       "token ids"});
}

const Tree& texts_in(const Tree& tree) noexcept {
  const Tree* entry = tree.is_dictionary() ? tree.find("text") : nullptr;
  return entry == nullptr ? tree : *entry;
}

void check_text_is_utf8(std::string_view text, const std::string& metric, const std::string& place) {
  const std::optional<size_t> broken = invalid_utf8(text);
  if (!broken) return;
  constexpr const char* digits = "0123456789ABCDEF";
  const auto byte = static_cast<unsigned char>(text[*broken]);
  throw Error({.what = "a text is not UTF-8",
               .where = metric + ", " + place + ", byte " + std::to_string(*broken),
               .got = std::string("byte 0x") + digits[byte / 16] + digits[byte % 16],
               .expected = "UTF-8",
               .todo = "convert the text from its encoding, or read the file as UTF-8"});
}

}  // namespace

Texts::Texts(const Tree& given, const std::string& metric) {
  const Tree& tree = texts_in(given);
  constexpr const char* expected = "a text, or a list of texts";
  const std::string where = metric + ", predictions";
  if (tree.kind() == Tree::Kind::text) {
    texts_.push_back(tree.text());
    return;
  }
  if (!tree.is_list()) refuse_text_tree(tree, where, expected);
  for (const Tree& item : tree.items()) {
    if (item.kind() != Tree::Kind::text) refuse_text_tree(item, where, expected);
    texts_.push_back(item.text());
  }
}

std::span<const std::string_view> References::operator[](size_t sample) const noexcept {
  const size_t begin = sample == 0 ? 0 : ends_[sample - 1];
  return {texts_.data() + begin, ends_[sample] - begin};
}

Texts::Texts(const std::vector<std::string>& texts) : texts_(texts.begin(), texts.end()) {}

References::References(const std::vector<std::string>& texts) : texts_(texts.begin(), texts.end()) { one_each(); }
References::References(std::vector<std::string_view> texts) : texts_(std::move(texts)) { one_each(); }
References::References(std::initializer_list<const char*> texts) : texts_(texts.begin(), texts.end()) { one_each(); }

References::References(const std::vector<std::vector<std::string>>& texts) {
  for (const std::vector<std::string>& of_sample : texts) {
    texts_.insert(texts_.end(), of_sample.begin(), of_sample.end());
    ends_.push_back(texts_.size());
  }
}

References::References(const Tree& given, const std::string& metric) {
  const Tree& tree = texts_in(given);
  constexpr const char* expected = "a text, a list of texts, or a list of lists of texts";
  const std::string where = metric + ", targets";
  const auto add = [&](const Tree& item) {
    if (item.kind() != Tree::Kind::text) refuse_text_tree(item, where, expected);
    texts_.push_back(item.text());
  };
  if (tree.kind() == Tree::Kind::text) {
    add(tree);
    one_each();
    return;
  }
  if (!tree.is_list()) refuse_text_tree(tree, where, expected);
  for (const Tree& item : tree.items()) {
    if (item.is_list()) {
      for (const Tree& reference : item.items()) add(reference);
    } else {
      add(item);
    }
    ends_.push_back(texts_.size());
  }
}

void References::one_each() {
  ends_.resize(texts_.size());
  std::iota(ends_.begin(), ends_.end(), size_t{1});
}

void detail::check_texts(const Texts& predictions, const References& targets, const std::string& metric,
                         bool one_reference) {
  if (predictions.size() != targets.size()) {
    throw Error(
        {.what = "predictions and targets differ in number",
         .where = metric,
         .got = std::to_string(predictions.size()) + " predictions, " + std::to_string(targets.size()) + " targets",
         .expected = "a target, or a list of references, for each prediction"});
  }
  for (size_t sample = 0; sample < predictions.size(); ++sample) {
    const std::span<const std::string_view> references = targets[sample];
    const std::string number = std::to_string(sample);
    if (references.empty() || (one_reference && references.size() > 1)) {
      throw Error({.what = references.empty() ? "a prediction has no reference"
                                              : "a prediction has more references than this metric counts with",
                   .where = metric + ", sample " + number,
                   .got = std::to_string(references.size()) + " references",
                   .expected = one_reference ? "one reference" : "one reference or more"});
    }
    check_text_is_utf8(predictions[sample], metric, "prediction " + number);
    for (size_t i = 0; i < references.size(); ++i) {
      const std::string which = references.size() > 1 ? ", reference " + std::to_string(i) : "";
      check_text_is_utf8(references[i], metric, "target " + number + which);
    }
  }
}

void detail::check_seen(int64_t samples, const std::string& metric) {
  if (samples > 0) return;
  throw Error({.what = "a metric was asked for its value before anything was seen",
               .where = metric,
               .expected = "at least one sample",
               .todo = "call update() first"});
}

}  // namespace athanor::metrics
