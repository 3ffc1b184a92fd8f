// SPDX-License-Identifier: Apache-2.0
// What must hold of anything that the readers of .pt files accept.
#pragma once

#include "athanor/checkpoint/torch_index.hpp"
#include "fuzzers/fuzzing.hpp"

namespace fuzzing {

/// Storages lie in the file or in memory of their own, tensors in their storages.
inline void require_bounds(const athanor::TorchIndex& index, std::uint64_t file_bytes) {
  for (const athanor::TorchStorage& storage : index.storages) {
    require(storage.own ? storage.own->size() == storage.bytes
                        : storage.begin <= file_bytes && storage.bytes <= file_bytes - storage.begin);
  }
  for (const athanor::TorchTensor& tensor : index.tensors) {
    require(tensor.storage < index.storages.size() && tensor.sizes.size() == tensor.strides.size());
    require(tensor.sizes.size() <= 64 && tensor.offset >= 0);
    unsigned __int128 last = static_cast<std::uint64_t>(tensor.offset);
    bool empty = false;
    for (std::size_t i = 0; i < tensor.sizes.size(); ++i) {
      require(tensor.sizes[i] >= 0 && tensor.strides[i] >= 0);
      empty = empty || tensor.sizes[i] == 0;
      if (tensor.sizes[i] > 0) {
        last += static_cast<unsigned __int128>(tensor.sizes[i] - 1) * static_cast<std::uint64_t>(tensor.strides[i]);
      }
    }
    require(empty || (last + 1) * athanor::bytes_of(tensor.dtype) <= index.storages[tensor.storage].bytes);
  }
}

}  // namespace fuzzing
