// SPDX-License-Identifier: Apache-2.0
// Structural similarity of planes by sliding windows; shared by SSIM and multi-scale SSIM, not for use outside.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace athanor::metrics::detail {

/// A window whose weight at (y, x) is rows[y] * columns[x]; both of odd length, with the sum 1.
struct Window {
  std::vector<double> rows;
  std::vector<double> columns;

  [[nodiscard]] int64_t row_padding() const noexcept { return static_cast<int64_t>(rows.size()) / 2; }
  [[nodiscard]] int64_t column_padding() const noexcept { return static_cast<int64_t>(columns.size()) / 2; }
};

/// 2 floor(3.5 sigma + 0.5) + 1 weights.
[[nodiscard]] std::vector<double> gaussian_weights(double sigma);
[[nodiscard]] std::vector<double> uniform_weights(int64_t size);

struct SimilarityRules {
  Window window;
  double c1 = 0;
  double c2 = 0;
  int64_t scales = 1;
};

/// (2, scales, N): the mean over all pixels of the whole similarity, and the mean of contrast and structure over the
/// pixels whose window lies inside; of images (N, C, H, W), float64, on the CPU. Each scale is at least as large as
/// half a window.
[[nodiscard]] at::Tensor similarity_on_host(const at::Tensor& predictions, const at::Tensor& target,
                                            const SimilarityRules& rules);

/// The same by operators, on any device, in the dtype of the images.
[[nodiscard]] at::Tensor similarity_by_operators(const at::Tensor& predictions, const at::Tensor& target,
                                                 const SimilarityRules& rules);

}  // namespace athanor::metrics::detail
