// SPDX-License-Identifier: Apache-2.0
// Mean average precision of detections.
#include "athanor/metrics/detection.hpp"

#include <ATen/ThreadLocalState.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>

#include "athanor/core/error.hpp"
#include "athanor/core/parallel.hpp"
#include "athanor/core/text.hpp"
#include "athanor/metrics/detection_input.hpp"
#include "athanor/metrics/once.hpp"

namespace athanor::metrics {
namespace {

/// From `from` to `to` in `count` points, as numpy's linspace rounds them.
template <size_t count>
constexpr std::array<double, count> evenly_spaced(double from, double to) {
  std::array<double, count> points{};
  const double step = (to - from) / static_cast<double>(count - 1);
  for (size_t i = 0; i < count; ++i) points[i] = static_cast<double>(i) * step + from;
  points.back() = to;
  return points;
}

// Calculated by the compiler, which never fuses a multiplication with an addition.
constexpr auto coco_thresholds = evenly_spaced<10>(0.5, 0.95);
constexpr auto coco_recalls = evenly_spaced<101>(0, 1);

template <class Points>
std::vector<double> given_or(const std::vector<double>& given, const Points& usual) {
  return given.empty() ? std::vector<double>(usual.begin(), usual.end()) : given;
}

void check_detection_options(const DetectionOptions& options) {
  const auto refuse = [](const char* what, const std::string& got, const char* expected) {
    throw Error({.what = what, .where = "mean average precision", .got = got, .expected = expected});
  };
  for (const double threshold : options.iou_thresholds) {
    if (!(threshold > 0 && threshold <= 1)) {
      refuse("an IoU threshold is out of range", shortest(threshold), "above 0, at most 1");
    }
  }
  double last = 0;
  for (const double recall : options.recall_thresholds) {
    if (!(recall >= last && recall <= 1)) {
      refuse("the recall thresholds are not in order", shortest(recall), "ascending, from 0 to 1");
    }
    last = recall;
  }
  int64_t most = 0;
  for (const int64_t limit : options.max_detections) {
    if (limit <= most || limit > std::numeric_limits<int32_t>::max()) {
      refuse("max_detections is not in order", std::to_string(limit), "ascending numbers of at least 1");
    }
    most = limit;
  }
  if (options.max_detections.empty()) refuse("max_detections is empty", "none", "at least one number");
  if (options.areas.empty()) refuse("there is no area", "none", "at least one, the one of map");
  for (size_t i = 0; i < options.areas.size(); ++i) {
    const AreaRange& area = options.areas[i];
    if (!(area.from >= 0 && area.to >= area.from)) {
      refuse("an area is out of range", area.name + " from " + shortest(area.from) + " to " + shortest(area.to),
             "0 <= from <= to");
    }
    const auto same = [&](const AreaRange& other) { return other.name == area.name; };
    if (area.name.empty() ||
        std::any_of(options.areas.begin(), options.areas.begin() + static_cast<std::ptrdiff_t>(i), same)) {
      refuse("two areas have one name", "\"" + area.name + "\"", "a name of its own for each");
    }
  }
}

detail::MatchingRules matching_rules(const DetectionOptions& options) {
  check_detection_options(options);
  detail::MatchingRules rules{.thresholds = given_or(options.iou_thresholds, coco_thresholds),
                              .areas = {},
                              .most_detections = options.max_detections.back(),
                              .by_class = options.by_class};
  for (const AreaRange& area : options.areas) rules.areas.emplace_back(area.from, area.to);
  return rules;
}

void check_batch(const Tree& predictions, const Tree& target, const std::string& metric) {
  if (predictions.is_list() && target.is_list() && predictions.size() == target.size()) return;
  const auto count = [](const Tree& tree) {
    return tree.is_list() ? std::to_string(tree.size()) + " images" : tree.describe();
  };
  throw Error({.what = "predictions and target are not lists with a dictionary for each image",
               .where = metric,
               .got = "predictions " + count(predictions) + ", target " + count(target),
               .expected = "{boxes, scores, labels} and {boxes, labels} for each image, in two lists of one length"});
}

std::string image_place(const std::string& metric, size_t image, std::optional<int64_t> id = {}) {
  std::string place = metric + ", image " + std::to_string(image) + " of the batch";
  if (id) place += " (image_id " + std::to_string(*id) + ")";
  return place;
}

bool tree_lies_on_cpu(const Tree& tree) {
  bool all = true;
  tree.walk([&](const std::string&, const Tree& leaf) {
    all = all && (!leaf.is_tensor() || !leaf.tensor().defined() || leaf.tensor().is_cpu());
  });
  return all;
}

Tree copy_on_device(const Tree& tree) {
  const c10::InferenceMode normal(false);
  const at::NoGradGuard no_grad;
  return tree.map([](const at::Tensor& tensor) { return tensor.defined() ? tensor.detach().clone() : tensor; });
}

/// The mean of what is there; NaN of nothing.
class MeanOfPresent {
 public:
  void add(const double* values, size_t count) {
    for (size_t i = 0; i < count; ++i) sum_ += values[i];
    count_ += static_cast<double>(count);
  }
  [[nodiscard]] double value() const { return count_ > 0 ? sum_ / count_ : std::numeric_limits<double>::quiet_NaN(); }

 private:
  double sum_ = 0;
  double count_ = 0;
};

/// Means over the curves of all classes.
class DetectionSummary {
 public:
  DetectionSummary(std::vector<detail::ClassCurves> classes, size_t thresholds, size_t points)
      : classes_(std::move(classes)), thresholds_(thresholds), points_(points) {}

  [[nodiscard]] double precision(size_t area) const { return precision_at(area, 0, thresholds_); }
  /// NaN when the threshold is not among them.
  [[nodiscard]] double precision_at_threshold(const std::vector<double>& thresholds, double threshold) const {
    const auto found = std::find(thresholds.begin(), thresholds.end(), threshold);
    if (found == thresholds.end()) return std::numeric_limits<double>::quiet_NaN();
    return precision_at(0, static_cast<size_t>(found - thresholds.begin()), 1);
  }
  [[nodiscard]] double recall(size_t area) const {
    MeanOfPresent mean;
    for (const detail::ClassCurves& each : classes_) {
      if (each.targets[area] > 0) mean.add(each.recall.data() + area * thresholds_, thresholds_);
    }
    return mean.value();
  }
  [[nodiscard]] double recall_within(size_t limit) const {
    MeanOfPresent mean;
    for (const detail::ClassCurves& each : classes_) {
      if (each.targets[0] > 0) mean.add(each.recall_by_limit.data() + limit * thresholds_, thresholds_);
    }
    return mean.value();
  }
  void add_classes(Tree::Dictionary& values) const {
    for (const detail::ClassCurves& each : classes_) {
      MeanOfPresent precision, recall;
      if (each.targets[0] > 0) {
        precision.add(each.precision.data(), thresholds_ * points_);
        recall.add(each.recall.data(), thresholds_);
      }
      values.emplace_back("map_class_" + std::to_string(each.label), precision.value());
      values.emplace_back("mar_class_" + std::to_string(each.label), recall.value());
    }
  }

 private:
  [[nodiscard]] double precision_at(size_t area, size_t first_threshold, size_t count) const {
    MeanOfPresent mean;
    for (const detail::ClassCurves& each : classes_) {
      if (each.targets[area] == 0) continue;
      mean.add(each.precision.data() + (area * thresholds_ + first_threshold) * points_, count * points_);
    }
    return mean.value();
  }

  std::vector<detail::ClassCurves> classes_;
  size_t thresholds_;
  size_t points_;
};

}  // namespace

MeanAveragePrecision::MeanAveragePrecision(DetectionOptions options)
    : options_(std::move(options)), rules_(matching_rules(options_)) {}

void MeanAveragePrecision::update(const Tree& predictions, const Tree& target) {
  check_batch(predictions, target, name());
  if (tree_lies_on_cpu(predictions) && tree_lies_on_cpu(target)) return add(predictions, target);
  if (options_.of == DetectionOf::masks) return add(predictions.to(at::kCPU), target.to(at::kCPU));
  waiting_.emplace_back(copy_on_device(predictions), copy_on_device(target));
}

void MeanAveragePrecision::add(const Tree& predictions, const Tree& target) {
  const size_t images = predictions.size();
  const std::string metric = name();
  std::vector<std::optional<int64_t>> ids(images);
  for (size_t i = 0; i < images; ++i) {
    ids[i] = detail::read_image_id(target[i], image_place(metric, i));
    // Nothing is counted when the last image has a mistake, so the first decides for those of this batch.
    if (ids[i].has_value() != ids[0].has_value()) {
      throw Error({.what = "some images have an id and others have none",
                   .where = image_place(metric, i, ids[i]),
                   .expected = "image_id in all targets or in none"});
    }
    records_.check_id(ids[i].has_value(), metric.c_str());
  }
  std::vector<detail::ImageMatches> matches(images);
  const bool masks = options_.of == DetectionOf::masks;
  const at::ThreadLocalState of_this_thread;
  // Starting a thread takes as long as some images of boxes.
  parallel_for(static_cast<int64_t>(images), masks ? 1 : 16, [&](int64_t first, int64_t last) {
    const at::ThreadLocalStateGuard guard(of_this_thread);
    for (auto i = static_cast<size_t>(first); i < static_cast<size_t>(last); ++i) {
      const detail::DetectionImage image =
          detail::read_detections(predictions[i], target[i], masks, options_.boxes, image_place(metric, i, ids[i]));
      matches[i] = detail::match_image(image.detections, image.targets, rules_);
    }
  });
  for (size_t i = 0; i < images; ++i) records_.add(matches[i], ids[i], rules_.areas.size());
}

void MeanAveragePrecision::settle() {
  for (const auto& [predictions, target] : std::exchange(waiting_, {})) {
    add(predictions.to(at::kCPU), target.to(at::kCPU));
  }
}

void MeanAveragePrecision::merge(const MeanAveragePrecision& other) {
  detail::check_alike(alike(other), name());
  records_.merge(other.records_, name().c_str());
  const size_t more = other.waiting_.size();
  for (size_t i = 0; i < more; ++i) waiting_.push_back(std::pair(other.waiting_[i]));
}

Tree MeanAveragePrecision::compute() const {
  if (!waiting_.empty()) {
    MeanAveragePrecision copy = *this;
    copy.settle();
    return copy.compute();
  }
  if (empty()) {
    throw Error({.what = "a metric was asked for its value before anything was seen",
                 .where = name(),
                 .expected = "at least one image",
                 .todo = "call update() first"});
  }
  records_.check_images(name().c_str());
  const std::vector<double> recalls = given_or(options_.recall_thresholds, coco_recalls);
  const DetectionSummary summary(records_.curves(rules_, options_.max_detections, recalls), rules_.thresholds.size(),
                                 recalls.size());
  Tree::Dictionary values;
  values.emplace_back("map", summary.precision(0));
  values.emplace_back("map_50", summary.precision_at_threshold(rules_.thresholds, 0.5));
  values.emplace_back("map_75", summary.precision_at_threshold(rules_.thresholds, 0.75));
  for (size_t area = 1; area < options_.areas.size(); ++area) {
    values.emplace_back("map_" + options_.areas[area].name, summary.precision(area));
  }
  for (size_t limit = 0; limit < options_.max_detections.size(); ++limit) {
    values.emplace_back("mar_" + std::to_string(options_.max_detections[limit]), summary.recall_within(limit));
  }
  for (size_t area = 1; area < options_.areas.size(); ++area) {
    values.emplace_back("mar_" + options_.areas[area].name, summary.recall(area));
  }
  if (options_.per_class) summary.add_classes(values);
  return values;
}

void MeanAveragePrecision::reset() {
  records_ = {};
  waiting_.clear();
}

void MeanAveragePrecision::state(State& state) {
  if (state.saving()) settle();
  if (state.loading()) waiting_.clear();
  state.child("images", records_);
}

MeanAveragePrecision mean_average_precision(DetectionOptions options) {
  return MeanAveragePrecision(std::move(options));
}

Tree mean_average_precision(const Tree& predictions, const Tree& target, DetectionOptions options) {
  MeanAveragePrecision metric(std::move(options));
  metric.update(predictions, target);
  return metric.compute();
}

}  // namespace athanor::metrics
