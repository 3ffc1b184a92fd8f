// SPDX-License-Identifier: Apache-2.0
// Precision, recall and F1 of entities in tagged sentences, as seqeval counts them.
//
//     athanor::metrics::SpanF1 f1;                                       // of texts
//     f1.update({{"B-PER", "I-PER", "O"}}, {{"B-PER", "I-PER", "I-PER"}});
//     athanor::Metrics metrics = {athanor::metrics::span_f1({.names = {"O", "B-PER", "I-PER"}})};   // of tensors
//
// An entity of the prediction is right when one of the target has its type, its begin and its end. Sentences are
// counted apart; whatever is added up are whole numbers, so any split of the data gives the same bits.
//
// Where there is an entity neither in the targets nor in the predictions the value is NaN, which is never best (seqeval
// gives 0); a division by zero else gives 0, as there.
#pragma once

#include <c10/util/SmallVector.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "athanor/metrics/classification.hpp"
#include "athanor/metrics/device_batches.hpp"
#include "athanor/metrics/metric.hpp"
#include "athanor/metrics/tag_scheme.hpp"

namespace athanor::metrics {

/// A sentence is a vector of tags.
using TaggedSentences = std::vector<std::vector<std::string>>;

struct SpanOptions {
  /// How tags are read. Lenient is seqeval's default; the others are its mode="strict" with that scheme.
  TagScheme scheme = TagScheme::lenient;
  /// micro: of all entities. macro: the mean over the types that occur. weighted: that weighted by the entities of the
  /// targets. per_class: a dictionary by type.
  Average average = Average::micro;
  /// The tag of each class, when predictions and targets are tensors. Without it only texts are taken.
  std::vector<std::string> names{};
  /// Of tensors: tokens whose target has this value are left out of both sentences (padding, the later pieces of a
  /// word). Unset: none.
  std::optional<int64_t> ignore_index = -100;
  /// The letter stands behind the type, "PER-B", as seqeval's suffix=True.
  bool suffix = false;

  friend bool operator==(const SpanOptions&, const SpanOptions&) = default;
};

/// Whole numbers of one type, or of all together.
struct SpanCounts {
  int64_t right = 0;      ///< In both.
  int64_t predicted = 0;  ///< In the predictions.
  int64_t targets = 0;    ///< In the targets: seqeval's support.

  friend bool operator==(const SpanCounts&, const SpanCounts&) = default;
};

/// What the three classes share.
class SpanScore {
 public:
  [[nodiscard]] std::string name() const { return name_; }
  [[nodiscard]] Direction direction() const noexcept { return Direction::up; }
  [[nodiscard]] const SpanOptions& options() const noexcept { return options_; }
  [[nodiscard]] bool alike(const SpanScore& other) const noexcept {
    return of_counts_ == other.of_counts_ && options_ == other.options_;
  }

  /// Adds sentences. Throws Error, and adds nothing, for other numbers of sentences or tokens and for what is no tag
  /// of the scheme, with its place.
  void update(const TaggedSentences& predictions, const TaggedSentences& targets);
  /// Adds a batch: class numbers (N, T) or (T), or scores (N, T, C) or (T, C) of which the greatest counts (ties go to
  /// the lower class); targets whole numbers (N, T) or (T). C is the number of `names`. Does not wait for a device.
  /// Throws Error, and adds nothing, for shapes that do not fit and (on the CPU) classes out of range and NaN;
  /// elsewhere `compute` refuses these.
  void update(const at::Tensor& predictions, const at::Tensor& target);
  /// The same of the Trees of a step: tensors, or lists of lists of texts; of dictionaries the entry "tags" is taken.
  void update(const Tree& predictions, const Tree& targets, int64_t samples);
  /// Throws Error when the options differ.
  void merge(const SpanScore& other);
  /// A number, or a dictionary with Average::per_class. Waits for the device. Throws Error when nothing was seen.
  [[nodiscard]] Tree compute() const;
  /// By type. Waits for the device. Throws Error when nothing was seen.
  [[nodiscard]] std::map<std::string, SpanCounts> counts() const;
  [[nodiscard]] bool empty() const noexcept { return sentences_ == 0 && waiting_.empty(); }
  void reset();
  void state(State& state);

 protected:
  using OfCounts = double (*)(const SpanCounts& counts);
  /// Throws Error for names that are no tags of the scheme.
  SpanScore(const char* name, OfCounts of_counts, SpanOptions options);

 private:
  struct Sentences {
    c10::SmallVector<detail::Tag, 256> predictions;
    c10::SmallVector<detail::Tag, 256> targets;
    c10::SmallVector<size_t, 64> ends;  // of each sentence
  };
  [[nodiscard]] Sentences read(const at::Tensor& classes, const at::Tensor& target) const;
  void add(const Sentences& sentences);
  void settle();

  const char* name_;
  OfCounts of_counts_;
  SpanOptions options_;
  std::vector<detail::Tag> tags_;  // of each name
  std::vector<std::string> types_;
  std::vector<SpanCounts> counts_;  // of each type
  int64_t sentences_ = 0;
  detail::DeviceBatches waiting_;
};

/// Called "span_precision".
class SpanPrecision : public SpanScore {
 public:
  explicit SpanPrecision(SpanOptions options = {});
};

/// Called "span_recall".
class SpanRecall : public SpanScore {
 public:
  explicit SpanRecall(SpanOptions options = {});
};

/// The harmonic mean of precision and recall. Called "span_f1".
class SpanF1 : public SpanScore {
 public:
  explicit SpanF1(SpanOptions options = {});
};

/// For `.metrics = {athanor::metrics::span_f1({.names = {"O", "B-PER", "I-PER"}})}`.
[[nodiscard]] SpanPrecision span_precision(SpanOptions options = {});
[[nodiscard]] SpanRecall span_recall(SpanOptions options = {});
[[nodiscard]] SpanF1 span_f1(SpanOptions options = {});

/// The value of these sentences alone. Throws what `update` and `compute` throw, and Error with Average::per_class.
[[nodiscard]] double span_precision(const TaggedSentences& predictions, const TaggedSentences& targets,
                                    SpanOptions options = {});
[[nodiscard]] double span_recall(const TaggedSentences& predictions, const TaggedSentences& targets,
                                 SpanOptions options = {});
[[nodiscard]] double span_f1(const TaggedSentences& predictions, const TaggedSentences& targets,
                             SpanOptions options = {});

}  // namespace athanor::metrics
