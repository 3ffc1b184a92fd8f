// SPDX-License-Identifier: Apache-2.0
// Weights of a module or a task as a safetensors file.
#pragma once

#include <filesystem>

#include "athanor/checkpoint/weights_report.hpp"
#include "athanor/train/nets.hpp"

namespace athanor {

/// Writes parameters and buffers under their names, atomically. Python opens it with `safetensors.torch.load_file`.
void save_weights(const Nets& nets, const std::filesystem::path& path);

/// Loads a weights file into the nets, in place: safetensors, in one file or in several with an index, or a state
/// dictionary of Python's torch.save. Names, dtypes and shapes are checked first; Error tells each
/// difference, and then nothing has changed. Returns the differences that the options allow.
WeightsReport load_weights(const Nets& nets, const std::filesystem::path& path, const LoadOptions& options = {});

}  // namespace athanor
