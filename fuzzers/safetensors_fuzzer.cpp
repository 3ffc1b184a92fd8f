// SPDX-License-Identifier: Apache-2.0
// Whole safetensors files: length, header and data section.
#include "athanor/checkpoint/safetensors_index.hpp"
#include "fuzzers/fuzzing.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzzing::refuse_or([&] {
    const athanor::SafetensorsIndex index = athanor::parse_safetensors(fuzzing::bytes_of(data, size), "file");
    fuzzing::require(index.data_begin <= size);
    std::uint64_t total = 0;
    for (const athanor::TensorEntry& entry : index.entries) {
      fuzzing::require(entry.begin <= entry.end && entry.end <= size - index.data_begin && entry.shape.size() <= 64);
      total += entry.end - entry.begin;
    }
    fuzzing::require(total == size - index.data_begin);
    const std::string header = athanor::safetensors_header(athanor::arrange_safetensors(index.entries, index.metadata));
    fuzzing::require(header.size() % 8 == 0);
  });
  return 0;
}
