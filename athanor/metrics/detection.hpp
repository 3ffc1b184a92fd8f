// SPDX-License-Identifier: Apache-2.0
// Mean average precision of detected boxes or masks, by the rules of COCO's evaluation (pycocotools' COCOeval).
//
//     athanor::Metrics metrics = {athanor::metrics::mean_average_precision()};   // bbox_map, bbox_map_50, …
//
// Predictions and target are lists with a dictionary for each image (N and M are of that image):
//
//     predictions: {boxes: real (N, 4), scores: floating (N), labels: integer (N), masks}
//     target:      {boxes: real (M, 4), labels: integer (M), iscrowd: 0 or 1 (M), area: real (M), masks, image_id}
//
// - Of masks `masks` is needed, bool or uint8 (N, H, W) or a list of COCO's run lengths {size, counts}, and `boxes` is
//   not looked at; of boxes it is the other way round.
// - `iscrowd` and `area` may be missing: then nothing is a crowd, and the area is that of the box or of the mask.
// - `image_id` is one integer, such as the index of the sample in its data set. What it is for: of detections with
//   equal scores in two images, the one in the image with the lower id goes first, as in pycocotools, and no image
//   counts twice. Without ids the detection that is right at fewer thresholds goes first. Either way the result does
//   not depend on batches, on parts that were merged, nor on their order: it is the same to the last bit.
// - Within an image, equal scores stay in the order of the predictions (without classes: lower labels first).
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "athanor/core/state.hpp"
#include "athanor/core/tree.hpp"
#include "athanor/metrics/accumulator.hpp"
#include "athanor/metrics/boxes.hpp"
#include "athanor/metrics/detection_records.hpp"

namespace athanor::metrics {

/// What overlaps what.
enum class DetectionOf { boxes, masks };

/// Targets and detections with an area from `from` to `to`, both included. What is outside neither counts as found or
/// missed, nor as wrong.
struct AreaRange {
  std::string name = {};
  double from = 0;
  double to = 1e10;

  friend bool operator==(const AreaRange&, const AreaRange&) = default;
};

struct DetectionOptions {
  DetectionOf of = DetectionOf::boxes;
  /// Of predictions and targets. Overlaps are calculated in COCO's form, xywh, in float64.
  BoxFormat boxes = BoxFormat::xyxy;
  /// The overlaps from which on a target is found, above 0, at most 1. Empty: 0.50, 0.55, …, 0.95.
  std::vector<double> iou_thresholds{};
  /// Where the curve of precision over recall is read, ascending, from 0 to 1. Empty: 0, 0.01, …, 1.
  std::vector<double> recall_thresholds{};
  /// How many detections of a class count in an image, the best ones; ascending. Precision is that of the last.
  std::vector<int64_t> max_detections = {1, 10, 100};
  /// In square pixels. The first is that of `map`; each of the others has a `map_NAME` and `mar_NAME`.
  std::vector<AreaRange> areas = {{"all", 0, 1e10}, {"small", 0, 1024}, {"medium", 1024, 9216}, {"large", 9216, 1e10}};
  /// False: labels are not looked at, any detection may find any target.
  bool by_class = true;
  /// Adds `map_class_C` and `mar_class_C` of each class that occurs.
  bool per_class = false;

  friend bool operator==(const DetectionOptions&, const DetectionOptions&) = default;
};

/// The twelve numbers of COCOeval under torchmetrics' names, means over the classes that have targets:
///
/// - `map`, `map_50`, `map_75`: average precision over all thresholds, at 0.5, at 0.75;
/// - `map_small`, `map_medium`, `map_large`: over targets of these areas;
/// - `mar_1`, `mar_10`, `mar_100`: recall with at most so many detections in an image;
/// - `mar_small`, `mar_medium`, `mar_large`: recall by area, with the greatest number of detections.
///
/// NaN, where COCOeval writes -1, when there is no target of any class (of that area), or 0.5 or 0.75 is not among the
/// thresholds. Microsoft COCO: Lin and others, 2014, arXiv:1405.0312.
///
/// Memory: about 40 bytes for each detection that counts (with up to 64 pairs of threshold and area), none for boxes
/// and masks. Boxes on a device are kept there and nothing waits before `compute`; masks on a device are read at once,
/// which waits, because a pass of them would not fit.
class MeanAveragePrecision {
 public:
  /// Throws Error for options out of their range.
  explicit MeanAveragePrecision(DetectionOptions options = {});

  /// "bbox" or "segm", so that the values are bbox_map, segm_map_50, …
  [[nodiscard]] std::string name() const { return options_.of == DetectionOf::boxes ? "bbox" : "segm"; }
  [[nodiscard]] Direction direction() const noexcept { return Direction::up; }
  [[nodiscard]] const DetectionOptions& options() const noexcept { return options_; }
  /// Whether the two would count and compute the same.
  [[nodiscard]] bool alike(const MeanAveragePrecision& other) const { return options_ == other.options_; }
  /// Adds a batch of images, on LibTorch's threads. Throws Error, and adds nothing, for what does not fit the list at
  /// the top of this file, boxes with x1 < x0, NaN scores, negative labels, masks of different sizes; with the image
  /// and the values. Boxes on a device are only checked by `compute`.
  void update(const Tree& predictions, const Tree& target);
  /// Throws Error when the options differ, or one part has ids of images and the other has none.
  void merge(const MeanAveragePrecision& other);
  /// A dictionary of numbers. Waits for the device. Throws Error when no image was seen, or one id was seen twice.
  [[nodiscard]] Tree compute() const;
  [[nodiscard]] bool empty() const noexcept { return records_.empty() && waiting_.empty(); }
  [[nodiscard]] bool live() const noexcept { return false; }
  void reset();
  void state(State& state);

 private:
  void add(const Tree& predictions, const Tree& target);
  void settle();

  DetectionOptions options_;
  detail::MatchingRules rules_;
  detail::DetectionRecords records_;
  std::vector<std::pair<Tree, Tree>> waiting_;  // copies on their device, never written to
};

/// For `.metrics = {athanor::metrics::mean_average_precision({.per_class = true})}`.
[[nodiscard]] MeanAveragePrecision mean_average_precision(DetectionOptions options = {});

/// The dictionary of these images alone. Waits for the device.
[[nodiscard]] Tree mean_average_precision(const Tree& predictions, const Tree& target, DetectionOptions options = {});

}  // namespace athanor::metrics
