// SPDX-License-Identifier: Apache-2.0
// The pickle of an archive by itself, so that no input is lost to checks of the archive. It finds any storage that it
// asks for, of up to a megabyte.
#include "athanor/checkpoint/pickle.hpp"
#include "athanor/checkpoint/torch_values.hpp"
#include "fuzzers/fuzzing.hpp"
#include "fuzzers/torch_bounds.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::uint64_t megabyte = 1U << 20U;
  fuzzing::refuse_or([&] {
    const athanor::Pickle pickle = athanor::parse_pickle(fuzzing::bytes_of(data, size), "file");
    fuzzing::require(pickle.bytes_read() <= size && pickle.root() < pickle.size());
    athanor::TorchIndex index;
    const auto find = [&](const athanor::TorchStorageRequest& request,
                          std::string& problem) -> std::optional<std::size_t> {
      if (request.bytes > megabyte) {
        problem = "a megabyte";
        return std::nullopt;
      }
      index.storages.push_back({.name = request.key, .begin = 0, .bytes = megabyte});
      return index.storages.size() - 1;
    };
    athanor::read_torch_values(pickle, pickle.bytes_read(), "file", find, index);
    fuzzing::require_bounds(index, megabyte);
  });
  return 0;
}
