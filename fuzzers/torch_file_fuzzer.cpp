// SPDX-License-Identifier: Apache-2.0
// Whole files of torch.save: archives, and the format before 1.6.
#include "athanor/checkpoint/torch_index.hpp"
#include "fuzzers/fuzzing.hpp"
#include "fuzzers/torch_bounds.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file = fuzzing::bytes_of(data, size);
  fuzzing::refuse_or([&] {
    if (!athanor::looks_like_zip(file)) {
      fuzzing::require_bounds(athanor::parse_torch_legacy(file, "file"), size);
      return;
    }
    const athanor::ZipIndex archive = athanor::parse_zip(file, "file");
    for (const athanor::ZipEntry& entry : archive.entries) {
      fuzzing::require(entry.begin <= size && entry.bytes <= size - entry.begin);
      fuzzing::require(!entry.name.empty() && entry.name.front() != '/' && entry.name.find("../") == std::string::npos);
    }
    fuzzing::require_bounds(athanor::parse_torch_archive(file, archive, "file"), size);
  });
  return 0;
}
