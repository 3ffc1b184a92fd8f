// SPDX-License-Identifier: Apache-2.0
// Whole IDX files, already unpacked.
#include "athanor/data/idx_index.hpp"
#include "fuzzers/fuzzing.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzzing::refuse_or([&] {
    const athanor::IdxIndex index = athanor::parse_idx(fuzzing::bytes_of(data, size), "file");
    fuzzing::require(index.data_begin <= size);
    fuzzing::require(index.elements * athanor::bytes_of(index.type) == size - index.data_begin);
  });
  return 0;
}
