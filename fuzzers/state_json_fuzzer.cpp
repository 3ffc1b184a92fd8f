// SPDX-License-Identifier: Apache-2.0
// The JSON of a saved state, of a run record and of options.
#include "athanor/checkpoint/state_json.hpp"
#include "fuzzers/fuzzing.hpp"

namespace {

void require_state(const athanor::StateJson& value, int depth) {
  fuzzing::require(depth <= 65);
  const bool container =
      value.kind == athanor::StateJson::Kind::list || value.kind == athanor::StateJson::Kind::dictionary;
  fuzzing::require(container || value.entries.empty());
  for (const auto& [name, entry] : value.entries) require_state(entry, depth + 1);
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzzing::refuse_or([&] { require_state(athanor::parse_state_json(fuzzing::text_of(data, size), "file"), 0); });
  return 0;
}
