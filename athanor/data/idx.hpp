// SPDX-License-Identifier: Apache-2.0
// IDX files (MNIST and its relatives) as tensors.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>

#include "athanor/data/gzip.hpp"

namespace athanor {

/// Reads an IDX file, plain or gzipped, into a contiguous CPU tensor that owns its memory: uint8, int8, int16, int32,
/// float32 or float64 as the file says, in the file's shape, in the byte order of this machine.
///
/// When nothing is at `path`, `path` with `.gz` appended is read. Throws Error when neither is there, when the
/// file is not IDX, is cut short or goes on after the last element, and when gzip data is damaged or beyond the limit.
[[nodiscard]] at::Tensor read_idx(const std::filesystem::path& path, const UnpackOptions& options = {});

}  // namespace athanor
