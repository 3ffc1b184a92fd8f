// SPDX-License-Identifier: Apache-2.0
// Names for runs that no other run has.
#pragma once

#include <random>
#include <string>

namespace athanor::track {

/// So many characters of `letters`, from the randomness of the system: no generator of the training is touched.
[[nodiscard]] inline std::string random_text(size_t length, const std::string& letters) {
  std::random_device device;
  std::uniform_int_distribution<size_t> pick(0, letters.size() - 1);
  std::string text(length, ' ');
  for (char& c : text) c = letters[pick(device)];
  return text;
}

[[nodiscard]] inline std::string random_hex(size_t length) { return random_text(length, "0123456789abcdef"); }

}  // namespace athanor::track
