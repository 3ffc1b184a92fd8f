// SPDX-License-Identifier: Apache-2.0
#include "athanor/metrics/image_windows.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/avg_pool2d.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "athanor/core/parallel.hpp"
#include "athanor/core/processor.hpp"

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__)
#define ATHANOR_IMAGE_WINDOWS_AVX2 1
#endif

namespace athanor::metrics::detail {
namespace {

/// Moments under the window: of both images, of their squares, of their product.
constexpr size_t window_moments = 5;

struct PlaneRow {
  const double* predictions;  // the first of the rows under the window
  const double* target;
  int64_t stride;  // from row to row, with padding
  int64_t width;   // without padding
};

/// The whole similarity and the contrast of each pixel of a row.
inline __attribute__((always_inline)) void similarity_row(const PlaneRow& row, const SimilarityRules& rules,
                                                          double* __restrict columns, double* __restrict whole,
                                                          double* __restrict contrast) {
  const int64_t stride = row.stride, width = row.width;
  double* __restrict p_mean = columns;
  double* __restrict t_mean = columns + stride;
  double* __restrict pp_mean = columns + 2 * stride;
  double* __restrict tt_mean = columns + 3 * stride;
  double* __restrict pt_mean = columns + 4 * stride;
  std::fill(columns, columns + static_cast<int64_t>(window_moments) * stride, 0.0);
  for (size_t k = 0; k < rules.window.rows.size(); ++k) {
    const double weight = rules.window.rows[k];
    const double* __restrict p = row.predictions + static_cast<int64_t>(k) * stride;
    const double* __restrict t = row.target + static_cast<int64_t>(k) * stride;
    for (int64_t x = 0; x < stride; ++x) {
      const double weighted_p = weight * p[x], weighted_t = weight * t[x];
      p_mean[x] += weighted_p;
      t_mean[x] += weighted_t;
      pp_mean[x] += weighted_p * p[x];
      tt_mean[x] += weighted_t * t[x];
      pt_mean[x] += weighted_p * t[x];
    }
  }
  constexpr int64_t block = 16;
  const double c1 = rules.c1, c2 = rules.c2;
  for (int64_t left = 0; left < width; left += block) {
    // The last block lies over the one before it, so that all have one size where the row is long enough.
    const int64_t begin = std::max<int64_t>(0, std::min(left, width - block));
    const int64_t count = std::min(block, width);
    double sums[window_moments][block] = {};
    for (size_t k = 0; k < rules.window.columns.size(); ++k) {
      const double weight = rules.window.columns[k];
      const double* from = columns + begin + static_cast<int64_t>(k);
      for (size_t moment = 0; moment < window_moments; ++moment, from += stride) {
        for (int64_t x = 0; x < count; ++x) sums[moment][x] += weight * from[x];
      }
    }
    for (int64_t x = 0; x < count; ++x) {
      const double p = sums[0][x], t = sums[1][x];
      const double p_variance = sums[2][x] - p * p, t_variance = sums[3][x] - t * t;
      const double upper = 2 * (sums[4][x] - p * t) + c2;
      const double lower = (p_variance < 0 ? 0 : p_variance) + (t_variance < 0 ? 0 : t_variance) + c2;
      contrast[begin + x] = upper / lower;
      whole[begin + x] = ((2 * (p * t) + c1) * upper) / ((p * p + t * t + c1) * lower);
    }
  }
}

using RowFunction = void(const PlaneRow&, const SimilarityRules&, double*, double*, double*);

void similarity_row_portable(const PlaneRow& row, const SimilarityRules& rules, double* columns, double* whole,
                             double* contrast) {
  similarity_row(row, rules, columns, whole, contrast);
}

#if defined(ATHANOR_IMAGE_WINDOWS_AVX2)
__attribute__((target("avx2,fma"), optimize("O3"))) void similarity_row_avx2(const PlaneRow& row,
                                                                             const SimilarityRules& rules,
                                                                             double* columns, double* whole,
                                                                             double* contrast) {
  similarity_row(row, rules, columns, whole, contrast);
}
#endif

RowFunction* fastest_row() {
#if defined(ATHANOR_IMAGE_WINDOWS_AVX2)
  if (has_avx2()) return similarity_row_avx2;
#endif
  return similarity_row_portable;
}

/// One channel of one image.
struct ImagePlane {
  std::vector<double> values;
  int64_t height = 0;
  int64_t width = 0;

  [[nodiscard]] ImagePlane halved() const {
    ImagePlane half{std::vector<double>(static_cast<size_t>((height / 2) * (width / 2))), height / 2, width / 2};
    for (int64_t y = 0; y < half.height; ++y) {
      const double* upper = values.data() + 2 * y * width;
      const double* lower = upper + width;
      for (int64_t x = 0; x < half.width; ++x) {
        half.values[static_cast<size_t>(y * half.width + x)] =
            ((upper[2 * x] + upper[2 * x + 1]) + (lower[2 * x] + lower[2 * x + 1])) / 4;
      }
    }
    return half;
  }

  /// With the border reflected; the outermost row is not repeated.
  [[nodiscard]] std::vector<double> padded(int64_t rows, int64_t columns) const {
    const auto reflected = [](int64_t i, int64_t size) { return i < 0 ? -i : i >= size ? 2 * size - 2 - i : i; };
    std::vector<double> result;
    result.reserve(static_cast<size_t>((height + 2 * rows) * (width + 2 * columns)));
    for (int64_t y = -rows; y < height + rows; ++y) {
      const double* from = values.data() + reflected(y, height) * width;
      for (int64_t x = -columns; x < 0; ++x) result.push_back(from[reflected(x, width)]);
      result.insert(result.end(), from, from + width);
      for (int64_t x = width; x < width + columns; ++x) result.push_back(from[reflected(x, width)]);
    }
    return result;
  }
};

struct PlaneSimilarity {
  double whole = 0;
  double contrast = 0;
};

PlaneSimilarity similarity_of_planes(const ImagePlane& predictions, const ImagePlane& target,
                                     const SimilarityRules& rules) {
  const int64_t rows = rules.window.row_padding(), columns = rules.window.column_padding();
  const int64_t height = predictions.height, width = predictions.width, stride = width + 2 * columns;
  const std::vector<double> p = predictions.padded(rows, columns), t = target.padded(rows, columns);
  std::vector<double> scratch(window_moments * static_cast<size_t>(stride));
  std::vector<double> whole(static_cast<size_t>(width)), contrast(static_cast<size_t>(width));
  RowFunction* const fill_row = fastest_row();
  PlaneSimilarity sums;
  for (int64_t y = 0; y < height; ++y) {
    fill_row({p.data() + y * stride, t.data() + y * stride, stride, width}, rules, scratch.data(), whole.data(),
             contrast.data());
    double of_row = 0;
    for (const double value : whole) of_row += value;
    sums.whole += of_row;
    if (y < rows || y >= height - rows) continue;
    double inside = 0;
    for (int64_t x = columns; x < width - columns; ++x) inside += contrast[static_cast<size_t>(x)];
    sums.contrast += inside;
  }
  const int64_t inner = std::max<int64_t>(0, height - 2 * rows) * std::max<int64_t>(0, width - 2 * columns);
  return {sums.whole / static_cast<double>(height * width), sums.contrast / static_cast<double>(inner)};
}

/// With the border of one dimension reflected; the outermost line is not repeated. Line by line, because flipping and
/// LibTorch's own padding have no kernels for meta tensors in C++: by those the tests see that nothing is read back.
at::Tensor reflected_border(const at::Tensor& images, int64_t dimension, int64_t padding) {
  if (padding == 0) return images;
  const int64_t size = images.size(dimension);
  std::vector<at::Tensor> lines;
  for (int64_t i = padding; i > 0; --i) lines.push_back(images.narrow(dimension, i, 1));
  lines.push_back(images);
  for (int64_t i = 1; i <= padding; ++i) lines.push_back(images.narrow(dimension, size - 1 - i, 1));
  return at::cat(lines, dimension);
}

/// By sums of shifted images: a convolution would want the weights on the device, and may round to fewer digits there.
at::Tensor weighted_lines(const at::Tensor& images, int64_t dimension, const std::vector<double>& weights) {
  const int64_t length = images.size(dimension) + 1 - static_cast<int64_t>(weights.size());
  at::Tensor sum = images.narrow(dimension, 0, length) * weights[0];
  for (size_t k = 1; k < weights.size(); ++k) {
    sum.add_(images.narrow(dimension, static_cast<int64_t>(k), length), weights[k]);
  }
  return sum;
}

}  // namespace

std::vector<double> gaussian_weights(double sigma) {
  const auto half = static_cast<int64_t>(std::floor(3.5 * sigma + 0.5));
  std::vector<double> weights;
  double sum = 0;
  for (int64_t i = -half; i <= half; ++i) {
    const double distance = static_cast<double>(i) / sigma;
    weights.push_back(std::exp(-distance * distance / 2));
    sum += weights.back();
  }
  for (double& weight : weights) weight /= sum;
  return weights;
}

std::vector<double> uniform_weights(int64_t size) {
  return std::vector<double>(static_cast<size_t>(size), 1 / static_cast<double>(size));
}

at::Tensor similarity_on_host(const at::Tensor& predictions, const at::Tensor& target, const SimilarityRules& rules) {
  const int64_t images = predictions.size(0), channels = predictions.size(1);
  const int64_t height = predictions.size(2), width = predictions.size(3), scales = rules.scales;
  const at::Tensor p = predictions.contiguous(), t = target.contiguous();
  std::vector<PlaneSimilarity> found(static_cast<size_t>(images * channels * scales));
  parallel_for(images * channels, 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const auto plane_of = [&](const at::Tensor& from) {
        const double* values = from.const_data_ptr<double>() + i * height * width;
        return ImagePlane{std::vector<double>(values, values + height * width), height, width};
      };
      ImagePlane left = plane_of(p), right = plane_of(t);
      for (int64_t scale = 0; scale < scales; ++scale) {
        if (scale > 0) {
          left = left.halved();
          right = right.halved();
        }
        found[static_cast<size_t>(i * scales + scale)] = similarity_of_planes(left, right, rules);
      }
    }
  });
  at::Tensor result = at::zeros({2, scales, images}, at::kDouble);
  auto* whole = result.mutable_data_ptr<double>();
  double* contrast = whole + scales * images;
  for (int64_t image = 0; image < images; ++image) {
    for (int64_t scale = 0; scale < scales; ++scale) {
      for (int64_t channel = 0; channel < channels; ++channel) {
        const PlaneSimilarity& one = found[static_cast<size_t>((image * channels + channel) * scales + scale)];
        whole[scale * images + image] += one.whole / static_cast<double>(channels);
        contrast[scale * images + image] += one.contrast / static_cast<double>(channels);
      }
    }
  }
  return result;
}

at::Tensor similarity_by_operators(const at::Tensor& predictions, const at::Tensor& target,
                                   const SimilarityRules& rules) {
  const int64_t images = predictions.size(0);
  const int64_t rows = rules.window.row_padding(), columns = rules.window.column_padding();
  at::Tensor p = predictions, t = target;
  std::vector<at::Tensor> wholes, contrasts;
  for (int64_t scale = 0; scale < rules.scales; ++scale) {
    if (scale > 0) {
      p = at::avg_pool2d(p, {2, 2});
      t = at::avg_pool2d(t, {2, 2});
    }
    const int64_t height = p.size(2), width = p.size(3);
    const auto padded = [&](const at::Tensor& of) {
      return reflected_border(reflected_border(of, 2, rows), 3, columns);
    };
    const at::Tensor padded_p = padded(p), padded_t = padded(t);
    const at::Tensor all =
        at::stack({padded_p, padded_t, padded_p * padded_p, padded_t * padded_t, padded_p * padded_t});
    const at::Tensor means = weighted_lines(weighted_lines(all, 3, rules.window.rows), 4, rules.window.columns);
    const at::Tensor mean_p = means[0], mean_t = means[1];
    const at::Tensor upper = 2 * (means[4] - mean_p * mean_t) + rules.c2;
    const at::Tensor lower =
        (means[2] - mean_p * mean_p).clamp_min(0) + (means[3] - mean_t * mean_t).clamp_min(0) + rules.c2;
    const at::Tensor whole =
        (2 * mean_p * mean_t + rules.c1) * upper / ((mean_p * mean_p + mean_t * mean_t + rules.c1) * lower);
    const at::Tensor inner = (upper / lower)
                                 .slice(2, rows, std::max(rows, height - rows))
                                 .slice(3, columns, std::max(columns, width - columns));
    wholes.push_back(whole.reshape({images, -1}).mean(1));
    contrasts.push_back(inner.reshape({images, inner.numel() / std::max<int64_t>(1, images)}).mean(1));
  }
  return at::stack({at::stack(wholes), at::stack(contrasts)});
}

}  // namespace athanor::metrics::detail
