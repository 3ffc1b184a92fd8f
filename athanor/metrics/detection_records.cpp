// SPDX-License-Identifier: Apache-2.0
#include "athanor/metrics/detection_records.hpp"

#include <ATen/ops/empty.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <tuple>
#include <unordered_map>

#include "athanor/core/error.hpp"
#include "athanor/core/parallel.hpp"

namespace athanor::metrics::detail {
namespace {

template <class T>
void append_column(std::vector<T>& to, const std::vector<T>& from) {
  // By index: a metric may be merged with itself.
  const size_t before = to.size(), more = from.size();
  to.resize(before + more);
  for (size_t i = 0; i < more; ++i) to[before + i] = from[i];
}

void add_targets(std::map<int64_t, std::vector<int64_t>>& all, int64_t label, const std::vector<int64_t>& counted) {
  std::vector<int64_t>& sums = all[label];
  sums.resize(counted.size());
  for (size_t area = 0; area < counted.size(); ++area) sums[area] += counted[area];
}

/// A column of what was kept; 64 bits each as they are.
template <class T>
void column_state(State& state, const char* name, std::vector<T>& values) {
  using Element = std::conditional_t<std::is_same_v<T, uint64_t>, int64_t, T>;
  at::Tensor tensor;
  if (state.saving()) {
    const c10::InferenceMode normal(false);
    tensor = at::empty({static_cast<int64_t>(values.size())}, c10::CppTypeToScalarType<Element>::value);
    std::transform(values.begin(), values.end(), tensor.template mutable_data_ptr<Element>(),
                   [](T value) { return std::bit_cast<Element>(value); });
  }
  state.tensor(name, tensor, State::Shape::free);
  if (!state.loading()) return;
  const auto* first = tensor.template const_data_ptr<Element>();
  values.resize(static_cast<size_t>(tensor.numel()));
  std::transform(first, first + tensor.numel(), values.begin(), [](Element value) { return std::bit_cast<T>(value); });
}

int bits_set(const uint64_t* words, size_t count) {
  int set = 0;
  for (size_t i = 0; i < count; ++i) set += std::popcount(words[i]);
  return set;
}

/// Walks down one threshold of one area of one class.
class CurveWalk {
 public:
  CurveWalk(const std::vector<uint64_t>& matched, const std::vector<uint64_t>& ignored, size_t words, size_t bit)
      : matched_(matched.data() + bit / 64), ignored_(ignored.data() + bit / 64), words_(words), shift_(bit % 64) {}

  /// Calls `function(place, right, wrong)` for each detection that counts and is right; both numbers hold those before
  /// it and itself.
  template <class F>
  void each_right(size_t detections, F&& function) const {
    int64_t right = 0, wrong = 0;
    for (size_t i = 0; i < detections; ++i) {
      const auto matched = static_cast<int64_t>(matched_[i * words_] >> shift_ & 1);
      const auto counts = static_cast<int64_t>(~ignored_[i * words_] >> shift_ & 1);
      right += matched & counts;
      wrong += ~matched & counts;
      if ((matched & counts) != 0) function(i, right, wrong);
    }
  }

 private:
  const uint64_t* matched_;
  const uint64_t* ignored_;
  size_t words_;
  size_t shift_;
};

/// The greatest precision at each recall or a greater one.
void read_precision(std::vector<double>& precision, int64_t targets, const std::vector<double>& recall_thresholds,
                    double* values) {
  for (size_t k = precision.size(); k-- > 1;) precision[k - 1] = std::max(precision[k - 1], precision[k]);
  size_t k = 0;
  for (size_t r = 0; r < recall_thresholds.size(); ++r) {
    while (k < precision.size() && static_cast<double>(k + 1) / static_cast<double>(targets) < recall_thresholds[r]) {
      ++k;
    }
    values[r] = k < precision.size() ? precision[k] : 0;
  }
}

}  // namespace

struct DetectionRecords::Sorted {
  std::vector<uint64_t> matched;
  std::vector<uint64_t> ignored;
  std::vector<int32_t> ranks;
};

void DetectionRecords::check_id(bool has_id, const char* metric) const {
  if (images_ == 0 || has_id != ids_.empty()) return;
  throw Error(
      {.what = "some images have an id and others have none",
       .where = metric,
       .got = has_id ? "an image with image_id after images without" : "an image without image_id after images with",
       .expected = "image_id in all targets or in none"});
}

void DetectionRecords::add(const ImageMatches& image, std::optional<int64_t> id, size_t areas) {
  ++images_;
  if (id) ids_.push_back(*id);
  for (const ImageMatches::Detection& detection : image.detections) {
    scores_.push_back(detection.score);
    labels_.push_back(detection.label);
    image_of_.push_back(id.value_or(0));
    ranks_.push_back(detection.rank);
    // A class without targets is there with zeros, so that it is known to occur.
    if (!targets_.contains(detection.label)) targets_[detection.label].resize(areas);
  }
  append_column(matched_, image.matched);
  append_column(ignored_, image.ignored);
  for (const ImageMatches::Targets& targets : image.targets) add_targets(targets_, targets.label, targets.counted);
}

void DetectionRecords::merge(const DetectionRecords& other, const char* metric) {
  if (other.empty()) return;
  check_id(!other.ids_.empty(), metric);
  images_ += other.images_;
  append_column(ids_, other.ids_);
  append_column(scores_, other.scores_);
  append_column(labels_, other.labels_);
  append_column(image_of_, other.image_of_);
  append_column(ranks_, other.ranks_);
  append_column(matched_, other.matched_);
  append_column(ignored_, other.ignored_);
  for (const auto& [label, counted] : other.targets_) add_targets(targets_, label, counted);
}

void DetectionRecords::check_images(const char* metric) const {
  std::vector<int64_t> ids = ids_;
  std::sort(ids.begin(), ids.end());
  const auto twice = std::adjacent_find(ids.begin(), ids.end());
  if (twice == ids.end()) return;
  throw Error({.what = "an image was seen twice",
               .where = metric,
               .got = "image_id " + std::to_string(*twice),
               .expected = "another image_id for each image",
               .todo = "reset() between passes; look whether a sampler repeats samples to fill the last batch"});
}

DetectionRecords::Sorted DetectionRecords::sorted(std::vector<size_t> places, size_t words) const {
  const auto all_bits = [&](size_t place) {
    return std::tuple(bits_set(matched_.data() + place * words, words),
                      std::span(matched_).subspan(place * words, words),
                      std::span(ignored_).subspan(place * words, words), ranks_[place]);
  };
  // Without ids, what the same key does not tell apart is the same in all that counts.
  const auto before = [&](size_t a, size_t b) {
    if (scores_[a] != scores_[b]) return scores_[a] > scores_[b];
    if (!ids_.empty()) return std::tie(image_of_[a], ranks_[a]) < std::tie(image_of_[b], ranks_[b]);
    const auto [bits_a, matched_a, ignored_a, rank_a] = all_bits(a);
    const auto [bits_b, matched_b, ignored_b, rank_b] = all_bits(b);
    if (bits_a != bits_b) return bits_a < bits_b;
    if (!std::ranges::equal(matched_a, matched_b)) return std::ranges::lexicographical_compare(matched_a, matched_b);
    if (!std::ranges::equal(ignored_a, ignored_b)) return std::ranges::lexicographical_compare(ignored_a, ignored_b);
    return rank_a < rank_b;
  };
  std::sort(places.begin(), places.end(), before);
  Sorted result;
  result.matched.reserve(places.size() * words);
  result.ignored.reserve(places.size() * words);
  result.ranks.reserve(places.size());
  for (const size_t place : places) {
    for (size_t word = 0; word < words; ++word) {
      result.matched.push_back(matched_[place * words + word]);
      result.ignored.push_back(ignored_[place * words + word]);
    }
    result.ranks.push_back(ranks_[place]);
  }
  return result;
}

std::vector<ClassCurves> DetectionRecords::curves(const MatchingRules& rules, const std::vector<int64_t>& limits,
                                                  const std::vector<double>& recall_thresholds) const {
  const size_t thresholds = rules.thresholds.size(), areas = rules.areas.size(), points = recall_thresholds.size();
  std::vector<ClassCurves> all(targets_.size());
  std::unordered_map<int64_t, size_t> place_of_label;
  for (const auto& [label, counted] : targets_) {
    const size_t place = place_of_label.size();
    place_of_label.emplace(label, place);
    all[place].label = label;
    all[place].targets = counted;
  }
  std::vector<std::vector<size_t>> of_class(all.size());
  for (size_t i = 0; i < labels_.size(); ++i) of_class[place_of_label.at(labels_[i])].push_back(i);

  const auto draw = [&](ClassCurves& curves, std::vector<size_t> places) {
    const Sorted detections = sorted(std::move(places), rules.words());
    const size_t count = detections.ranks.size();
    curves.precision.resize(areas * thresholds * points);
    curves.recall.resize(areas * thresholds);
    curves.recall_by_limit.resize(limits.size() * thresholds);
    std::vector<double> precision;
    std::vector<int64_t> right_within(limits.size());
    for (size_t bit = 0; bit < areas * thresholds; ++bit) {
      const int64_t targets = curves.targets[bit / thresholds];
      if (targets == 0) continue;
      const CurveWalk walk(detections.matched, detections.ignored, rules.words(), bit);
      precision.clear();
      std::fill(right_within.begin(), right_within.end(), 0);
      walk.each_right(count, [&](size_t place, int64_t right, int64_t wrong) {
        // As numpy calculates it, with the distance from 1 to the next number.
        precision.push_back(static_cast<double>(right) /
                            (static_cast<double>(wrong + right) + std::numeric_limits<double>::epsilon()));
        for (size_t limit = 0; limit < limits.size(); ++limit) {
          right_within[limit] += detections.ranks[place] < limits[limit] ? 1 : 0;
        }
      });
      curves.recall[bit] = static_cast<double>(precision.size()) / static_cast<double>(targets);
      if (bit < thresholds) {
        for (size_t limit = 0; limit < limits.size(); ++limit) {
          curves.recall_by_limit[limit * thresholds + bit] =
              static_cast<double>(right_within[limit]) / static_cast<double>(targets);
        }
      }
      read_precision(precision, targets, recall_thresholds, curves.precision.data() + bit * points);
    }
  };
  parallel_for(static_cast<int64_t>(all.size()), 1, [&](int64_t first, int64_t last) {
    for (auto i = static_cast<size_t>(first); i < static_cast<size_t>(last); ++i) draw(all[i], std::move(of_class[i]));
  });
  return all;
}

void DetectionRecords::state(State& state) {
  std::vector<int64_t> classes, counted;
  for (const auto& [label, counts] : targets_) {
    classes.push_back(label);
    counted.insert(counted.end(), counts.begin(), counts.end());
  }
  state.value("images", images_);
  column_state(state, "ids", ids_);
  column_state(state, "scores", scores_);
  column_state(state, "labels", labels_);
  column_state(state, "image_of", image_of_);
  column_state(state, "ranks", ranks_);
  column_state(state, "matched", matched_);
  column_state(state, "ignored", ignored_);
  column_state(state, "classes", classes);
  column_state(state, "counted", counted);
  if (!state.loading()) return;
  const size_t count = scores_.size();
  const bool whole = labels_.size() == count && image_of_.size() == count && ranks_.size() == count &&
                     ignored_.size() == matched_.size() && (count == 0 || matched_.size() % count == 0) &&
                     (classes.empty() || counted.size() % classes.size() == 0);
  if (!whole) throw Error({.what = "the columns of saved detections differ in length", .where = "detections"});
  targets_.clear();
  const size_t areas = classes.empty() ? 0 : counted.size() / classes.size();
  for (size_t i = 0; i < classes.size(); ++i) {
    targets_[classes[i]].assign(counted.begin() + static_cast<std::ptrdiff_t>(i * areas),
                                counted.begin() + static_cast<std::ptrdiff_t>((i + 1) * areas));
  }
}

}  // namespace athanor::metrics::detail
