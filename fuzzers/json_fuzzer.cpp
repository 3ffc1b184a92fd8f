// SPDX-License-Identifier: Apache-2.0
// Everything that is JSON: the header of a safetensors file by itself, and the index of several.
#include "athanor/checkpoint/safetensors_json.hpp"
#include "athanor/checkpoint/sharded_index.hpp"
#include "fuzzers/fuzzing.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = fuzzing::text_of(data, size);
  fuzzing::refuse_or([&] {
    for (const auto& entry : athanor::parse_safetensors_json(text, "file").entries) {
      fuzzing::require(entry.shape.size() <= 64);
    }
  });
  fuzzing::refuse_or([&] {
    const athanor::ShardedIndex index = athanor::parse_sharded_index(text, "file");
    for (const auto& [name, file] : index.files) {
      fuzzing::require(!file.empty() && file != ".." && file.find('/') == std::string::npos);
    }
    // Writing sorts, and reading what was written gives the same again.
    const std::string again = athanor::sharded_index_json(index);
    fuzzing::require(athanor::sharded_index_json(athanor::parse_sharded_index(again, "file")) == again);
  });
  return 0;
}
