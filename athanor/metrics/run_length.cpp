// SPDX-License-Identifier: Apache-2.0
#include "athanor/metrics/run_length.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "athanor/core/error.hpp"

namespace athanor::metrics {
namespace {

// A character holds five bits of a number and whether more follow, the lowest bits first.
constexpr char smallest_character = 48;
constexpr int bits_of_character = 5;
constexpr int most_characters = 13;

void check_mask_size(int64_t height, int64_t width) {
  if (height > 0 && width > 0 && height <= std::numeric_limits<uint32_t>::max() / width) return;
  throw Error({.what = "the size of a mask is out of range",
               .where = "run-length mask",
               .got = std::to_string(height) + " x " + std::to_string(width),
               .expected = "height and width of at least 1, and less than 2^32 pixels"});
}

[[noreturn]] void refuse_mask_text(std::string_view text, size_t place, std::string what) {
  throw Error({.what = std::move(what),
               .where = "counts of a run-length mask, character " + std::to_string(place),
               .got = "\"" + std::string(text.substr(0, 60)) + (text.size() > 60 ? "…" : "") + "\"",
               .expected = "the compressed form of COCO's files"});
}

/// The pixels column by column, each 0 or 1. By tiles, because a walk down a column would miss the cache at each step.
std::vector<uint8_t> columns_of(const uint8_t* pixels, int64_t height, int64_t width) {
  constexpr int64_t tile = 32;
  std::vector<uint8_t> columns(static_cast<size_t>(height * width));
  for (int64_t left = 0; left < width; left += tile) {
    for (int64_t top = 0; top < height; top += tile) {
      for (int64_t x = left; x < std::min(width, left + tile); ++x) {
        for (int64_t y = top; y < std::min(height, top + tile); ++y) {
          columns[static_cast<size_t>(x * height + y)] = pixels[y * width + x] != 0 ? 1 : 0;
        }
      }
    }
  }
  return columns;
}

/// The first place from `begin` on that does not hold `value`.
size_t end_of_run(const std::vector<uint8_t>& pixels, size_t begin, uint8_t value) {
  const uint64_t same = value * 0x0101010101010101U;
  size_t i = begin;
  for (uint64_t eight = 0; i + 8 <= pixels.size(); i += 8) {
    std::memcpy(&eight, pixels.data() + i, 8);
    if (eight != same) break;
  }
  while (i < pixels.size() && pixels[i] == value) ++i;
  return i;
}

}  // namespace

RunLengthMask::RunLengthMask(int64_t height, int64_t width, std::vector<uint32_t> counts)
    : height_(height), width_(width), counts_(std::move(counts)) {
  check_mask_size(height, width);
  uint64_t pixels = 0;
  for (const uint32_t count : counts_) pixels += count;
  if (pixels == static_cast<uint64_t>(height * width)) return;
  throw Error({.what = "the runs of a mask do not add up to its pixels",
               .where = "run-length mask",
               .got = std::to_string(pixels) + " pixels in " + std::to_string(counts_.size()) + " runs",
               .expected = std::to_string(height) + " x " + std::to_string(width) + " = " +
                           std::to_string(height * width) + " pixels"});
}

RunLengthMask RunLengthMask::parse(int64_t height, int64_t width, std::string_view text) {
  check_mask_size(height, width);
  std::vector<uint32_t> counts;
  for (size_t i = 0; i < text.size();) {
    const size_t begin = i;
    uint64_t bits = 0;
    int shift = 0;
    for (bool more = true; more; ++i, shift += bits_of_character) {
      if (i == text.size()) refuse_mask_text(text, begin, "the text of a mask ends within a number");
      const int code = text[i] - smallest_character;
      if (code < 0 || code > 63) refuse_mask_text(text, i, "a character can't stand in the text of a mask");
      if (i - begin >= most_characters) refuse_mask_text(text, begin, "a number in the text of a mask is too long");
      bits |= static_cast<uint64_t>(code & 0x1f) << shift;
      more = (code & 0x20) != 0;
      // The last of a negative number, which is a difference, fills the rest with ones.
      const bool negative = !more && (code & 0x10) != 0;
      if (negative && shift + bits_of_character < 64) bits |= ~uint64_t{0} << (shift + bits_of_character);
    }
    // From the fourth run on, the difference to the last run of the same value is written.
    const uint64_t before = counts.size() > 2 ? counts[counts.size() - 2] : 0;
    const auto count = static_cast<int64_t>(bits + before);
    if (count < 0 || count > std::numeric_limits<uint32_t>::max()) {
      refuse_mask_text(text, begin, "a run of " + std::to_string(count) + " pixels in the text of a mask");
    }
    counts.push_back(static_cast<uint32_t>(count));
  }
  return {height, width, std::move(counts)};
}

RunLengthMask RunLengthMask::encode(int64_t height, int64_t width, const uint8_t* pixels) {
  check_mask_size(height, width);
  const std::vector<uint8_t> columns = columns_of(pixels, height, width);
  std::vector<uint32_t> counts;
  uint8_t value = 0;
  for (size_t i = 0; i < columns.size(); value ^= 1) {
    const size_t end = end_of_run(columns, i, value);
    counts.push_back(static_cast<uint32_t>(end - i));
    i = end;
  }
  RunLengthMask mask;
  mask.height_ = height;
  mask.width_ = width;
  mask.counts_ = std::move(counts);
  return mask;
}

std::string RunLengthMask::text() const {
  std::string text;
  for (size_t i = 0; i < counts_.size(); ++i) {
    int64_t number = counts_[i];
    if (i > 2) number -= counts_[i - 2];
    for (bool more = true; more;) {
      auto code = static_cast<int>(number & 0x1f);
      number >>= bits_of_character;
      more = (code & 0x10) != 0 ? number != -1 : number != 0;
      if (more) code |= 0x20;
      text.push_back(static_cast<char>(code + smallest_character));
    }
  }
  return text;
}

void RunLengthMask::decode(uint8_t* pixels) const {
  std::fill(pixels, pixels + height_ * width_, uint8_t{0});
  int64_t place = 0;
  for (size_t i = 0; i < counts_.size(); ++i) {
    const int64_t end = place + counts_[i];
    if (i % 2 == 1) {
      for (; place < end; ++place) pixels[place % height_ * width_ + place / height_] = 1;
    }
    place = end;
  }
}

int64_t RunLengthMask::area() const noexcept {
  int64_t ones = 0;
  for (size_t i = 1; i < counts_.size(); i += 2) ones += counts_[i];
  return ones;
}

Box RunLengthMask::bounding_box() const noexcept {
  int64_t left = width_, right = -1, top = height_, bottom = -1, place = 0;
  for (size_t i = 0; i < counts_.size(); ++i) {
    const int64_t end = place + counts_[i];
    if (i % 2 == 1 && end > place) {
      const int64_t last = end - 1;
      const bool turns = place / height_ != last / height_;
      left = std::min(left, place / height_);
      right = std::max(right, last / height_);
      top = std::min(top, turns ? 0 : place % height_);
      bottom = std::max(bottom, turns ? height_ - 1 : last % height_);
    }
    place = end;
  }
  if (right < 0) return {};
  return {static_cast<double>(left), static_cast<double>(top), static_cast<double>(right - left + 1),
          static_cast<double>(bottom - top + 1)};
}

double RunLengthMask::iou(const RunLengthMask& target, bool crowd) const noexcept {
  // What each own run of ones has in common with each of the other; runs of ones have odd numbers.
  const auto count_of = [](const std::vector<uint32_t>& counts, size_t run) -> int64_t {
    return run < counts.size() ? counts[run] : 0;
  };
  int64_t common = 0, my_begin = count_of(counts_, 0), their_begin = count_of(target.counts_, 0);
  for (size_t i = 1, j = 1; i < counts_.size() && j < target.counts_.size();) {
    const int64_t my_end = my_begin + counts_[i], their_end = their_begin + target.counts_[j];
    common += std::max<int64_t>(0, std::min(my_end, their_end) - std::max(my_begin, their_begin));
    if (my_end <= their_end) {
      my_begin = my_end + count_of(counts_, i + 1);
      i += 2;
    } else {
      their_begin = their_end + count_of(target.counts_, j + 1);
      j += 2;
    }
  }
  if (common == 0) return 0;
  return static_cast<double>(common) / static_cast<double>(crowd ? area() : area() + target.area() - common);
}

}  // namespace athanor::metrics
