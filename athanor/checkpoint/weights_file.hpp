// SPDX-License-Identifier: Apache-2.0
// Weights into existing tensors, whatever kind of file they come from.
#pragma once

#include <filesystem>

#include "athanor/checkpoint/safetensors.hpp"
#include "athanor/core/tree.hpp"

namespace athanor {

/// Compares a state dictionary, such as `load_torch_file` gives it, with tensors: the names in it are the paths of its
/// leaves, `encoder.0.weight`, whether it is nested or flat. What is no tensor counts as unexpected. Copies nothing and
/// never throws for a difference.
[[nodiscard]] WeightsReport compare_weights(const Tree& weights,
                                            std::span<const std::pair<std::string, at::Tensor>> destination);

/// Copies a state dictionary into existing tensors, all or nothing, as `copy_into` does from a safetensors file.
WeightsReport copy_into(const Tree& weights, std::span<const std::pair<std::string, at::Tensor>> destination,
                        const LoadOptions& options = {});

/// Copies a file into existing tensors, all or nothing: a safetensors file; a folder or index of several
/// (`ShardedSafetensors`); a state dictionary of `torch.save`. The content decides, not the name, but for an index,
/// which ends in `.json`. A checkpoint with more than weights is read by `load_torch_file` and given in part.
WeightsReport copy_file_into(const std::filesystem::path& path,
                             std::span<const std::pair<std::string, at::Tensor>> destination,
                             const LoadOptions& options = {});

}  // namespace athanor
