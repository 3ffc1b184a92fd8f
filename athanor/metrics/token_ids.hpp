// SPDX-License-Identifier: Apache-2.0
// Words and runs of words as numbers; shared by the metrics of text, not for use outside. No LibTorch.
#pragma once

#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace athanor::metrics::detail {

/// Gives each distinct word a number, 0, 1, … The words must live as long as it.
class TokenIds {
 public:
  [[nodiscard]] int32_t of(std::string_view word) {
    return ids_.try_emplace(word, static_cast<int32_t>(ids_.size())).first->second;
  }
  template <class Words>
  [[nodiscard]] std::vector<int32_t> of_all(const Words& words) {
    std::vector<int32_t> ids;
    ids.reserve(words.size());
    for (const auto& word : words) ids.push_back(of(word));
    return ids;
  }

 private:
  std::unordered_map<std::string_view, int32_t> ids_;
};

/// Gives each distinct run of n words a number, 0, 1, …: of the run of its first n - 1 words and its last word.
class NgramIds {
 public:
  /// The number of every run of 1 to `longest` words, in `runs[n - 1]` at the place where it begins.
  [[nodiscard]] std::vector<std::vector<int32_t>> of(const std::vector<int32_t>& words, int longest) {
    std::vector<std::vector<int32_t>> runs(static_cast<size_t>(longest));
    std::vector<int32_t> before(words.size(), -1);
    for (size_t n = 1; n <= runs.size() && n <= words.size(); ++n) {
      std::vector<int32_t>& of_length = runs[n - 1];
      of_length.resize(words.size() - n + 1);
      for (size_t i = 0; i < of_length.size(); ++i) before[i] = of_length[i] = number(before[i], words[i + n - 1]);
    }
    return runs;
  }
  [[nodiscard]] size_t size() const noexcept { return ids_.size(); }

 private:
  int32_t number(int32_t before, int32_t word) {
    const uint64_t key = static_cast<uint64_t>(static_cast<uint32_t>(before)) << 32U | static_cast<uint32_t>(word);
    return ids_.try_emplace(key, static_cast<int32_t>(ids_.size())).first->second;
  }

  std::unordered_map<uint64_t, int32_t> ids_;
};

}  // namespace athanor::metrics::detail
