// SPDX-License-Identifier: Apache-2.0
// How well predicted masks lie on true ones: intersection over union and Dice, over all pixels or image by image.
//
//     IoU  = intersection / union
//     Dice = 2 intersection / (predicted + true pixels)
//
// Predictions are scores (N, C, d1, …) or decided classes (N, d1, …), targets classes (N, d1, …); of two classes also
// logits (N, 1, d1, …). Any number of places: pixels, voxels, points.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "athanor/metrics/class_counts.hpp"
#include "athanor/metrics/classification.hpp"
#include "athanor/metrics/device_batches.hpp"
#include "athanor/metrics/metric.hpp"
#include "athanor/metrics/sums.hpp"

namespace athanor::metrics {

/// What one overlap is taken over.
enum class OverlapOf {
  dataset,  ///< The pixels of all images together: the mean IoU of VOC and Cityscapes.
  image,    ///< Each image; then the mean over images, so that a small one counts as much as a large one.
};

struct SegmentationOptions {
  /// How the tensors are read (classification.hpp has the list); not multilabel.
  Kind kind = Kind::automatic;
  /// The number of classes. Unset: dimension 1 of the predictions, 2 in binary. Needed for classes that were decided
  /// already.
  std::optional<int64_t> classes = {};
  /// Whether class 0 is among the classes. Its pixels count as wrong for the others either way.
  bool include_background = true;
  /// `macro`, `weighted` by pixels and `per_class` over the classes that occur among targets or predictions, of the
  /// image or of all; `per_class` is NaN for one that never occurs.
  Average average = Average::macro;
  OverlapOf of = OverlapOf::dataset;
  /// As in ClassificationOptions.
  double threshold = 0.5;
  bool from_logits = true;
  /// Pixels whose target has this value are left out, such as 255. Unset: none.
  std::optional<int64_t> ignore_index = {};

  friend bool operator==(const SegmentationOptions&, const SegmentationOptions&) = default;
};

namespace detail {

/// The part that both share.
class SegmentationOverlap {
 public:
  struct Definition {
    const char* name;
    /// Numerator and denominator from intersection, predicted and true pixels.
    std::pair<double, double> (*of_class)(double both, double predicted, double targets);
  };

  [[nodiscard]] std::string name() const { return definition_->name; }
  [[nodiscard]] Direction direction() const noexcept { return Direction::up; }
  [[nodiscard]] const SegmentationOptions& options() const noexcept { return options_; }
  /// Whether the two would count and compute the same.
  [[nodiscard]] bool alike(const SegmentationOverlap& other) const noexcept {
    return definition_ == other.definition_ && options_ == other.options_;
  }
  /// Adds a batch of images. Does not wait for a device. Throws Error, and counts nothing, for shapes that do not fit,
  /// another number of classes than before, and (on the CPU) labels out of range and NaN.
  void update(const at::Tensor& predictions, const at::Tensor& target);
  /// Throws Error when the options or the numbers of classes differ.
  void merge(const SegmentationOverlap& other);
  /// A number, or a dictionary with Average::per_class. Waits for the device. Throws Error when nothing was seen, or
  /// nothing but ignored pixels.
  [[nodiscard]] Tree compute() const;
  [[nodiscard]] bool empty() const noexcept { return counts_.empty() && sums_.empty() && waiting_.empty(); }
  void reset();
  void state(State& state);

 protected:
  SegmentationOverlap(const Definition& definition, const SegmentationOptions& options);

 private:
  struct OfImage;

  [[nodiscard]] OfImage overlap(std::span<const Tally> tallies) const;
  void update_images(const at::Tensor& predictions, const at::Tensor& target);
  void add_images(const int64_t* tallies, int64_t images, int64_t classes);
  void settle();

  const Definition* definition_;
  SegmentationOptions options_;
  Rules rules_;
  ClassCounts counts_;     // of the dataset
  Sums sums_;              // of images: their overlap, how many have one; for each class its overlap, how many have it
  DeviceBatches waiting_;  // (N, 3, C) counts of images, and (1) how many pixels were refused
};

}  // namespace detail

/// Called "iou".
class SegmentationIou : public detail::SegmentationOverlap {
 public:
  /// Throws Error for options out of their range.
  explicit SegmentationIou(SegmentationOptions options = {});
};

/// Called "dice".
class SegmentationDice : public detail::SegmentationOverlap {
 public:
  /// Throws Error for options out of their range.
  explicit SegmentationDice(SegmentationOptions options = {});
};

/// For `.metrics = {athanor::metrics::segmentation_iou({.ignore_index = 255})}`.
[[nodiscard]] SegmentationIou segmentation_iou(SegmentationOptions options = {});
[[nodiscard]] SegmentationDice segmentation_dice(SegmentationOptions options = {});

/// The value of these tensors alone. Waits for the device. Throws Error with Average::per_class, which has no single
/// value: see once().
[[nodiscard]] double segmentation_iou(const at::Tensor& predictions, const at::Tensor& target,
                                      SegmentationOptions options = {});
[[nodiscard]] double segmentation_dice(const at::Tensor& predictions, const at::Tensor& target,
                                       SegmentationOptions options = {});

}  // namespace athanor::metrics
