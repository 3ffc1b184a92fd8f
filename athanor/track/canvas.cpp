// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/canvas.hpp"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>

namespace athanor::draw {
namespace {

/// How much of a pixel lies inside of an edge whose signed distance (negative inside) is that of its centre.
double inside_share(double distance) { return std::clamp(0.5 - distance, 0.0, 1.0); }

double overlap(double from, double to, double low, double high) {
  return std::max(0.0, std::min(to, high) - std::max(from, low));
}

double distance_to_piece(Place p, Place a, Place b) {
  const double dx = b.x - a.x, dy = b.y - a.y;
  const double length = dx * dx + dy * dy;
  const double t = length > 0 ? std::clamp(((p.x - a.x) * dx + (p.y - a.y) * dy) / length, 0.0, 1.0) : 0;
  return std::hypot(p.x - a.x - t * dx, p.y - a.y - t * dy);
}

double distance_to_round_box(Place p, double x, double y, double width, double height, double radius) {
  const double dx = std::abs(p.x - x - width / 2) - width / 2 + radius;
  const double dy = std::abs(p.y - y - height / 2) - height / 2 + radius;
  return std::hypot(std::max(dx, 0.0), std::max(dy, 0.0)) + std::min(std::max(dx, dy), 0.0) - radius;
}

}  // namespace

Canvas::Canvas(int64_t width, int64_t height, const Colour& page)
    : width_(width), height_(height), rgb_(static_cast<size_t>(width * height * 3)) {
  for (size_t i = 0; i < rgb_.size(); i += 3) {
    rgb_[i] = page.red;
    rgb_[i + 1] = page.green;
    rgb_[i + 2] = page.blue;
  }
}

void Canvas::blend(int64_t x, int64_t y, const Colour& colour, double coverage) {
  const auto share = static_cast<float>(coverage * colour.alpha);
  float* at = &rgb_[static_cast<size_t>((y * width_ + x) * 3)];
  at[0] += (static_cast<float>(colour.red) - at[0]) * share;
  at[1] += (static_cast<float>(colour.green) - at[1]) * share;
  at[2] += (static_cast<float>(colour.blue) - at[2]) * share;
}

template <class Coverage>
void Canvas::cover(double left, double top, double right, double bottom, const Colour& colour,
                   const Coverage& coverage) {
  const auto within = [](double value, int64_t most) {
    return static_cast<int64_t>(std::clamp(value, 0.0, static_cast<double>(most)));
  };
  const int64_t first_x = within(std::floor(left), width_), last_x = within(std::ceil(right), width_);
  const int64_t first_y = within(std::floor(top), height_), last_y = within(std::ceil(bottom), height_);
  for (int64_t y = first_y; y < last_y; ++y) {
    for (int64_t x = first_x; x < last_x; ++x) {
      const double share = coverage(static_cast<double>(x) + 0.5, static_cast<double>(y) + 0.5);
      if (share > 0) blend(x, y, colour, share);
    }
  }
}

void Canvas::fill_box(double x, double y, double width, double height, double radius, const Colour& colour) {
  cover(x, y, x + width, y + height, colour, [&](double px, double py) {
    if (radius > 0) return inside_share(distance_to_round_box({px, py}, x, y, width, height, radius));
    return overlap(px - 0.5, px + 0.5, x, x + width) * overlap(py - 0.5, py + 0.5, y, y + height);
  });
}

void Canvas::stroke_box(double x, double y, double width, double height, double radius, double pen,
                        const Colour& colour) {
  const double half = pen / 2;
  cover(x - half - 1, y - half - 1, x + width + half + 1, y + height + half + 1, colour, [&](double px, double py) {
    return inside_share(std::abs(distance_to_round_box({px, py}, x, y, width, height, radius)) - half);
  });
}

void Canvas::fill_circle(double x, double y, double radius, const Colour& colour) {
  cover(x - radius - 1, y - radius - 1, x + radius + 1, y + radius + 1, colour,
        [&](double px, double py) { return inside_share(std::hypot(px - x, py - y) - radius); });
}

void Canvas::fill_polygon(const std::vector<Place>& corners, const Colour& colour) {
  if (corners.size() < 3) return;
  constexpr int rows = 4;  // of each pixel
  double top = corners.front().y, bottom = top;
  for (const Place& corner : corners) {
    top = std::min(top, corner.y);
    bottom = std::max(bottom, corner.y);
  }
  const auto first = static_cast<int64_t>(std::clamp(std::floor(top), 0.0, static_cast<double>(height_)));
  const auto last = static_cast<int64_t>(std::clamp(std::ceil(bottom), 0.0, static_cast<double>(height_)));
  std::vector<float> row(static_cast<size_t>(width_));
  std::vector<double> crossings;
  for (int64_t y = first; y < last; ++y) {
    std::fill(row.begin(), row.end(), 0.0F);
    for (int part = 0; part < rows; ++part) {
      const double at = static_cast<double>(y) + (part + 0.5) / rows;
      crossings.clear();
      for (size_t i = 0; i < corners.size(); ++i) {
        const Place& a = corners[i];
        const Place& b = corners[(i + 1) % corners.size()];
        if ((a.y <= at) != (b.y <= at)) crossings.push_back(a.x + (at - a.y) / (b.y - a.y) * (b.x - a.x));
      }
      std::sort(crossings.begin(), crossings.end());
      for (size_t i = 0; i + 1 < crossings.size(); i += 2) {
        const double low = std::max(crossings[i], 0.0);
        const double high = std::min(crossings[i + 1], static_cast<double>(width_));
        for (auto x = static_cast<int64_t>(low); x < static_cast<int64_t>(std::ceil(high)); ++x) {
          const auto left = static_cast<double>(x);
          row[static_cast<size_t>(x)] += static_cast<float>(overlap(left, left + 1, low, high) / rows);
        }
      }
    }
    for (int64_t x = 0; x < width_; ++x) {
      if (row[static_cast<size_t>(x)] > 0) blend(x, y, colour, row[static_cast<size_t>(x)]);
    }
  }
}

void Canvas::stroke(const std::vector<std::vector<Place>>& lines, double pen, const Colour& colour) {
  double left = 1e9, top = 1e9, right = -1e9, bottom = -1e9;
  const double reach = pen / 2 + 1;
  for (const auto& line : lines) {
    for (const Place& place : line) {
      left = std::min(left, place.x - reach);
      right = std::max(right, place.x + reach);
      top = std::min(top, place.y - reach);
      bottom = std::max(bottom, place.y + reach);
    }
  }
  const auto first_x = static_cast<int64_t>(std::clamp(std::floor(left), 0.0, static_cast<double>(width_)));
  const auto last_x = static_cast<int64_t>(std::clamp(std::ceil(right), 0.0, static_cast<double>(width_)));
  const auto first_y = static_cast<int64_t>(std::clamp(std::floor(top), 0.0, static_cast<double>(height_)));
  const auto last_y = static_cast<int64_t>(std::clamp(std::ceil(bottom), 0.0, static_cast<double>(height_)));
  if (first_x >= last_x || first_y >= last_y) return;
  const int64_t across = last_x - first_x;
  std::vector<float> mask(static_cast<size_t>(across * (last_y - first_y)), 0.0F);
  const auto add_piece = [&](Place a, Place b) {
    const auto from_x = std::max(first_x, static_cast<int64_t>(std::floor(std::min(a.x, b.x) - reach)));
    const auto to_x = std::min(last_x, static_cast<int64_t>(std::ceil(std::max(a.x, b.x) + reach)));
    const auto from_y = std::max(first_y, static_cast<int64_t>(std::floor(std::min(a.y, b.y) - reach)));
    const auto to_y = std::min(last_y, static_cast<int64_t>(std::ceil(std::max(a.y, b.y) + reach)));
    for (int64_t y = from_y; y < to_y; ++y) {
      for (int64_t x = from_x; x < to_x; ++x) {
        const Place centre{static_cast<double>(x) + 0.5, static_cast<double>(y) + 0.5};
        float& share = mask[static_cast<size_t>((y - first_y) * across + x - first_x)];
        share = std::max(share, static_cast<float>(inside_share(distance_to_piece(centre, a, b) - pen / 2)));
      }
    }
  };
  for (const auto& line : lines) {
    if (line.size() == 1) add_piece(line.front(), line.front());
    for (size_t i = 1; i < line.size(); ++i) add_piece(line[i - 1], line[i]);
  }
  for (int64_t y = first_y; y < last_y; ++y) {
    for (int64_t x = first_x; x < last_x; ++x) {
      const float share = mask[static_cast<size_t>((y - first_y) * across + x - first_x)];
      if (share > 0) blend(x, y, colour, share);
    }
  }
}

void Canvas::write(double x, double baseline, std::string_view anchor, std::string_view text, double size, bool bold,
                   const Colour& colour, double turn) {
  PenStrokes strokes = pen_strokes(text, size, bold);
  const double share = anchor == "end" ? 1 : anchor == "middle" ? 0.5 : 0;
  const double before = std::round(share * strokes.width);
  const double left = std::round(x), base = std::round(baseline);
  const double across = std::cos(turn * M_PI / 180), down = std::sin(turn * M_PI / 180);
  for (auto& line : strokes.lines) {
    for (Place& place : line) {
      const double along = place.x - before;
      place = {left + along * across - place.y * down, base + along * down + place.y * across};
    }
    if (line.size() == 1) {  // a dot is a little more than the pen
      const double reach = strokes.pen * 0.1;
      line = {{line[0].x - reach, line[0].y - reach}, {line[0].x + reach, line[0].y + reach}};
    }
  }
  stroke(strokes.lines, strokes.pen, colour);
}

void Canvas::paste(double x, double y, double width, double height, const at::Tensor& pixels) {
  const at::Tensor picture = pixels.contiguous();
  const int64_t channels = picture.size(0), rows = picture.size(1), columns = picture.size(2);
  const uint8_t* data = picture.const_data_ptr<uint8_t>();
  const double step_x = static_cast<double>(columns) / width, step_y = static_cast<double>(rows) / height;
  const auto mean = [&](int64_t channel, double left, double top) {
    const uint8_t* plane = data + channel * rows * columns;
    const double right = std::min(left + std::max(step_x, 1e-9), static_cast<double>(columns));
    const double bottom = std::min(top + std::max(step_y, 1e-9), static_cast<double>(rows));
    double sum = 0, area = 0;
    for (auto row = static_cast<int64_t>(top); row < static_cast<int64_t>(std::ceil(bottom)); ++row) {
      const double part = overlap(static_cast<double>(row), static_cast<double>(row) + 1, top, bottom);
      for (auto column = static_cast<int64_t>(left); column < static_cast<int64_t>(std::ceil(right)); ++column) {
        const double share = part * overlap(static_cast<double>(column), static_cast<double>(column) + 1, left, right);
        sum += share * plane[row * columns + column];
        area += share;
      }
    }
    return area > 0 ? sum / area : 0;
  };
  const auto nearest_pixel = [&](int64_t channel, double left, double top) {
    const auto column = std::clamp(static_cast<int64_t>(left + step_x / 2), int64_t{0}, columns - 1);
    const auto row = std::clamp(static_cast<int64_t>(top + step_y / 2), int64_t{0}, rows - 1);
    return static_cast<double>(data[(channel * rows + row) * columns + column]);
  };
  const bool reduced = step_x > 1 || step_y > 1;
  const auto first_x = static_cast<int64_t>(std::max(std::round(x), 0.0));
  const auto first_y = static_cast<int64_t>(std::max(std::round(y), 0.0));
  const auto last_x = std::min(width_, static_cast<int64_t>(std::round(x + width)));
  const auto last_y = std::min(height_, static_cast<int64_t>(std::round(y + height)));
  for (int64_t row = first_y; row < last_y; ++row) {
    for (int64_t column = first_x; column < last_x; ++column) {
      const double left = std::max((static_cast<double>(column) - std::round(x)) * step_x, 0.0);
      const double top = std::max((static_cast<double>(row) - std::round(y)) * step_y, 0.0);
      const auto value = [&](int64_t channel) {
        return std::clamp(reduced ? mean(channel, left, top) : nearest_pixel(channel, left, top), 0.0, 255.0);
      };
      const Colour colour{static_cast<uint8_t>(std::lround(value(0))), static_cast<uint8_t>(std::lround(value(1))),
                          static_cast<uint8_t>(std::lround(value(2))), channels == 4 ? value(3) / 255 : 1};
      blend(column, row, colour, 1);
    }
  }
}

at::Tensor Canvas::pixels() const {
  at::Tensor result = at::empty({3, height_, width_}, at::TensorOptions().dtype(at::kByte));
  uint8_t* bytes = result.mutable_data_ptr<uint8_t>();
  const auto plane = static_cast<size_t>(width_ * height_);
  for (size_t i = 0; i < plane; ++i) {
    for (size_t channel = 0; channel < 3; ++channel) {
      bytes[channel * plane + i] = static_cast<uint8_t>(std::lround(std::clamp(rgb_[3 * i + channel], 0.0F, 255.0F)));
    }
  }
  return result;
}

}  // namespace athanor::draw
