// SPDX-License-Identifier: Apache-2.0
// What the calls and classes in a pickle of torch.save mean. A part of torch_index, not for other use.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "athanor/checkpoint/torch_index.hpp"

namespace athanor {

/// A storage as a pickle tells of it.
struct TorchStorageRequest {
  std::string key = {};
  TorchType dtype = TorchType::uint8;
  std::uint64_t bytes = 0;
};

/// Gives the place of a storage in `TorchIndex::storages`, to which it may add; none, and what is wrong, when there is
/// no such storage or it is shorter than asked for.
using FindTorchStorage = std::function<std::optional<std::size_t>(const TorchStorageRequest&, std::string& problem)>;

/// Turns a parsed pickle of `pickle_bytes` bytes into values, tensors and the storages that lie in the pickle.
void read_torch_values(const Pickle& pickle, std::size_t pickle_bytes, std::string_view file_name,
                       const FindTorchStorage& find_storage, TorchIndex& index);

}  // namespace athanor
