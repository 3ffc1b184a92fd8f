// SPDX-License-Identifier: Apache-2.0
// Problems that the scripts of peers/ make: those that they have recorded, and fresh ones from a seed that is printed.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

namespace athanor::metrics::testing {

/// `arguments` are those with which `script` records the file.
inline nlohmann::json recorded_problems(const std::string& file, const std::string& script,
                                        const std::string& arguments = "") {
  std::ifstream stream(ATHANOR_SOURCE_DIR "/tests/metrics/" + file);
  if (!stream) {
    ADD_FAILURE() << "python tests/metrics/peers/" << script << " --record tests/metrics/" << file << " " << arguments;
    return nlohmann::json::array();
  }
  return nlohmann::json::parse(stream);
}

/// Starts Python once. Null when there is none, or none with the packages of the script, which prints their versions.
/// ATHANOR_TEST_SEED=n repeats a seed.
inline nlohmann::json fresh_problems(const std::string& script, uint32_t& seed, const std::string& arguments = "") {
  const char* wanted = std::getenv("ATHANOR_TEST_SEED");
  seed = wanted != nullptr ? static_cast<uint32_t>(std::stoul(wanted)) : std::random_device()() % 1000000;
  std::cout << "seed " << seed << "\n" << std::flush;
  const std::string command = std::string(ATHANOR_TEST_PYTHON " " ATHANOR_SOURCE_DIR "/tests/metrics/peers/") + script +
                              " " + std::to_string(seed) + " " + arguments;
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return {};
  std::string text;
  std::array<char, 1 << 16> buffer;
  while (const size_t got = fread(buffer.data(), 1, buffer.size(), pipe)) text.append(buffer.data(), got);
  const int status = WEXITSTATUS(pclose(pipe));
  constexpr int without_packages = 77, without_python = 127;
  if (status == without_packages || status == without_python) return {};
  EXPECT_EQ(status, 0) << command;
  return status == 0 ? nlohmann::json::parse(text) : nlohmann::json::array();
}

/// In parts of random batches, in any order, merged. `add(part, sample)` adds one sample.
template <class M, class Add>
M merged_in_parts(const M& empty, size_t samples, std::mt19937& random, Add&& add) {
  std::vector<size_t> order(samples);
  for (size_t i = 0; i < samples; ++i) order[i] = i;
  std::shuffle(order.begin(), order.end(), random);
  std::vector<M> parts(3, empty);
  for (const size_t sample : order) add(parts[random() % 3], sample);
  M merged = empty;
  for (const M& part : parts) merged.merge(part);
  return merged;
}

}  // namespace athanor::metrics::testing
