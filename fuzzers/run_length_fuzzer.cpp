// SPDX-License-Identifier: Apache-2.0
// Masks of COCO's files: one byte each for height and width, then the text of the counts.
#include <vector>

#include "athanor/metrics/run_length.hpp"
#include "fuzzers/fuzzing.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::int64_t height = data[0], width = data[1];
  fuzzing::refuse_or([&] {
    using athanor::metrics::RunLengthMask;
    const RunLengthMask mask = RunLengthMask::parse(height, width, fuzzing::text_of(data + 2, size - 2));
    fuzzing::require(RunLengthMask::parse(height, width, mask.text()) == mask);
    std::vector<std::uint8_t> pixels(static_cast<std::size_t>(height * width));
    mask.decode(pixels.data());
    std::int64_t ones = 0;
    for (const std::uint8_t pixel : pixels) ones += pixel;
    fuzzing::require(ones == mask.area());
    const RunLengthMask again = RunLengthMask::encode(height, width, pixels.data());
    fuzzing::require(again.area() == ones && again.iou(mask) == (ones > 0 ? 1 : 0));
    const athanor::metrics::Box box = mask.bounding_box(), other = again.bounding_box();
    fuzzing::require(box.x == other.x && box.y == other.y && box.width == other.width && box.height == other.height);
    fuzzing::require(box.x >= 0 && box.y >= 0 && box.x + box.width <= static_cast<double>(width) &&
                     box.y + box.height <= static_cast<double>(height));
  });
  return 0;
}
