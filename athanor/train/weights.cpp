// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/weights.hpp"

#include "athanor/checkpoint/weights_file.hpp"

namespace athanor {

void save_weights(const Nets& nets, const std::filesystem::path& path) { write_safetensors(path, named_tensors(nets)); }

WeightsReport load_weights(const Nets& nets, const std::filesystem::path& path, const LoadOptions& options) {
  return copy_file_into(path, named_tensors(nets), options);
}

}  // namespace athanor
