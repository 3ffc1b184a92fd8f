// SPDX-License-Identifier: Apache-2.0
#include "athanor/data/rotation.hpp"

#include <algorithm>
#include <numeric>

namespace athanor {

Rotation::Rotation(const CombineOptions& options, std::vector<int64_t> lengths)
    : how_(options.how), cycle_(options.cycle), lengths_(std::move(lengths)), cumulative_(options.weights.size()) {
  std::partial_sum(options.weights.begin(), options.weights.end(), cumulative_.begin());
}

bool Rotation::zips() const noexcept { return how_ == Combine::zip_shortest || how_ == Combine::zip_longest; }

bool Rotation::begins_again() const noexcept {
  return how_ == Combine::zip_longest || how_ == Combine::weighted || (how_ == Combine::alternate && cycle_);
}

int64_t Rotation::natural_batches() const {
  const int64_t longest = std::ranges::max(lengths_);
  if (how_ == Combine::zip_longest) return longest;
  if (how_ == Combine::zip_shortest) return std::ranges::min(lengths_);
  if (how_ == Combine::alternate && cycle_) return longest * static_cast<int64_t>(lengths_.size());
  return std::accumulate(lengths_.begin(), lengths_.end(), int64_t{0});
}

std::vector<int64_t> Rotation::taken(int64_t batches, uint64_t key) const {
  std::vector<int64_t> taken(lengths_.size(), 0);
  switch (how_) {
    case Combine::in_turn:
      for (size_t i = 0; i < taken.size(); ++i) {
        taken[i] = std::min(batches, lengths_[i]);
        batches -= taken[i];
      }
      return taken;
    case Combine::alternate:
      return taken_alternating(batches);
    case Combine::zip_shortest:
    case Combine::zip_longest:
      std::ranges::fill(taken, batches);
      return taken;
    case Combine::weighted:
      for (int64_t number = 0; number < batches; ++number) ++taken[draw(number, key)];
      return taken;
  }
  return taken;
}

std::vector<int64_t> Rotation::taken_alternating(int64_t batches) const {
  const auto parts = static_cast<int64_t>(lengths_.size());
  auto length = [&](size_t part) { return cycle_ ? INT64_MAX : lengths_[part]; };
  auto after_rounds = [&](int64_t rounds) {
    int64_t sum = 0;
    for (size_t i = 0; i < lengths_.size(); ++i) sum += std::min(length(i), rounds);
    return sum;
  };
  // The most whole rounds that fit; the sum grows with the rounds.
  int64_t rounds = batches / parts;
  int64_t beyond = cycle_ ? rounds + 1 : std::max(rounds, std::ranges::max(lengths_)) + 1;
  while (beyond - rounds > 1) {
    const int64_t middle = rounds + (beyond - rounds) / 2;
    (after_rounds(middle) <= batches ? rounds : beyond) = middle;
  }
  int64_t rest = batches - after_rounds(rounds);
  std::vector<int64_t> taken(lengths_.size());
  for (size_t i = 0; i < taken.size(); ++i) {
    taken[i] = std::min(length(i), rounds);
    if (rest > 0 && length(i) > rounds) {
      ++taken[i];
      --rest;
    }
  }
  return taken;
}

std::vector<double> Rotation::shares() const {
  std::vector<double> shares;
  double before = 0;
  for (double sum : cumulative_) {
    shares.push_back((sum - before) / cumulative_.back());
    before = sum;
  }
  return shares;
}

size_t Rotation::part(int64_t number, const std::vector<int64_t>& taken, uint64_t key) const {
  if (how_ == Combine::weighted) return draw(number, key);
  size_t chosen = lengths_.size();
  for (size_t i = 0; i < lengths_.size(); ++i) {
    if (!cycle_ && taken[i] >= lengths_[i]) continue;
    if (how_ == Combine::in_turn) return i;
    if (chosen == lengths_.size() || taken[i] < taken[chosen]) chosen = i;
  }
  return chosen;
}

size_t Rotation::draw(int64_t number, uint64_t key) const {
  const double place = Philox(mix({key, static_cast<uint64_t>(number)})).uniform() * cumulative_.back();
  // The product may round up to the sum of all.
  const auto found = std::ranges::upper_bound(cumulative_, place);
  const auto last = std::ranges::lower_bound(cumulative_, cumulative_.back());
  return static_cast<size_t>(std::min(found, last) - cumulative_.begin());
}

}  // namespace athanor
