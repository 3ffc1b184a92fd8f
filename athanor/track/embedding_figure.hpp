// SPDX-License-Identifier: Apache-2.0
// Embeddings as points on a plane: principal components, and a scatter with coloured classes.
//
//     auto components = athanor::principal_components(embeddings, 2);
//     athanor::scatter_figure(components.points, {.classes = labels, .names = names}).save("embeddings.svg");
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "athanor/track/figure.hpp"

namespace athanor {

struct PrincipalComponents {
  at::Tensor points;      ///< float64 (N, k): the samples along the components.
  at::Tensor components;  ///< float64 (k, D): rows of length 1, at right angles, the one with most variance first.
  at::Tensor mean;        ///< float64 (D), taken away before.
  at::Tensor variance;    ///< float64 (k), of each column of `points`, over N - 1.
  at::Tensor share;       ///< float64 (k): the part of the whole variance, 0 … 1; 0 when there is none at all.
};

/// Exactly, by a singular value decomposition in float64; on the CPU. The sign of each component is the one that makes
/// its entry of the greatest magnitude positive (the first one of several), as in scikit-learn. Embeddings are
/// (N, ...), floating, on any device; all but the first dimension are one.
///
/// Throws Error for fewer than two samples, `k` out of 1 … min(N, D), and numbers that are not finite.
[[nodiscard]] PrincipalComponents principal_components(const at::Tensor& embeddings, int64_t k = 2);

struct ScatterFigureOptions {
  std::string title = "Embeddings";
  std::string summary = {};
  std::string across = {};  ///< The name of the axis.
  std::string up = {};
  /// Whole numbers (N), 0 or more. Undefined: all points in one colour.
  at::Tensor classes = {};
  /// Of the classes; empty: the numbers.
  std::vector<std::string> names{};
  /// In pixels of the figure.
  int width = 560;
  int height = 460;
  Theme theme = Theme::light;
};

/// Points (N, 2), floating. Up to 10 classes are told apart by colour, more by colour and shape. Throws Error for
/// another shape, for classes that are not one for each point, without a name, and for points that are not finite.
[[nodiscard]] Figure scatter_figure(const at::Tensor& points, const ScatterFigureOptions& options = {});

/// Both in one: the first two principal components, with their shares of the variance at the axes.
[[nodiscard]] Figure embedding_figure(const at::Tensor& embeddings, ScatterFigureOptions options = {});

}  // namespace athanor
