// SPDX-License-Identifier: Apache-2.0
// The tensors of a file, whatever its format, as views of the mapped file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "athanor/checkpoint/torch_index.hpp"
#include "athanor/core/file.hpp"

namespace athanor::command {

/// A tensor in a file.
struct StoredTensor {
  std::string name = {};
  TorchType dtype = TorchType::float32;
  std::vector<std::int64_t> sizes = {};
  std::vector<std::int64_t> strides = {};  ///< In elements, as those of PyTorch.
  const std::byte* data = nullptr;         ///< Its first element.
  std::string unusual = {};  ///< What keeps its bytes from being its values, such as a lazy conjugation; else empty.

  [[nodiscard]] std::uint64_t elements() const noexcept;
  [[nodiscard]] std::uint64_t bytes() const noexcept { return elements() * bytes_of(dtype); }
};

/// Gives the elements of a tensor in order, as they are stored, piece by piece of at most 1 MiB. Throws Error for a
/// tensor that is `unusual`.
void for_each_piece(const StoredTensor& tensor, const std::function<void(std::span<const std::byte>)>& take);

struct Weights {
  std::filesystem::path path = {};
  std::string format = {};  ///< For people: `safetensors`, `torch.save`.
  std::vector<StoredTensor> tensors = {};
  std::vector<std::pair<std::string, std::string>> others = {};  ///< Values that are no tensors: path and text.
  std::map<std::string, std::string> metadata = {};
  std::vector<std::filesystem::path> files = {};
  std::uint64_t file_bytes = 0;

  std::vector<std::shared_ptr<MappedFile>> mappings = {};         ///< What `data` points into,
  std::vector<std::shared_ptr<const TorchIndex>> own_bytes = {};  ///< or this, where it lies in a pickle.
};

struct OpenWeights {
  /// Compares the checksums where the format has any: those in a .pt file, those in the manifest of a checkpoint.
  bool verify = true;
  /// The part of a .pt file that is taken, `model` or `state.model`; empty: all of it.
  std::string part = {};
};

/// A safetensors file; an index of several, or their folder; a checkpoint folder, of which its weights are taken; a
/// file of torch.save. The content decides, but for an index, which ends in `.json`. Nothing in a file is executed.
/// Throws Error for what is none of these and for what is damaged.
[[nodiscard]] Weights open_weights(const std::filesystem::path& path, const OpenWeights& options = {});

}  // namespace athanor::command
