// SPDX-License-Identifier: Apache-2.0
// The index of weights that lie in several safetensors files, `model.safetensors.index.json`, as Hugging Face writes
// it. No LibTorch.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace athanor {

/// Which file holds which tensor.
struct ShardedIndex {
  std::vector<std::pair<std::string, std::string>> files = {};  ///< Tensor and file name, in the order of the index.
  std::uint64_t total_bytes = 0;                                ///< Of all tensors; 0 when the index does not tell.
};

/// Reads an index. Of the JSON, `weight_map` and `metadata.total_size` are used and everything else is passed over.
/// `file_name` is for messages only.
///
/// Throws Error for what is not JSON in UTF-8, is nested deeper than 32 levels or has more than 100,000,000 bytes, has
/// no `weight_map` of texts, names a tensor twice, or names a file that is not in the same folder: with a `/` or `\`,
/// empty, `.` or `..`. Memory stays proportional to the text.
[[nodiscard]] ShardedIndex parse_sharded_index(std::string_view json, std::string_view file_name);

/// The text of an index, laid out as Hugging Face does it: sorted by name, indented by two spaces. Throws Error for a
/// name that is not UTF-8.
[[nodiscard]] std::string sharded_index_json(const ShardedIndex& index);

}  // namespace athanor
