// SPDX-License-Identifier: Apache-2.0
//
// Two sides that take turns within one process, short ones, because the clock of a shared machine wanders.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <iostream>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "common.hpp"

namespace benchmarks {

struct Measured {
  std::string name;
  std::vector<double> values;
};

/// Alternates both sides for `rounds` turns each, after one that does not count. What disturbs a shared machine only
/// ever adds time, in bursts: of four neighbouring turns the fastest of each side counts, and their ratio is a value.
inline Measured compare(const std::string& name, int rounds, const std::function<void()>& ours,
                        const std::function<void()>& other) {
  constexpr int turns = 4;
  ours();
  other();
  Measured ratio{name, {}};
  for (int round = 0; round * turns < rounds; ++round) {
    constexpr double longest = std::numeric_limits<double>::max();
    std::array<double, 2> fastest = {longest, longest};
    for (int turn = 0; turn < 2 * turns; ++turn) {
      const size_t side = static_cast<size_t>(turn + turn / 2 + round) % 2;  // ours, other, other, ours, …
      const Stopwatch watch;
      (side == 0 ? ours : other)();
      fastest[side] = std::min(fastest[side], watch.seconds());
    }
    ratio.values.push_back(fastest[0] / fastest[1]);
  }
  return ratio;
}

/// The last line: an object with the quartiles of each.
inline void print(std::vector<Measured> all) {
  std::string line;
  for (auto& [name, values] : all) {
    std::sort(values.begin(), values.end());
    const auto at = [&values = values](double part) {
      return values[static_cast<size_t>(std::lround(part * static_cast<double>(values.size() - 1)))];
    };
    char numbers[128];
    std::snprintf(numbers, sizeof numbers, "[%.6g, %.6g, %.6g]", at(0.25), at(0.5), at(0.75));
    line += (line.empty() ? "{\"" : ", \"") + name + "\": " + numbers;
  }
  std::cout << line << "}" << std::endl;
}

}  // namespace benchmarks
