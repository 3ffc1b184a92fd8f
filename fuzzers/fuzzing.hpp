// SPDX-License-Identifier: Apache-2.0
// What the fuzzers share. A parser may throw Error and nothing else; what it accepts must hold what its header
// promises.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string_view>

#include "athanor/core/error.hpp"

namespace fuzzing {

/// Ends the process, so that the fuzzer keeps the input.
inline void require(bool holds) {
  if (!holds) std::abort();
}

/// Runs a parser; refusals must say what and where.
template <class Parse>
void refuse_or(const Parse& parse) {
  try {
    parse();
  } catch (const athanor::Error& error) {
    require(!error.parts().what.empty() && std::string_view(error.what()).size() < 4000);
  }
}

inline std::span<const std::byte> bytes_of(const std::uint8_t* data, std::size_t size) {
  return std::as_bytes(std::span(data, size));
}

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

}  // namespace fuzzing

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
