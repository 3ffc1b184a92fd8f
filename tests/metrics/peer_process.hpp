// SPDX-License-Identifier: Apache-2.0
// Problems that a Python script makes from a seed, in the same run.
#pragma once

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>

namespace athanor::metrics::testing {

/// What a command writes to its standard output; empty when it fails.
inline std::string output_of_process(const std::string& command) {
  std::string text;
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return text;
  std::array<char, 1 << 16> buffer;
  while (const size_t got = fread(buffer.data(), 1, buffer.size(), pipe)) text.append(buffer.data(), got);
  return pclose(pipe) == 0 ? text : std::string();
}

/// ATHANOR_TEST_SEED, or a fresh one.
inline uint32_t seed_of_run() {
  const char* wanted = std::getenv("ATHANOR_TEST_SEED");
  return wanted != nullptr ? static_cast<uint32_t>(std::stoul(wanted)) : std::random_device()() % 1000000;
}

}  // namespace athanor::metrics::testing
