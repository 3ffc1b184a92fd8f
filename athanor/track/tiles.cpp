// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/tiles.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/adaptive_avg_pool2d.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>

#include <algorithm>
#include <cmath>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"
#include "athanor/core/tree.hpp"
#include "athanor/track/picture.hpp"
#include "athanor/track/svg.hpp"

namespace athanor::draw {
namespace {

constexpr double tile_gap = 14;
constexpr double title_size = 12;
constexpr double note_size = 11;
constexpr double narrowest_named = 92;

at::Tensor values_for_channels(const std::vector<double>& values, int64_t channels, const char* option,
                               const std::string& where) {
  const auto count = static_cast<int64_t>(values.size());
  if (count != 1 && count != channels) {
    throw Error({.what = std::string("the normalisation of the images has another number of channels than they have"),
                 .where = where + ", " + option,
                 .got = std::to_string(count) + " numbers",
                 .expected = "1, or " + std::to_string(channels) + ", one for each channel"});
  }
  return at::tensor(values, at::kDouble).view({1, count, 1, 1});
}

at::Tensor four_dimensions(const at::Tensor& images, const std::string& where) {
  const bool shaped = images.defined() && (images.dim() == 3 || images.dim() == 4) && images.numel() > 0;
  const int64_t channels = shaped && images.dim() == 4 ? images.size(1) : 1;
  const bool of_dtype =
      shaped && (images.scalar_type() == at::kByte || images.scalar_type() == at::kBool || images.is_floating_point());
  if (!of_dtype || (channels != 1 && channels != 3 && channels != 4)) {
    throw Error({.what = "these samples are no images",
                 .where = where,
                 .got = describe(images),
                 .expected = "(N, H, W) or (N, C, H, W) with 1, 3 or 4 channels: uint8, bool or floating point",
                 .todo =
                     "give the part of the samples that is an image; filter_figure and activation_figure show other "
                     "numbers of channels"});
  }
  const at::Tensor host = images.detach().to(at::kCPU);
  return host.dim() == 4 ? host : host.unsqueeze(1);
}

at::Tensor to_rgb(const at::Tensor& bytes) {
  return (bytes.size(0) == 1 ? bytes.expand({3, -1, -1}) : bytes).contiguous();
}

/// On white, as an alpha channel is meant.
at::Tensor without_alpha(const at::Tensor& image) {
  const at::Tensor alpha = image.slice(0, 3, 4);
  return image.slice(0, 0, 3) * alpha + (1 - alpha);
}

void check_finite(const at::Tensor& images, const at::Tensor& finite, const ImageReading& reading) {
  if (reading.mark_non_finite) return;
  const at::Tensor broken = finite.flatten(1).all(1).logical_not();
  if (!broken.any().item<bool>()) return;
  const auto first = broken.nonzero()[0].item<int64_t>();
  const auto row = static_cast<size_t>(first);
  const int64_t number = row < reading.numbers.size() ? reading.numbers[row] : first;
  const int64_t count = images[first].numel() - finite[first].sum().item<int64_t>();
  throw Error({.what = "an image holds numbers that are not finite",
               .where = reading.where + ", image " + std::to_string(number),
               .got = std::to_string(count) + " of " + std::to_string(images[first].numel()) + " are NaN or infinite",
               .expected = "finite numbers",
               .todo = "look at where the image comes from, or set mark_non_finite to see them in magenta"});
}

}  // namespace

ReadImages read_images(const at::Tensor& images, const ImageReading& reading) {
  const at::NoGradGuard no_grad;
  at::Tensor all = four_dimensions(images, reading.where);
  ReadImages read;
  if (all.scalar_type() == at::kBool) all = all.to(at::kByte) * 255;
  const bool plain = reading.mean.empty() && reading.deviation.empty() && !reading.range;
  if (all.scalar_type() == at::kByte && plain && all.size(1) != 4) {
    for (const at::Tensor& image : all.unbind(0)) read.pixels.push_back(to_rgb(image));
    return read;
  }
  const bool bytes = all.scalar_type() == at::kByte;
  at::Tensor values = all.to(at::kDouble);
  if (bytes) values = values / 255;
  const at::Tensor finite = at::isfinite(values);
  check_finite(values, finite, reading);
  if (!reading.deviation.empty()) {
    values = values * values_for_channels(reading.deviation, all.size(1), "deviation", reading.where);
  }
  if (!reading.mean.empty()) values = values + values_for_channels(reading.mean, all.size(1), "mean", reading.where);
  double black = 0, white = 1;
  const at::Tensor known = values.masked_select(finite);
  if (reading.range) {
    std::tie(black, white) = *reading.range;
    if (!(black < white)) {
      throw Error({.what = "the range of brightness is empty",
                   .where = reading.where + ", range",
                   .got = shortest(black) + " to " + shortest(white),
                   .expected = "black below white"});
    }
  } else if (known.numel() > 0) {
    const double least = known.min().item<double>(), most = known.max().item<double>();
    if (reading.mean.empty() && reading.deviation.empty() && (least < 0 || most > 1)) {
      black = least;
      white = most > least ? most : least + 1;
      read.remark = "black " + format_number(black) + ", white " + format_number(white);
    }
  }
  values = at::where(finite, ((values - black) / (white - black)).clamp(0, 1), 0.0);
  const at::Tensor broken = finite.all(1).logical_not();  // (N, H, W)
  const auto magenta = at::tensor({255, 0, 255}, at::kByte).view({3, 1, 1});
  int64_t marked = 0;
  for (int64_t i = 0; i < values.size(0); ++i) {
    const at::Tensor image = values.size(1) == 4 ? without_alpha(values[i]) : values[i];
    at::Tensor pixels = to_rgb(image.mul(255).round().to(at::kByte));
    const auto here = broken[i].sum().item<int64_t>();
    if (here > 0) pixels = at::where(broken[i].unsqueeze(0), magenta, pixels).contiguous();
    marked += here;
    read.pixels.push_back(pixels);
  }
  if (marked > 0) {
    read.remark += (read.remark.empty() ? "" : " · ") + std::to_string(marked) + " pixels are not finite: magenta";
  }
  return read;
}

Figure tile_figure(const std::vector<Tile>& tiles, const TileLook& look) {
  if (tiles.empty()) {
    throw Error({.what = "there is nothing to show", .where = look.title, .got = "0 images", .expected = "1 or more"});
  }
  if (look.columns.value_or(1) < 1 || !(look.size >= 8 && look.size <= 2000)) {
    throw Error(
        {.what = "the grid can't be drawn",
         .where = look.title,
         .got = std::to_string(look.columns.value_or(1)) + " columns, images of " + shortest(look.size) + " pixels",
         .expected = "1 column or more, and images of 8 to 2000 pixels"});
  }
  const auto count = static_cast<int64_t>(tiles.size());
  int64_t height = 1, width = 1;
  bool titles = false, notes = false;
  for (const Tile& tile : tiles) {
    height = std::max(height, tile.pixels.size(1));
    width = std::max(width, tile.pixels.size(2));
    titles = titles || !tile.title.empty();
    notes = notes || !tile.note.empty();
  }
  const double longest = static_cast<double>(std::max(height, width));
  const double scale = longest <= look.size ? std::floor(look.size / longest) : look.size / longest;
  const double shown_width = static_cast<double>(width) * scale, shown_height = static_cast<double>(height) * scale;
  const double cell_width = titles || notes ? std::max(shown_width, narrowest_named) : shown_width;
  const double cell_height = shown_height + (titles ? 18 : 0) + (notes ? 15 : 0);
  const double gap = look.size < 48 && !titles ? 4 : tile_gap;
  const double wanted = std::ceil(std::sqrt(static_cast<double>(count) * 1.6 * cell_height / cell_width));
  const int64_t columns = std::min(look.columns.value_or(std::max<int64_t>(static_cast<int64_t>(wanted), 1)), count);
  const int64_t rows = (count + columns - 1) / columns;
  const double page_width =
      std::max(2 * plot::page_margin + static_cast<double>(columns) * (cell_width + gap) - gap, 360.0);
  Figure figure(page_width,
                plot::header_height + static_cast<double>(rows) * (cell_height + gap) - gap + plot::page_margin,
                look.title, look.summary, look.theme);
  const ThemeColours& colours = colours_of(look.theme);
  for (int64_t i = 0; i < count; ++i) {
    const Tile& tile = tiles[static_cast<size_t>(i)];
    const int64_t row = i / columns;
    const double left = plot::page_margin + static_cast<double>(i % columns) * (cell_width + gap);
    const double top = plot::header_height + static_cast<double>(row) * (cell_height + gap);
    at::Tensor pixels = tile.pixels;
    const auto most = static_cast<int64_t>(4 * look.size);
    if (std::max(pixels.size(1), pixels.size(2)) > most) {
      const double shrink = static_cast<double>(most) / static_cast<double>(std::max(pixels.size(1), pixels.size(2)));
      const auto side = [&](int64_t size) {
        return std::max<int64_t>(std::lround(static_cast<double>(size) * shrink), 1);
      };
      pixels = at::adaptive_avg_pool2d(pixels.to(at::kFloat), {side(pixels.size(1)), side(pixels.size(2))})
                   .round()
                   .to(at::kByte);
    }
    const double own_width = static_cast<double>(tile.pixels.size(2)) * scale;
    const double own_height = static_cast<double>(tile.pixels.size(1)) * scale;
    figure.add(Pixels{.x = left, .y = top, .width = own_width, .height = own_height, .pixels = pixels});
    figure.add(Box{.x = left - (tile.wrong ? 1.5 : 0.5),
                   .y = top - (tile.wrong ? 1.5 : 0.5),
                   .width = own_width + (tile.wrong ? 3 : 1),
                   .height = own_height + (tile.wrong ? 3 : 1),
                   .edge = tile.wrong ? colours.alarm : colours.edge,
                   .pen = tile.wrong ? 3.0 : 1.0});
    double line = top + shown_height + 15;
    const double room = cell_width + gap - 4;
    figure.add(
        label(left, line, "start", tile.title, title_size, tile.wrong ? colours.alarm : colours.ink, room, tile.wrong));
    if (titles) line += 15;
    figure.add(label(left, line, "start", tile.note, note_size, colours.soft_ink, room));
  }
  return figure;
}

}  // namespace athanor::draw
