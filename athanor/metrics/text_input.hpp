// SPDX-License-Identifier: Apache-2.0
// How the metrics of text are given their texts.
//
//     wer.update({"the cat sat"}, {"the cat sat down"});               // one prediction and its reference
//     bleu.update(predictions, references);                            // std::vector<std::string> each, or of the
//                                                                      // references a vector of vectors: several each
//
// In a Trainer the predictions and targets of a step are Trees: predictions a text or a list of texts, targets a text,
// a list of texts, or a list of lists of texts, in which every prediction has its references. Of a dictionary the entry
// "text" is taken, so that a step can hand back tensors for other metrics beside it.
//
// Texts are UTF-8 and are read as Python reads the same text: its white space, its lower case, its code points.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "athanor/core/tree.hpp"

namespace athanor::metrics {

/// A text for each sample. A view: the texts must live as long as it.
class Texts {
 public:
  Texts(const std::vector<std::string>& texts);
  Texts(std::vector<std::string_view> texts) : texts_(std::move(texts)) {}
  Texts(std::initializer_list<const char*> texts) : texts_(texts.begin(), texts.end()) {}
  /// Of a tree that is a text or a list of texts, or has them as "text". Throws Error for any other; `metric` is named.
  Texts(const Tree& tree, const std::string& metric);

  [[nodiscard]] size_t size() const noexcept { return texts_.size(); }
  [[nodiscard]] std::string_view operator[](size_t sample) const noexcept { return texts_[sample]; }

 private:
  std::vector<std::string_view> texts_;
};

/// One text for each sample, or several. A view: the texts must live as long as it.
class References {
 public:
  References(const std::vector<std::string>& texts);
  References(std::vector<std::string_view> texts);
  References(std::initializer_list<const char*> texts);
  References(const std::vector<std::vector<std::string>>& texts);
  /// Of a tree that is a text, a list of texts, or a list of lists of texts, or has them as "text". Throws Error for
  /// any other.
  References(const Tree& tree, const std::string& metric);

  [[nodiscard]] size_t size() const noexcept { return ends_.size(); }
  /// The references of a sample.
  [[nodiscard]] std::span<const std::string_view> operator[](size_t sample) const noexcept;

 private:
  void one_each();

  std::vector<std::string_view> texts_;
  std::vector<size_t> ends_;
};

namespace detail {

/// Throws Error for other numbers of predictions and targets, a prediction without a reference, more than one where
/// the metric counts with one, and for a text that is not UTF-8: with its place.
void check_texts(const Texts& predictions, const References& targets, const std::string& metric, bool one_reference);

/// Throws Error: no value without samples.
void check_seen(int64_t samples, const std::string& metric);

}  // namespace detail
}  // namespace athanor::metrics
