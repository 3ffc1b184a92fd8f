// SPDX-License-Identifier: Apache-2.0
// How near an image is to the one that it should be: PSNR, SSIM and multi-scale SSIM.
//
// Predictions and target are (N, C, H, W), of one shape, any real dtype; calculated in float64 (float32 on devices
// without it). PSNR takes (N, …) of any shape.
//
// The range of the values has to be said, .data_range = 1.0 for images from 0 to 1, 2.0 from -1 to 1. Only of uint8 it
// is known: 255. Looking for the least and the greatest value of a batch, or of the batches so far, would make the
// result depend on how the data was split; torchmetrics' SSIM does that unless it is told.
//
// NaN in an image makes the value NaN. Metrics here add up one number for each image and never wait for a device.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "athanor/core/state.hpp"
#include "athanor/metrics/accumulator.hpp"
#include "athanor/metrics/sums.hpp"

namespace athanor::metrics {

/// How the values of the images become one.
enum class ImageReduction { mean, sum };

/// What a signal-to-noise ratio is taken over.
enum class PsnrOf {
  dataset,  ///< The squared errors of all images together, so that a bad one weighs most.
  image,    ///< Each image; then their mean or sum. torchmetrics' dim = (1, 2, 3).
};

struct PsnrOptions {
  /// The greatest possible value less the least. Unset: the width of `clamp`, else 255 of uint8; of others refused.
  std::optional<double> data_range = {};
  /// Values are first brought into {least, greatest}.
  std::optional<std::array<double, 2>> clamp = {};
  /// Of the logarithm.
  double base = 10;
  PsnrOf of = PsnrOf::dataset;
  /// Of PsnrOf::image.
  ImageReduction reduction = ImageReduction::mean;

  friend bool operator==(const PsnrOptions&, const PsnrOptions&) = default;
};

struct SsimOptions {
  /// As in PsnrOptions.
  std::optional<double> data_range = {};
  std::optional<std::array<double, 2>> clamp = {};
  /// A Gaussian window, of 2 floor(3.5 sigma + 0.5) + 1 pixels; false: all pixels of the window count the same.
  bool gaussian_kernel = true;
  /// Of the Gaussian window, in pixels, over height and width.
  std::array<double, 2> sigma = {1.5, 1.5};
  /// Pixels of the uniform window over height and width; odd.
  std::array<int64_t, 2> kernel_size = {11, 11};
  /// What keeps the fractions from dividing by 0, as parts of the data range.
  double k1 = 0.01;
  double k2 = 0.03;
  ImageReduction reduction = ImageReduction::mean;

  friend bool operator==(const SsimOptions&, const SsimOptions&) = default;
};

/// What becomes of the terms of a scale before they are raised to its exponent.
enum class ScaleNormalization {
  none,    ///< Nothing; negative ones make the value NaN.
  relu,    ///< Negative ones become 0.
  simple,  ///< (term + 1) / 2.
};

struct MsSsimOptions {
  /// As in SsimOptions.
  std::optional<double> data_range = {};
  std::optional<std::array<double, 2>> clamp = {};
  bool gaussian_kernel = true;
  std::array<double, 2> sigma = {1.5, 1.5};
  std::array<int64_t, 2> kernel_size = {11, 11};
  double k1 = 0.01;
  double k2 = 0.03;
  ImageReduction reduction = ImageReduction::mean;
  /// The exponents of the scales, the image itself first; each next one has half the height and width.
  std::vector<double> betas = {0.0448, 0.2856, 0.3001, 0.2363, 0.1333};
  ScaleNormalization normalize = ScaleNormalization::relu;

  friend bool operator==(const MsSsimOptions&, const MsSsimOptions&) = default;
};

namespace detail {

/// Adds up a number for each image.
class ImageScore {
 public:
  [[nodiscard]] Direction direction() const noexcept { return Direction::up; }
  /// Waits for the device. Throws Error when nothing was seen.
  [[nodiscard]] double compute() const;
  [[nodiscard]] bool empty() const noexcept { return sums_.empty(); }
  void reset() { sums_.reset(); }
  void state(State& state) { state.child("sums", sums_); }

 protected:
  ImageScore(const char* metric, ImageReduction reduction) : metric_(metric), reduction_(reduction) {}
  /// (N), one for each image, on any device.
  void add_images(const at::Tensor& values);
  void merge_images(const ImageScore& other) { sums_.merge(other.sums_, metric_); }

  const char* metric_;
  ImageReduction reduction_;
  Sums sums_;  // of the values, and how many there are
};

}  // namespace detail

/// Peak signal-to-noise ratio, 10 log10(data_range^2 / mean squared error), in decibel; infinite for equal images.
/// Called "psnr".
class PeakSignalNoiseRatio : public detail::ImageScore {
 public:
  /// Throws Error for options out of their range.
  explicit PeakSignalNoiseRatio(PsnrOptions options = {});
  [[nodiscard]] std::string name() const { return "psnr"; }
  [[nodiscard]] bool alike(const PeakSignalNoiseRatio& other) const noexcept { return options_ == other.options_; }
  /// Does not wait for a device. Throws Error, and adds nothing, for shapes that differ and for a range that is not
  /// known.
  void update(const at::Tensor& predictions, const at::Tensor& target);
  /// Throws Error when the options differ.
  void merge(const PeakSignalNoiseRatio& other);
  /// Waits for the device. Throws Error when nothing was seen.
  [[nodiscard]] double compute() const;
  void reset();
  void state(State& state);

 private:
  PsnrOptions options_;
  double range_ = 0;  // 0 before the first batch
};

/// Structural similarity: the mean over all pixels of how much a window around each agrees in brightness, contrast and
/// structure; 1 for equal images. The border is reflected and counts. Wang, Bovik, Sheikh and Simoncelli, 2004. Called
/// "ssim".
class StructuralSimilarity : public detail::ImageScore {
 public:
  /// Throws Error for options out of their range.
  explicit StructuralSimilarity(SsimOptions options = {});
  [[nodiscard]] std::string name() const { return "ssim"; }
  [[nodiscard]] bool alike(const StructuralSimilarity& other) const noexcept { return options_ == other.options_; }
  /// Does not wait for a device. Throws Error, and adds nothing, for shapes that do not fit, images that are smaller
  /// than half the window, and a range that is not known.
  void update(const at::Tensor& predictions, const at::Tensor& target);
  /// Throws Error when the options differ.
  void merge(const StructuralSimilarity& other);

 private:
  SsimOptions options_;
};

/// Contrast and structure at several scales, and brightness at the last; 1 for equal images. Wang, Simoncelli and
/// Bovik, 2003. Called "ms_ssim".
class MultiScaleStructuralSimilarity : public detail::ImageScore {
 public:
  /// Throws Error for options out of their range.
  explicit MultiScaleStructuralSimilarity(MsSsimOptions options = {});
  [[nodiscard]] std::string name() const { return "ms_ssim"; }
  [[nodiscard]] bool alike(const MultiScaleStructuralSimilarity& other) const { return options_ == other.options_; }
  /// Does not wait for a device. Throws Error, and adds nothing, for shapes that do not fit, images whose smallest
  /// scale does not hold a whole window (176 pixels for the usual options), and a range that is not known.
  void update(const at::Tensor& predictions, const at::Tensor& target);
  /// Throws Error when the options differ.
  void merge(const MultiScaleStructuralSimilarity& other);

 private:
  MsSsimOptions options_;
};

/// For `.metrics = {athanor::metrics::ssim({.data_range = 1.0})}`.
[[nodiscard]] PeakSignalNoiseRatio psnr(PsnrOptions options = {});
[[nodiscard]] StructuralSimilarity ssim(SsimOptions options = {});
[[nodiscard]] MultiScaleStructuralSimilarity ms_ssim(MsSsimOptions options = {});

/// The value of these tensors alone. Waits for the device.
[[nodiscard]] double psnr(const at::Tensor& predictions, const at::Tensor& target, PsnrOptions options = {});
[[nodiscard]] double ssim(const at::Tensor& predictions, const at::Tensor& target, SsimOptions options = {});
[[nodiscard]] double ms_ssim(const at::Tensor& predictions, const at::Tensor& target, MsSsimOptions options = {});

/// The value of each image, (N), on the device of the predictions, without waiting; torchmetrics' reduction = "none".
[[nodiscard]] at::Tensor psnr_of_images(const at::Tensor& predictions, const at::Tensor& target,
                                        const PsnrOptions& options = {});
[[nodiscard]] at::Tensor ssim_of_images(const at::Tensor& predictions, const at::Tensor& target,
                                        const SsimOptions& options = {});
[[nodiscard]] at::Tensor ms_ssim_of_images(const at::Tensor& predictions, const at::Tensor& target,
                                           const MsSsimOptions& options = {});

}  // namespace athanor::metrics
