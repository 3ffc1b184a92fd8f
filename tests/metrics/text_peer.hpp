// SPDX-License-Identifier: Apache-2.0
// Problems that peers/text_peer.py makes: those that it has recorded, and fresh ones from a seed that is printed.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

namespace athanor::metrics::testing {

inline std::string output_of_peer(const std::string& arguments) {
  const std::string command = std::string(ATHANOR_TEST_PYTHON " ") + arguments;
  std::string text;
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return text;
  std::array<char, 1 << 16> buffer;
  while (const size_t got = fread(buffer.data(), 1, buffer.size(), pipe)) text.append(buffer.data(), got);
  return pclose(pipe) == 0 ? text : std::string();
}

inline nlohmann::json recorded_problems(const std::string& file) {
  std::ifstream stream(ATHANOR_SOURCE_DIR "/tests/metrics/" + file);
  if (!stream) {
    ADD_FAILURE() << "python tests/metrics/peers/text_peer.py --record tests/metrics/" << file << " FAMILY";
    return nlohmann::json::array();
  }
  return nlohmann::json::parse(stream);
}

/// Empty when the Python of the tests has not all of `packages`; prints which it used. ATHANOR_TEST_SEED=n repeats a
/// seed.
inline nlohmann::json fresh_problems(const std::string& family, const std::string& packages, uint32_t& seed) {
  // Importing them takes seconds.
  const std::string there = output_of_peer("-c 'from importlib.util import find_spec; print(all(map(find_spec, \"" +
                                           packages + "\".split(\", \"))))' 2>&1");
  if (there != "True\n") return {};
  const char* wanted = std::getenv("ATHANOR_TEST_SEED");
  seed = wanted != nullptr ? static_cast<uint32_t>(std::stoul(wanted)) : std::random_device()() % 1000000;
  std::cout << "seed " << seed << "; " << packages << "\n" << std::flush;
  const std::string text =
      output_of_peer(ATHANOR_SOURCE_DIR "/tests/metrics/peers/text_peer.py " + std::to_string(seed) + " " + family);
  EXPECT_FALSE(text.empty()) << "text_peer.py failed";
  return text.empty() ? nlohmann::json::array() : nlohmann::json::parse(text);
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
