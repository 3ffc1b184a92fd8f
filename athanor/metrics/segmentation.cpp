// SPDX-License-Identifier: Apache-2.0
// Intersection over union and Dice of masks.
#include "athanor/metrics/segmentation.hpp"

#include <c10/util/SmallVector.h>

#include <cmath>
#include <utility>
#include <vector>

#include "athanor/core/error.hpp"
#include "athanor/metrics/on_device.hpp"
#include "athanor/metrics/once.hpp"

namespace athanor::metrics {
namespace detail {

struct SegmentationOverlap::OfImage {
  double value = std::nan("");                 // NaN: none of the classes occurs
  c10::SmallVector<double, 32> of_class = {};  // NaN: does not occur
};

SegmentationOverlap::SegmentationOverlap(const Definition& definition, const SegmentationOptions& options)
    : definition_(&definition),
      options_(options),
      rules_{.metric = definition.name,
             .kind = options.kind,
             .threshold = options.threshold,
             .from_logits = options.from_logits,
             .ignore_index = options.ignore_index,
             .classes = options.classes},
      counts_(rules_) {
  if (options.kind == Kind::multilabel) {
    throw Error({.what = "masks that overlap each other are no segmentation into classes",
                 .where = definition.name,
                 .got = "Kind::multilabel",
                 .expected = "binary or multiclass",
                 .todo = "take jaccard() or dice() with .kind = Kind::multilabel"});
  }
}

void SegmentationOverlap::update(const at::Tensor& predictions, const at::Tensor& target) {
  if (options_.of == OverlapOf::dataset) {
    counts_.update(predictions, target);
  } else {
    update_images(predictions, target);
  }
}

void SegmentationOverlap::update_images(const at::Tensor& predictions, const at::Tensor& target) {
  const Layout layout = understand(predictions, target, rules_);
  const int64_t images = layout.outer;
  const int64_t classes = layout.classes;
  if (predictions.is_cpu()) {
    const Decisions decisions(predictions, target, layout, rules_);
    c10::SmallVector<int64_t, 512> tallies(static_cast<size_t>(images * 3 * classes), 0);
    int64_t* right = tallies.data();
    int64_t end_of_image = layout.inner;
    decisions.each_place([&](int64_t place, int64_t predicted, int64_t label) {
      for (; place >= end_of_image; end_of_image += layout.inner) right += 3 * classes;
      right[label] += predicted == label;
      ++right[classes + predicted];
      ++right[2 * classes + label];
    });
    add_images(tallies.data(), images, classes);
    return;
  }
  const DeviceDecisions decided = decide_on_device(predictions, target, layout, rules_);
  waiting_.add(image_counts_on_device(decided, layout), decided.refused);
}

SegmentationOverlap::OfImage SegmentationOverlap::overlap(std::span<const Tally> tallies) const {
  OfImage result;
  double over = 0, under = 0, sum = 0, occurring = 0, weighted = 0, weights = 0;
  for (size_t c = options_.include_background ? 0 : 1; c < tallies.size(); ++c) {
    const Tally& tally = tallies[c];
    const auto [both, all] = definition_->of_class(tally.right, tally.predicted, tally.targets);
    const double share = both / all;
    result.of_class.push_back(share);
    if (!tally.occurs()) continue;
    over += both;
    under += all;
    sum += share;
    ++occurring;
    weighted += share * tally.targets;
    weights += tally.targets;
  }
  switch (options_.average) {
    case Average::micro:
      result.value = over / under;
      break;
    case Average::weighted:
      // Without a true pixel of these classes all overlaps are 0.
      result.value = weights > 0 ? weighted / weights : 0 / occurring;
      break;
    default:
      result.value = sum / occurring;
  }
  return result;
}

void SegmentationOverlap::add_images(const int64_t* tallies, int64_t images, int64_t classes) {
  const int64_t shown = classes - (options_.include_background ? 0 : 1);
  double* sums = sums_.on_host(2 + 2 * shown);
  c10::SmallVector<Tally, 32> of_image(static_cast<size_t>(classes));
  for (int64_t image = 0; image < images; ++image) {
    const int64_t* right = tallies + image * 3 * classes;
    for (int64_t c = 0; c < classes; ++c) {
      of_image[static_cast<size_t>(c)] = {.right = static_cast<double>(right[c]),
                                          .predicted = static_cast<double>(right[classes + c]),
                                          .targets = static_cast<double>(right[2 * classes + c])};
    }
    const OfImage result = overlap(of_image);
    const auto add = [](double value, double& sum, double& count) {
      if (std::isnan(value)) return;
      sum += value;
      count += 1;
    };
    add(result.value, sums[0], sums[1]);
    for (int64_t c = 0; c < shown; ++c) {
      add(result.of_class[static_cast<size_t>(c)], sums[2 + 2 * c], sums[3 + 2 * c]);
    }
  }
}

void SegmentationOverlap::settle() {
  waiting_.drain([&](const at::Tensor& tallies, const at::Tensor& refused) {
    check_refused(refused.const_data_ptr<int64_t>()[0], rules_.metric);
    const at::Tensor counts = tallies.contiguous();
    add_images(counts.const_data_ptr<int64_t>(), counts.size(0), counts.size(2));
  });
}

void SegmentationOverlap::merge(const SegmentationOverlap& other) {
  check_alike(alike(other), name());
  counts_.merge(other.counts_);
  sums_.merge(other.sums_, rules_.metric);
  waiting_.merge(other.waiting_);
}

Tree SegmentationOverlap::compute() const {
  if (!waiting_.empty()) {
    SegmentationOverlap copy = *this;
    copy.settle();
    return copy.compute();
  }
  OfImage result;
  if (options_.of == OverlapOf::dataset) {
    result = overlap(counts_.read());
  } else {
    const std::vector<double> sums = sums_.read(rules_.metric);
    if (sums[1] == 0) {
      throw Error({.what = "a metric has seen no image with a pixel that counts", .where = rules_.metric});
    }
    result.value = sums[0] / sums[1];
    for (size_t i = 2; i < sums.size(); i += 2) result.of_class.push_back(sums[i] / sums[i + 1]);
  }
  if (options_.average != Average::per_class) return result.value;
  Tree::Dictionary each;
  const size_t first = options_.include_background ? 0 : 1;
  for (size_t c = 0; c < result.of_class.size(); ++c) each.emplace_back(std::to_string(first + c), result.of_class[c]);
  return each;
}

void SegmentationOverlap::reset() {
  counts_.reset();
  sums_.reset();
  waiting_.clear();
}

void SegmentationOverlap::state(State& state) {
  if (options_.of == OverlapOf::dataset) return state.child("pixels", counts_);
  if (state.saving()) settle();
  if (state.loading()) waiting_.clear();
  state.child("images", sums_);
}

}  // namespace detail

namespace {

constexpr detail::SegmentationOverlap::Definition iou_definition = {
    "iou", [](double both, double predicted, double targets) { return std::pair(both, predicted + targets - both); }};
constexpr detail::SegmentationOverlap::Definition mask_dice_definition = {
    "dice", [](double both, double predicted, double targets) { return std::pair(2 * both, predicted + targets); }};

}  // namespace

SegmentationIou::SegmentationIou(SegmentationOptions options) : SegmentationOverlap(iou_definition, options) {}
SegmentationDice::SegmentationDice(SegmentationOptions options) : SegmentationOverlap(mask_dice_definition, options) {}

SegmentationIou segmentation_iou(SegmentationOptions options) { return SegmentationIou(options); }
SegmentationDice segmentation_dice(SegmentationOptions options) { return SegmentationDice(options); }

double segmentation_iou(const at::Tensor& predictions, const at::Tensor& target, SegmentationOptions options) {
  return detail::number_once(segmentation_iou(options), predictions, target);
}
double segmentation_dice(const at::Tensor& predictions, const at::Tensor& target, SegmentationOptions options) {
  return detail::number_once(segmentation_dice(options), predictions, target);
}

}  // namespace athanor::metrics
