// SPDX-License-Identifier: Apache-2.0
// Writes tensors that are made piece by piece, in the format that the name of the file asks for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "athanor/checkpoint/torch_index.hpp"

namespace athanor::command {

using TakeBytes = std::function<void(std::span<const std::byte>)>;

/// A tensor to be written.
struct MadeTensor {
  std::string name = {};
  TorchType dtype = TorchType::float32;
  std::vector<std::int64_t> sizes = {};
  std::uint64_t bytes = 0;
  std::function<void(const TakeBytes&)> make = {};  ///< Gives `bytes` bytes, row-major, in as many pieces as it likes.
};

struct WriteWeights {
  std::map<std::string, std::string> metadata = {};   ///< For safetensors.
  std::optional<std::uint64_t> max_shard_bytes = {};  ///< Several safetensors files in a folder, none longer than this.
  bool overwrite = false;
};

/// `.safetensors`; `.pt`, `.pth` or `.bin`, a state dictionary as `torch.load(weights_only=True)` opens it; with
/// `max_shard_bytes` a folder, which is made when it is missing. Each file is written as a whole or not at all. Throws
/// Error for another suffix, for what is there already unless it may be overwritten, and for types that the format
/// can't hold.
void write_weights(const std::filesystem::path& path, const std::vector<MadeTensor>& tensors,
                   const WriteWeights& options = {});

/// Throws the Error that `write_weights` would throw for this path, before there is anything to write.
void require_output(const std::filesystem::path& path, const WriteWeights& options);

}  // namespace athanor::command
