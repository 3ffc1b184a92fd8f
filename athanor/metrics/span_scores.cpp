// SPDX-License-Identifier: Apache-2.0
// Precision, recall and F1 of entities in tagged sentences.
#include "athanor/metrics/span_scores.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <span>
#include <utility>

#include "athanor/core/error.hpp"
#include "athanor/metrics/once.hpp"
#include "athanor/metrics/refusals.hpp"
#include "athanor/metrics/text_input.hpp"

namespace athanor::metrics {
namespace {

double span_share(int64_t of, int64_t all) { return all == 0 ? 0 : static_cast<double>(of) / static_cast<double>(all); }

double span_precision_of(const SpanCounts& counts) { return span_share(counts.right, counts.predicted); }
double span_recall_of(const SpanCounts& counts) { return span_share(counts.right, counts.targets); }
double span_f1_of(const SpanCounts& counts) { return span_share(2 * counts.right, counts.predicted + counts.targets); }

std::string place_of_tag(const char* metric, const char* side, size_t sentence, size_t token) {
  return std::string(metric) + ", " + side + " " + std::to_string(sentence) + ", token " + std::to_string(token);
}

const Tree& tags_in(const Tree& tree) noexcept {
  const Tree* entry = tree.is_dictionary() ? tree.find("tags") : nullptr;
  return entry == nullptr ? tree : *entry;
}

TaggedSentences sentences_of(const Tree& tree, const char* metric, const char* side) {
  const auto refuse = [&](const Tree& found) {
    throw Error({.what = "entities are counted in sentences of tags",
                 .where = std::string(metric) + ", " + side,
                 .got = found.empty() ? "nothing" : found.describe(),
                 .expected = "a list of lists of texts, or a tensor of class numbers"});
  };
  if (!tree.is_list()) refuse(tree);
  TaggedSentences sentences;
  for (const Tree& sentence : tree.items()) {
    if (!sentence.is_list()) refuse(sentence);
    std::vector<std::string>& tags = sentences.emplace_back();
    for (const Tree& tag : sentence.items()) {
      if (tag.kind() != Tree::Kind::text) refuse(tag);
      tags.push_back(tag.text());
    }
  }
  return sentences;
}

/// Class numbers, int64: those that were given, or those with the greatest scores; on a device -1 stands for NaN.
at::Tensor tag_classes_of(const at::Tensor& predictions, const char* metric, const SpanOptions& options) {
  if (predictions.scalar_type() == at::kLong) return predictions;
  if (!predictions.is_floating_point()) return predictions.to(at::kLong);
  const at::Tensor broken = predictions.isnan().any(-1);
  if (!predictions.is_cpu()) return predictions.argmax(-1).masked_fill(broken, -1);
  if (broken.any().item().toBool()) {
    const auto classes = static_cast<int64_t>(options.names.size());
    const at::Tensor rows = predictions.to(at::kDouble).contiguous();
    const int64_t places = predictions.numel() / classes;
    const int64_t of_row = predictions.dim() == 3 ? predictions.size(1) : 1;
    for (int64_t place = 0; place < places; ++place) {
      detail::refuse_score(rows.const_data_ptr<double>() + place * classes, classes, 1, false, place, of_row, metric);
    }
  }
  return predictions.argmax(-1);
}

template <class M>
double span_score_once(M metric, const TaggedSentences& predictions, const TaggedSentences& targets) {
  metric.update(predictions, targets);
  return detail::single_number(metric.compute(), metric.name());
}

}  // namespace

SpanScore::SpanScore(const char* name, OfCounts of_counts, SpanOptions options)
    : name_(name), of_counts_(of_counts), options_(std::move(options)), types_{"_"} {
  for (size_t i = 0; i < options_.names.size(); ++i) {
    tags_.push_back(detail::tag_of(options_.names[i], options_.scheme, options_.suffix, types_,
                                   std::string(name_) + ", .names[" + std::to_string(i) + "]"));
  }
}

void SpanScore::update(const TaggedSentences& predictions, const TaggedSentences& targets) {
  if (predictions.size() != targets.size()) {
    throw Error({.what = "predictions and targets differ in number",
                 .where = name_,
                 .got = std::to_string(predictions.size()) + " predicted sentences, " + std::to_string(targets.size()) +
                        " targets",
                 .expected = "a target for each"});
  }
  Sentences sentences;
  std::vector<std::string> types = types_;
  for (size_t i = 0; i < predictions.size(); ++i) {
    if (predictions[i].size() != targets[i].size()) {
      throw Error({.what = "a sentence has more tags in one than in the other",
                   .where = std::string(name_) + ", sentence " + std::to_string(i),
                   .got = std::to_string(predictions[i].size()) + " predicted tags, " +
                          std::to_string(targets[i].size()) + " in the target",
                   .expected = "a tag for each token in both"});
    }
    for (size_t token = 0; token < targets[i].size(); ++token) {
      const auto tag = [&](const std::string& text, const char* side) {
        return detail::tag_of(text, options_.scheme, options_.suffix, types, place_of_tag(name_, side, i, token));
      };
      sentences.predictions.push_back(tag(predictions[i][token], "prediction"));
      sentences.targets.push_back(tag(targets[i][token], "target"));
    }
    sentences.ends.push_back(sentences.targets.size());
  }
  types_ = std::move(types);
  add(sentences);
}

void SpanScore::update(const at::Tensor& predictions, const at::Tensor& target) {
  const at::NoGradGuard no_grad;
  if (options_.names.empty()) {
    throw Error({.what = "the tags of the classes are not known",
                 .where = name_,
                 .got = "tensors, but no .names",
                 .todo = "name the tag of each class: .names = {\"O\", \"B-PER\", \"I-PER\"}"});
  }
  const auto classes = static_cast<int64_t>(options_.names.size());
  const bool scores = predictions.defined() && predictions.is_floating_point();
  const bool fits = predictions.defined() && target.defined() && !target.is_floating_point() &&
                    (target.dim() == 1 || target.dim() == 2) && predictions.device() == target.device() &&
                    (scores ? predictions.dim() == target.dim() + 1 && predictions.size(-1) == classes &&
                                  predictions.sizes().slice(0, target.dim()) == target.sizes()
                            : predictions.sizes() == target.sizes());
  if (!fits) {
    throw Error({.what = "predictions and target of tagged sentences do not fit",
                 .where = name_,
                 .got = "predictions " + describe(predictions) + ", target " + describe(target),
                 .expected = "class numbers (N, T), or scores (N, T, " + std::to_string(classes) +
                             "), and class numbers (N, T), on one device",
                 .todo = "bring the classes to the end: predictions.movedim(1, -1)"});
  }
  const at::Tensor decided = tag_classes_of(predictions, name_, options_);
  if (decided.is_cpu()) {
    add(read(decided, target));
  } else {
    waiting_.add(decided, target);
  }
}

void SpanScore::update(const Tree& predictions, const Tree& targets, int64_t) {
  const Tree& said = tags_in(predictions);
  const Tree& right = tags_in(targets);
  if (!said.first_tensor().defined()) {
    update(sentences_of(said, name_, "predictions"), sentences_of(right, name_, "targets"));
  } else {
    update(said.first_tensor(), right.first_tensor());
  }
}

SpanScore::Sentences SpanScore::read(const at::Tensor& decided, const at::Tensor& target) const {
  const auto said = decided.expect_contiguous();
  const at::Tensor right = (target.scalar_type() == at::kLong ? target : target.to(at::kLong)).contiguous();
  const auto* said_class = said->const_data_ptr<int64_t>();
  const auto* right_class = right.const_data_ptr<int64_t>();
  const int64_t tokens = right.size(-1);
  const int64_t rows = right.dim() == 1 ? 1 : right.size(0);
  const auto refuse = [&](int64_t number, int64_t place, const char* what) {
    throw Error({.what = std::string("the class of a ") + what + " is out of range",
                 .where = std::string(name_) + ", " + detail::place_in_batch(place, tokens),
                 .got = std::to_string(number),
                 .expected = "0 to " + std::to_string(tags_.size() - 1) + ", the places of .names",
                 .todo = "correct it, name more classes, or set .ignore_index to the class that means 'none'"});
  };
  const auto tag = [&](int64_t number, int64_t place, const char* what) -> const detail::Tag& {
    if (static_cast<uint64_t>(number) >= tags_.size()) refuse(number, place, what);
    return tags_[static_cast<size_t>(number)];
  };
  Sentences sentences;
  sentences.predictions.resize(static_cast<size_t>(right.numel()));
  sentences.targets.resize(static_cast<size_t>(right.numel()));
  sentences.ends.resize(static_cast<size_t>(rows));
  size_t kept = 0;
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t place = row * tokens; place < (row + 1) * tokens; ++place) {
      if (options_.ignore_index && right_class[place] == *options_.ignore_index) continue;
      sentences.targets[kept] = tag(right_class[place], place, "target");
      sentences.predictions[kept++] = tag(said_class[place], place, "prediction");
    }
    sentences.ends[static_cast<size_t>(row)] = kept;
  }
  sentences.predictions.resize(kept);
  sentences.targets.resize(kept);
  return sentences;
}

void SpanScore::add(const Sentences& sentences) {
  counts_.resize(std::max(counts_.size(), types_.size()));
  const std::span said(sentences.predictions.data(), sentences.predictions.size());
  const std::span right(sentences.targets.data(), sentences.targets.size());
  size_t longest = 0, begin = 0;
  for (const size_t end : sentences.ends) longest = std::max(longest, end - std::exchange(begin, end));
  c10::SmallVector<detail::Entity, 128> rooms(2 * (longest + 1));
  const std::span room(rooms.data(), rooms.size());
  begin = 0;
  for (const size_t end : sentences.ends) {
    const auto said_entities =
        detail::find_entities(said.subspan(begin, end - begin), options_.scheme, room.first(longest + 1));
    const auto right_entities =
        detail::find_entities(right.subspan(begin, end - begin), options_.scheme, room.last(longest + 1));
    for (const detail::Entity& entity : said_entities) ++counts_[static_cast<size_t>(entity.type)].predicted;
    // Both lie in the order of their ends, and no two of a sentence have the same.
    auto next = said_entities.begin();
    for (const detail::Entity& entity : right_entities) {
      SpanCounts& counts = counts_[static_cast<size_t>(entity.type)];
      ++counts.targets;
      while (next != said_entities.end() && next->end < entity.end) ++next;
      if (next != said_entities.end() && *next == entity) ++counts.right;
    }
    begin = end;
    ++sentences_;
  }
}

void SpanScore::settle() {
  waiting_.drain([&](const at::Tensor& classes, const at::Tensor& target) { add(read(classes, target)); });
}

void SpanScore::merge(const SpanScore& other) {
  detail::check_alike(alike(other), name_);
  waiting_.merge(other.waiting_);
  sentences_ += other.sentences_;
  for (size_t i = 0; i < other.counts_.size(); ++i) {
    const auto found = std::find(types_.begin(), types_.end(), other.types_[i]);
    const auto place = static_cast<size_t>(found - types_.begin());
    if (found == types_.end()) types_.push_back(other.types_[i]);
    counts_.resize(std::max(counts_.size(), types_.size()));
    counts_[place].right += other.counts_[i].right;
    counts_[place].predicted += other.counts_[i].predicted;
    counts_[place].targets += other.counts_[i].targets;
  }
}

std::map<std::string, SpanCounts> SpanScore::counts() const {
  if (!waiting_.empty()) {
    SpanScore copy = *this;
    copy.settle();
    return copy.counts();
  }
  detail::check_seen(sentences_, name_);
  std::map<std::string, SpanCounts> by_type;
  for (size_t i = 0; i < counts_.size(); ++i) {
    if (counts_[i].predicted + counts_[i].targets > 0) by_type[types_[i]] = counts_[i];
  }
  return by_type;
}

Tree SpanScore::compute() const {
  const std::map<std::string, SpanCounts> by_type = counts();
  if (options_.average == Average::per_class) {
    Tree::Dictionary each;
    for (const auto& [type, counts] : by_type) each.emplace_back(type, of_counts_(counts));
    return each;
  }
  if (by_type.empty()) return std::numeric_limits<double>::quiet_NaN();
  SpanCounts all;
  double macro = 0, weighted = 0;
  for (const auto& [type, counts] : by_type) {
    all.right += counts.right;
    all.predicted += counts.predicted;
    all.targets += counts.targets;
    macro += of_counts_(counts);
    weighted += of_counts_(counts) * static_cast<double>(counts.targets);
  }
  if (options_.average == Average::micro) return of_counts_(all);
  if (options_.average == Average::macro) return macro / static_cast<double>(by_type.size());
  return all.targets == 0 ? 0 : weighted / static_cast<double>(all.targets);
}

void SpanScore::reset() {
  counts_.clear();
  sentences_ = 0;
  waiting_.clear();
}

void SpanScore::state(State& state) {
  if (state.saving()) settle();
  Tree types = Tree::List{}, counts = Tree::List{};
  for (size_t i = 0; i < counts_.size(); ++i) {
    types.items().emplace_back(types_[i]);
    for (const int64_t count : {counts_[i].right, counts_[i].predicted, counts_[i].targets}) {
      counts.items().emplace_back(count);
    }
  }
  state.value("sentences", sentences_);
  state.value("types", types);
  state.value("counts", counts);
  if (!state.loading()) return;
  waiting_.clear();
  counts_.clear();
  // The types of the names keep their numbers, which the tags hold.
  for (size_t i = 0; i < types.size(); ++i) {
    const std::string& type = types[i].text();
    const auto place = static_cast<size_t>(std::find(types_.begin(), types_.end(), type) - types_.begin());
    if (place == types_.size()) types_.push_back(type);
    counts_.resize(std::max(counts_.size(), types_.size()));
    counts_[place] = {counts[3 * i].integer(), counts[3 * i + 1].integer(), counts[3 * i + 2].integer()};
  }
}

SpanPrecision::SpanPrecision(SpanOptions options)
    : SpanScore("span_precision", span_precision_of, std::move(options)) {}
SpanRecall::SpanRecall(SpanOptions options) : SpanScore("span_recall", span_recall_of, std::move(options)) {}
SpanF1::SpanF1(SpanOptions options) : SpanScore("span_f1", span_f1_of, std::move(options)) {}

SpanPrecision span_precision(SpanOptions options) { return SpanPrecision(std::move(options)); }
SpanRecall span_recall(SpanOptions options) { return SpanRecall(std::move(options)); }
SpanF1 span_f1(SpanOptions options) { return SpanF1(std::move(options)); }

double span_precision(const TaggedSentences& predictions, const TaggedSentences& targets, SpanOptions options) {
  return span_score_once(span_precision(std::move(options)), predictions, targets);
}
double span_recall(const TaggedSentences& predictions, const TaggedSentences& targets, SpanOptions options) {
  return span_score_once(span_recall(std::move(options)), predictions, targets);
}
double span_f1(const TaggedSentences& predictions, const TaggedSentences& targets, SpanOptions options) {
  return span_score_once(span_f1(std::move(options)), predictions, targets);
}

}  // namespace athanor::metrics
