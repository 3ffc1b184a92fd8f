// SPDX-License-Identifier: Apache-2.0
#include "athanor/metrics/image_quality.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>
#include <ATen/ops/stack.h>
#include <c10/core/InferenceMode.h>

#include <cmath>
#include <utility>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"
#include "athanor/core/tree.hpp"
#include "athanor/metrics/elements.hpp"
#include "athanor/metrics/image_windows.hpp"
#include "athanor/metrics/once.hpp"

namespace athanor::metrics {
namespace {

using detail::widest_on;
using ValueRange = std::array<double, 2>;

void refuse_image_option(const char* metric, const char* what, const std::string& got, const char* expected) {
  throw Error({.what = what, .where = metric, .got = got, .expected = expected});
}

template <class Options>
void check_image_range(const Options& options, const char* metric) {
  if (options.data_range && !(*options.data_range > 0 && std::isfinite(*options.data_range))) {
    refuse_image_option(metric, "data_range is out of range", shortest(*options.data_range), "above 0");
  }
  if (options.clamp && !((*options.clamp)[0] < (*options.clamp)[1])) {
    refuse_image_option(metric, "clamp is out of range",
                        shortest((*options.clamp)[0]) + " to " + shortest((*options.clamp)[1]), "least < greatest");
  }
}

template <class Options>
void check_windows(const Options& options, const char* metric) {
  check_image_range(options, metric);
  for (const double sigma : options.sigma) {
    if (!(sigma > 0 && sigma < 1000)) {
      refuse_image_option(metric, "sigma is out of range", shortest(sigma), "above 0, below 1000 pixels");
    }
  }
  for (const int64_t size : options.kernel_size) {
    if (size < 1 || size % 2 == 0) {
      refuse_image_option(metric, "kernel_size is no odd number", std::to_string(size), "1, 3, 5, …");
    }
  }
  for (const double k : {options.k1, options.k2}) {
    if (!(k >= 0)) refuse_image_option(metric, "k1 or k2 is negative", shortest(k), "0 or more");
  }
}

/// What the options say, else what the dtype says.
double range_of(const std::optional<double>& data_range, const std::optional<ValueRange>& clamp,
                const at::Tensor& predictions, const at::Tensor& target, const char* metric) {
  if (data_range) return *data_range;
  if (clamp) return (*clamp)[1] - (*clamp)[0];
  if (predictions.scalar_type() == at::kByte && target.scalar_type() == at::kByte) return 255;
  throw Error(
      {.what = "the range of the values of images is not known",
       .where = metric,
       .got = "predictions " + dtype_name(predictions.scalar_type()) + ", target " + dtype_name(target.scalar_type()),
       .expected = "data_range, or uint8 for both",
       .todo = "say .data_range = 1.0 for images from 0 to 1, 2.0 for -1 to 1; a range that is looked for in "
               "each batch would make the value depend on the batches"});
}

[[noreturn]] void refuse_image_shape(const at::Tensor& predictions, const at::Tensor& target, const char* metric,
                                     const char* expected) {
  throw Error({.what = "the shapes of images do not fit",
               .where = metric,
               .got = "predictions " + describe(predictions) + ", target " + describe(target),
               .expected = expected});
}

void check_image_pair(const at::Tensor& predictions, const at::Tensor& target, const char* metric) {
  detail::check_pair(predictions, target, metric);
  if (predictions.dim() != 4 || predictions.sizes() != target.sizes() || predictions.numel() == 0) {
    refuse_image_shape(predictions, target, metric, "(N, C, H, W) for both, with at least one pixel");
  }
}

at::Tensor in_wide_range(const at::Tensor& images, const std::optional<ValueRange>& clamp) {
  const at::Tensor wide = images.detach().to(widest_on(images.device()));
  return clamp ? wide.clamp((*clamp)[0], (*clamp)[1]) : wide;
}

at::Tensor squared_errors(const at::Tensor& predictions, const at::Tensor& target, const PsnrOptions& options) {
  detail::check_pair(predictions, target, "psnr");
  if (predictions.dim() == 0 || predictions.sizes() != target.sizes() || predictions.numel() == 0) {
    refuse_image_shape(predictions, target, "psnr", "(N, …) for both, with at least one element");
  }
  const at::Tensor difference = in_wide_range(predictions, options.clamp) - in_wide_range(target, options.clamp);
  return difference.square().reshape({predictions.size(0), -1});
}

double decibel_scale(double base) { return 10 / std::log(base); }

template <class Options>
detail::SimilarityRules similarity_rules(const Options& options, double range, int64_t scales) {
  const auto weights = [&](size_t dimension) {
    return options.gaussian_kernel ? detail::gaussian_weights(options.sigma[dimension])
                                   : detail::uniform_weights(options.kernel_size[dimension]);
  };
  return {.window = {weights(0), weights(1)},
          .c1 = options.k1 * range * (options.k1 * range),
          .c2 = options.k2 * range * (options.k2 * range),
          .scales = scales};
}

/// The smallest height and width of an image.
void check_image_size(const at::Tensor& images, int64_t height, int64_t width, const char* what, const char* metric,
                      const char* todo) {
  if (images.size(2) >= height && images.size(3) >= width) return;
  throw Error({.what = what,
               .where = metric,
               .got = std::to_string(images.size(2)) + " x " + std::to_string(images.size(3)) + " pixels",
               .expected = "at least " + std::to_string(height) + " x " + std::to_string(width),
               .todo = todo});
}

at::Tensor image_similarity(const at::Tensor& predictions, const at::Tensor& target,
                            const std::optional<ValueRange>& clamp, const detail::SimilarityRules& rules) {
  const at::Tensor p = in_wide_range(predictions, clamp), t = in_wide_range(target, clamp);
  return predictions.is_cpu() ? detail::similarity_on_host(p, t, rules) : detail::similarity_by_operators(p, t, rules);
}

}  // namespace

namespace detail {

void ImageScore::add_images(const at::Tensor& values) {
  sums_.add(
      at::stack({values.sum(), at::full({}, values.size(0), values.options()), at::full({}, 0, values.options())}));
}

double ImageScore::compute() const {
  const std::vector<double> sums = sums_.read(metric_);
  return reduction_ == ImageReduction::mean ? sums[0] / sums[1] : sums[0];
}

}  // namespace detail

PeakSignalNoiseRatio::PeakSignalNoiseRatio(PsnrOptions options)
    : ImageScore("psnr", options.reduction), options_(options) {
  check_image_range(options, "psnr");
  if (!(options.base > 0 && options.base != 1)) {
    refuse_image_option("psnr", "the base of the logarithm is out of range", shortest(options.base), "above 0, not 1");
  }
  if (options.of == PsnrOf::dataset && options.reduction == ImageReduction::sum) {
    refuse_image_option("psnr", "a sum over images needs a value of each image", "ImageReduction::sum",
                        ".of = PsnrOf::image beside it");
  }
}

void PeakSignalNoiseRatio::update(const at::Tensor& predictions, const at::Tensor& target) {
  const c10::InferenceMode normal(false);
  const at::NoGradGuard no_grad;
  if (options_.of == PsnrOf::image) return add_images(psnr_of_images(predictions, target, options_));
  const at::Tensor errors = squared_errors(predictions, target, options_);
  const double range = range_of(options_.data_range, options_.clamp, predictions, target, metric_);
  sums_.add(
      at::stack({errors.sum(), at::full({}, errors.numel(), errors.options()), at::full({}, 0, errors.options())}));
  range_ = range;
}

void PeakSignalNoiseRatio::merge(const PeakSignalNoiseRatio& other) {
  detail::check_alike(alike(other), name());
  merge_images(other);
  if (range_ == 0) range_ = other.range_;
}

double PeakSignalNoiseRatio::compute() const {
  if (options_.of == PsnrOf::image) return ImageScore::compute();
  const std::vector<double> sums = sums_.read(metric_);
  return decibel_scale(options_.base) * (2 * std::log(range_) - std::log(sums[0] / sums[1]));
}

void PeakSignalNoiseRatio::reset() {
  ImageScore::reset();
  range_ = 0;
}

void PeakSignalNoiseRatio::state(State& state) {
  ImageScore::state(state);
  state.value("range", range_);
}

StructuralSimilarity::StructuralSimilarity(SsimOptions options)
    : ImageScore("ssim", options.reduction), options_(options) {
  check_windows(options, "ssim");
}

void StructuralSimilarity::update(const at::Tensor& predictions, const at::Tensor& target) {
  const c10::InferenceMode normal(false);
  add_images(ssim_of_images(predictions, target, options_));
}

void StructuralSimilarity::merge(const StructuralSimilarity& other) {
  detail::check_alike(alike(other), name());
  merge_images(other);
}

MultiScaleStructuralSimilarity::MultiScaleStructuralSimilarity(MsSsimOptions options)
    : ImageScore("ms_ssim", options.reduction), options_(std::move(options)) {
  check_windows(options_, "ms_ssim");
  if (options_.betas.empty() || options_.betas.size() > 30) {
    refuse_image_option("ms_ssim", "the number of betas is out of range", std::to_string(options_.betas.size()),
                        "1 to 30, one for each scale");
  }
  for (const double beta : options_.betas) {
    if (!std::isfinite(beta)) refuse_image_option("ms_ssim", "a beta is not finite", shortest(beta), "a number");
  }
}

void MultiScaleStructuralSimilarity::update(const at::Tensor& predictions, const at::Tensor& target) {
  const c10::InferenceMode normal(false);
  add_images(ms_ssim_of_images(predictions, target, options_));
}

void MultiScaleStructuralSimilarity::merge(const MultiScaleStructuralSimilarity& other) {
  detail::check_alike(alike(other), name());
  merge_images(other);
}

PeakSignalNoiseRatio psnr(PsnrOptions options) { return PeakSignalNoiseRatio(options); }
StructuralSimilarity ssim(SsimOptions options) { return StructuralSimilarity(options); }
MultiScaleStructuralSimilarity ms_ssim(MsSsimOptions options) {
  return MultiScaleStructuralSimilarity(std::move(options));
}

double psnr(const at::Tensor& predictions, const at::Tensor& target, PsnrOptions options) {
  return once(psnr(options), predictions, target);
}
double ssim(const at::Tensor& predictions, const at::Tensor& target, SsimOptions options) {
  return once(ssim(options), predictions, target);
}
double ms_ssim(const at::Tensor& predictions, const at::Tensor& target, MsSsimOptions options) {
  return once(ms_ssim(std::move(options)), predictions, target);
}

at::Tensor psnr_of_images(const at::Tensor& predictions, const at::Tensor& target, const PsnrOptions& options) {
  check_image_range(options, "psnr");
  const at::NoGradGuard no_grad;
  const at::Tensor errors = squared_errors(predictions, target, options).mean(1);
  const double range = range_of(options.data_range, options.clamp, predictions, target, "psnr");
  return decibel_scale(options.base) * (2 * std::log(range) - errors.log());
}

at::Tensor ssim_of_images(const at::Tensor& predictions, const at::Tensor& target, const SsimOptions& options) {
  check_windows(options, "ssim");
  const at::NoGradGuard no_grad;
  check_image_pair(predictions, target, "ssim");
  const double range = range_of(options.data_range, options.clamp, predictions, target, "ssim");
  const detail::SimilarityRules rules = similarity_rules(options, range, 1);
  check_image_size(predictions, rules.window.row_padding() + 1, rules.window.column_padding() + 1,
                   "an image is too small for the window", "ssim", "take a smaller sigma or kernel_size");
  return image_similarity(predictions, target, options.clamp, rules)[0][0];
}

at::Tensor ms_ssim_of_images(const at::Tensor& predictions, const at::Tensor& target, const MsSsimOptions& options) {
  check_windows(options, "ms_ssim");
  const at::NoGradGuard no_grad;
  check_image_pair(predictions, target, "ms_ssim");
  const double range = range_of(options.data_range, options.clamp, predictions, target, "ms_ssim");
  const auto scales = static_cast<int64_t>(options.betas.size());
  const detail::SimilarityRules rules = similarity_rules(options, range, scales);
  const int64_t shrinks = int64_t{1} << (scales - 1);
  check_image_size(predictions, (2 * rules.window.row_padding() + 1) * shrinks,
                   (2 * rules.window.column_padding() + 1) * shrinks, "an image is too small for the scales", "ms_ssim",
                   "give fewer betas, or a smaller sigma or kernel_size");
  const at::Tensor terms = image_similarity(predictions, target, options.clamp, rules);
  at::Tensor product;
  for (int64_t scale = 0; scale < scales; ++scale) {
    at::Tensor term = terms[scale + 1 == scales ? 0 : 1][scale];
    if (options.normalize == ScaleNormalization::relu) term = term.clamp_min(0);
    if (options.normalize == ScaleNormalization::simple) term = (term + 1) / 2;
    const at::Tensor power = term.pow(options.betas[static_cast<size_t>(scale)]);
    product = product.defined() ? product * power : power;
  }
  return product;
}

}  // namespace athanor::metrics
