// SPDX-License-Identifier: Apache-2.0
#include "athanor/metrics/masks.hpp"

#include <ATen/ops/empty.h>

#include <limits>
#include <utility>

#include "athanor/core/error.hpp"

namespace athanor::metrics {
namespace {

bool holds_pixels(const at::Tensor& mask) {
  return mask.defined() && (mask.scalar_type() == at::kBool || mask.scalar_type() == at::kByte);
}

const uint8_t* pixels_of(const at::Tensor& masks) {
  return masks.scalar_type() == at::kByte ? masks.const_data_ptr<uint8_t>()
                                          : reinterpret_cast<const uint8_t*>(masks.const_data_ptr<bool>());
}

std::vector<int64_t> whole_numbers(const Tree& tree) {
  std::vector<int64_t> numbers;
  if (tree.is_list()) {
    for (const Tree& item : tree.items())
      numbers.push_back(item.is_tensor() ? item.tensor().item<int64_t>() : item.integer());
  } else if (tree.is_tensor() && tree.tensor().defined() &&
             at::isIntegralType(tree.tensor().scalar_type(), /*includeBool=*/false)) {
    const at::Tensor flat = tree.tensor().to(at::kLong).reshape(-1).contiguous();
    numbers.assign(flat.const_data_ptr<int64_t>(), flat.const_data_ptr<int64_t>() + flat.numel());
  }
  return numbers;
}

RunLengthMask read_run_lengths(const Tree& mask) {
  const Tree* size = mask.find("size");
  const Tree* counts = mask.find("counts");
  const std::vector<int64_t> sizes = size == nullptr ? std::vector<int64_t>() : whole_numbers(*size);
  if (counts == nullptr || sizes.size() != 2) {
    throw Error({.what = "a run-length mask is not complete",
                 .got = mask.describe(),
                 .expected = "{size: (height, width), counts: a text or integers}"});
  }
  if (counts->kind() == Tree::Kind::text) return RunLengthMask::parse(sizes[0], sizes[1], counts->text());
  std::vector<uint32_t> runs;
  for (const int64_t count : whole_numbers(*counts)) {
    if (count < 0 || count > std::numeric_limits<uint32_t>::max()) {
      throw Error(
          {.what = "a run of a mask is out of range", .got = std::to_string(count), .expected = "0 to 2^32 - 1"});
    }
    runs.push_back(static_cast<uint32_t>(count));
  }
  return {sizes[0], sizes[1], std::move(runs)};
}

}  // namespace

RunLengthMask encode_mask(const at::Tensor& mask) {
  if (!holds_pixels(mask) || mask.dim() != 2) {
    throw Error({.what = "a tensor is no mask",
                 .where = "encode_mask",
                 .got = describe(mask),
                 .expected = "bool or uint8 (H, W)",
                 .todo = "compare probabilities with a threshold first"});
  }
  const at::Tensor whole = mask.detach().cpu().contiguous();
  return RunLengthMask::encode(whole.size(0), whole.size(1), pixels_of(whole));
}

at::Tensor decode_mask(const RunLengthMask& mask) {
  at::Tensor pixels = at::empty({mask.height(), mask.width()}, at::kBool);
  mask.decode(reinterpret_cast<uint8_t*>(pixels.mutable_data_ptr<bool>()));
  return pixels;
}

namespace detail {

std::vector<RunLengthMask> read_masks(const Tree& masks, const std::string& where) {
  std::vector<RunLengthMask> read;
  if (masks.is_tensor()) {
    const at::Tensor& tensor = masks.tensor();
    if (tensor.defined() && tensor.dim() > 0 && tensor.size(0) == 0) return read;
    if (!holds_pixels(tensor) || tensor.dim() != 3) {
      throw Error({.what = "the shape or the dtype of masks does not fit",
                   .where = where,
                   .got = athanor::describe(tensor),
                   .expected = "bool or uint8 (N, H, W)",
                   .todo = "compare probabilities with a threshold first"});
    }
    const at::Tensor whole = tensor.contiguous();
    const int64_t height = whole.size(1), width = whole.size(2);
    for (int64_t i = 0; i < whole.size(0); ++i) {
      read.push_back(RunLengthMask::encode(height, width, pixels_of(whole) + i * height * width));
    }
    return read;
  }
  if (!masks.is_list()) {
    throw Error({.what = "masks are neither a tensor nor a list",
                 .where = where,
                 .got = masks.describe(),
                 .expected = "bool or uint8 (N, H, W), or a list of {size, counts}"});
  }
  for (const Tree& mask : masks.items()) {
    try {
      read.push_back(read_run_lengths(mask));
    } catch (const Error& error) {
      Error::Parts parts = error.parts();
      const std::string place = where + ", mask " + std::to_string(read.size());
      parts.where = parts.where.empty() ? place : place + ", " + parts.where;
      throw Error(std::move(parts));
    }
  }
  return read;
}

}  // namespace detail
}  // namespace athanor::metrics
