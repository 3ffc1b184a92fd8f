// SPDX-License-Identifier: Apache-2.0
// Pictures beside and below each other, each with a few words.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "athanor/track/figure.hpp"

namespace athanor::draw {

struct Tile {
  at::Tensor pixels = {};  ///< uint8 (3, H, W) on the CPU.
  std::string title = {};
  std::string note = {};
  bool wrong = false;  ///< Framed, and its title in the colour of an alarm.
};

struct TileLook {
  std::string title = {};
  std::string summary = {};
  std::optional<int64_t> columns = {};  ///< Unset: somewhat broader than high.
  double size = 112;                    ///< The longer side of a picture; small ones are enlarged by whole numbers.
  Theme theme = Theme::light;
};

/// Throws Error when there are no tiles, and for columns and a size that can't be.
[[nodiscard]] Figure tile_figure(const std::vector<Tile>& tiles, const TileLook& look);

/// How numbers become brightness.
struct ImageReading {
  std::vector<double> mean = {};
  std::vector<double> deviation = {};
  std::optional<std::pair<double, double>> range = {};
  bool mark_non_finite = false;
  std::string where = {};             ///< For messages.
  std::vector<int64_t> numbers = {};  ///< What the images are called in messages; empty: 0, 1, …
};
struct ReadImages {
  std::vector<at::Tensor> pixels;  ///< uint8 (3, H, W) of each.
  std::string remark;              ///< What the reader of the figure should know about the brightness; may be empty.
};
/// (N, H, W) or (N, C, H, W) with 1, 3 or 4 channels: uint8, bool or floating. Throws Error as SampleGridOptions says.
[[nodiscard]] ReadImages read_images(const at::Tensor& images, const ImageReading& reading);

}  // namespace athanor::draw
