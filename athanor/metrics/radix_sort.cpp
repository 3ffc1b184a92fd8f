// SPDX-License-Identifier: Apache-2.0
// Radix sort, least significant digit first, of floating numbers as unsigned ones of the same order.
#include "athanor/metrics/radix_sort.hpp"

#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <utility>

#include "athanor/core/parallel.hpp"

namespace athanor::metrics::detail {
namespace {

constexpr int digit_bits = 11;  // the counters of a digit fit the first-level cache
constexpr size_t digit_values = size_t{1} << digit_bits;
constexpr int64_t values_per_task = 1 << 16;  // fewer are not worth another thread
constexpr size_t worth_counting = 1 << 11;    // below, comparing is faster

template <class Key>
Key ordered_bits(Key bits) {
  constexpr Key sign = Key{1} << (sizeof(Key) * 8 - 1);
  return (bits & sign) != 0 ? ~bits : bits | sign;
}

template <class Key>
Key plain_bits(Key ordered) {
  constexpr Key sign = Key{1} << (sizeof(Key) * 8 - 1);
  return (ordered & sign) != 0 ? ordered & ~sign : ~ordered;
}

/// One pass: from `from` to `to`, stable, by the digit at `shift`. False when all keys have the same digit, and then
/// nothing was moved.
template <class Key>
bool scatter_by_digit(const std::vector<Key>& from, std::vector<Key>& to, int shift, int64_t tasks) {
  const auto size = static_cast<int64_t>(from.size());
  const auto digit = [shift](Key key) { return static_cast<size_t>(key >> shift) & (digit_values - 1); };
  const auto begin_of = [&](int64_t task) {
    return static_cast<size_t>(size / tasks * task + std::min(task, size % tasks));
  };
  std::vector<std::array<size_t, digit_values>> places(static_cast<size_t>(tasks));
  parallel_for(tasks, 1, [&](int64_t first, int64_t last) {
    for (int64_t task = first; task < last; ++task) {
      auto& counts = places[static_cast<size_t>(task)];
      counts.fill(0);
      for (size_t i = begin_of(task); i < begin_of(task + 1); ++i) ++counts[digit(from[i])];
    }
  });
  size_t next = 0;
  for (size_t value = 0; value < digit_values; ++value) {
    const size_t before = next;
    for (auto& counts : places) next += std::exchange(counts[value], next);
    if (next - before == from.size()) return false;
  }
  parallel_for(tasks, 1, [&](int64_t first, int64_t last) {
    for (int64_t task = first; task < last; ++task) {
      auto& place = places[static_cast<size_t>(task)];
      for (size_t i = begin_of(task); i < begin_of(task + 1); ++i) to[place[digit(from[i])]++] = from[i];
    }
  });
  return true;
}

template <class Key, class Number>
void sort_numbers(std::vector<Number>& values) {
  if (values.size() < worth_counting) {
    std::sort(values.begin(), values.end());
    return;
  }
  const auto size = static_cast<int64_t>(values.size());
  std::vector<Key> keys(values.size()), other(values.size());
  parallel_for(size, values_per_task, [&](int64_t first, int64_t last) {
    for (auto i = static_cast<size_t>(first); i < static_cast<size_t>(last); ++i) {
      keys[i] = ordered_bits(std::bit_cast<Key>(values[i]));
    }
  });
  const int64_t tasks = std::clamp<int64_t>(size / values_per_task, 1, at::get_num_threads());
  for (int shift = 0; shift < static_cast<int>(sizeof(Key) * 8); shift += digit_bits) {
    if (scatter_by_digit(keys, other, shift, tasks)) keys.swap(other);
  }
  parallel_for(size, values_per_task, [&](int64_t first, int64_t last) {
    for (auto i = static_cast<size_t>(first); i < static_cast<size_t>(last); ++i) {
      values[i] = std::bit_cast<Number>(plain_bits(keys[i]));
    }
  });
}

}  // namespace

void sort_ascending(std::vector<float>& values) { sort_numbers<uint32_t>(values); }
void sort_ascending(std::vector<double>& values) { sort_numbers<uint64_t>(values); }

}  // namespace athanor::metrics::detail
