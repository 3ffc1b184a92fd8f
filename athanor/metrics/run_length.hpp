// SPDX-License-Identifier: Apache-2.0
// Masks as COCO's files hold them: lengths of runs, column by column. No LibTorch here; masks.hpp has tensors.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "athanor/metrics/box.hpp"

namespace athanor::metrics {

/// A mask of `height` x `width` pixels, read downwards column by column: `counts` are the lengths of runs of zeros and
/// ones in turn, the first of zeros (0 when the first pixel is 1). They add up to all pixels.
class RunLengthMask {
 public:
  RunLengthMask() = default;
  /// Throws Error when the sizes are not positive or the counts do not add up to their product.
  RunLengthMask(int64_t height, int64_t width, std::vector<uint32_t> counts);
  /// From `counts` as a text, the compressed form of COCO's files. Throws Error for a text that is none, with the
  /// place.
  static RunLengthMask parse(int64_t height, int64_t width, std::string_view text);
  /// From pixels row by row, as a tensor holds them; what is not 0 belongs to the mask.
  static RunLengthMask encode(int64_t height, int64_t width, const uint8_t* pixels);

  [[nodiscard]] int64_t height() const noexcept { return height_; }
  [[nodiscard]] int64_t width() const noexcept { return width_; }
  [[nodiscard]] const std::vector<uint32_t>& counts() const noexcept { return counts_; }

  /// The compressed form.
  [[nodiscard]] std::string text() const;
  /// Writes height * width pixels, 0 or 1, row by row.
  void decode(uint8_t* pixels) const;
  [[nodiscard]] int64_t area() const noexcept;
  /// The smallest box around the ones; all 0 for an empty mask.
  [[nodiscard]] Box bounding_box() const noexcept;
  /// Intersection over union with `target`; of a crowd, intersection over the own area. 0 when nothing is common. Both
  /// have one size.
  [[nodiscard]] double iou(const RunLengthMask& target, bool crowd = false) const noexcept;

  friend bool operator==(const RunLengthMask&, const RunLengthMask&) = default;

 private:
  int64_t height_ = 0;
  int64_t width_ = 0;
  std::vector<uint32_t> counts_;
};

}  // namespace athanor::metrics
