// SPDX-License-Identifier: Apache-2.0
// The distance of Levenshtein.
#include "athanor/metrics/edit_distance.hpp"

#include <algorithm>
#include <numeric>
#include <unordered_map>

#include "athanor/core/utf8.hpp"
#include "athanor/metrics/once.hpp"

namespace athanor::metrics {
namespace {

constexpr size_t word_bits = 64;

/// For each number the places of the pattern where it stands, 64 to a word.
class PlacesOf {
 public:
  explicit PlacesOf(std::span<const int32_t> pattern)
      : blocks_((pattern.size() + word_bits - 1) / word_bits), small_(small * blocks_, 0) {
    for (size_t i = 0; i < pattern.size(); ++i) words_of(pattern[i])[i / word_bits] |= uint64_t{1} << (i % word_bits);
    nowhere_.resize(blocks_, 0);
  }
  [[nodiscard]] const uint64_t* operator[](int32_t number) const {
    if (number >= 0 && number < small) return small_.data() + static_cast<size_t>(number) * blocks_;
    const auto found = great_.find(number);
    return found == great_.end() ? nowhere_.data() : found->second.data();
  }
  [[nodiscard]] size_t blocks() const noexcept { return blocks_; }

 private:
  static constexpr int32_t small = 128;

  uint64_t* words_of(int32_t number) {
    if (number >= 0 && number < small) return small_.data() + static_cast<size_t>(number) * blocks_;
    return great_.try_emplace(number, blocks_, 0).first->second.data();
  }

  size_t blocks_;
  std::vector<uint64_t> small_;
  std::vector<uint64_t> nowhere_;
  std::unordered_map<int32_t, std::vector<uint64_t>> great_;
};

/// The differences of neighbours in a column of the table of distances, as word_bits: up by one, down by one.
struct ColumnOfDistances {
  uint64_t up = ~uint64_t{0};
  uint64_t down = 0;
};

int64_t distance_by_bits(std::span<const int32_t> pattern, std::span<const int32_t> text) {
  const PlacesOf places(pattern);
  const size_t blocks = places.blocks();
  std::vector<ColumnOfDistances> column(blocks);
  const uint64_t last_bit = uint64_t{1} << ((pattern.size() - 1) % word_bits);
  auto distance = static_cast<int64_t>(pattern.size());
  for (const int32_t number : text) {
    const uint64_t* equal_at = places[number];
    uint64_t carried_up = 1, carried_down = 0;
    for (size_t block = 0; block < blocks; ++block) {
      ColumnOfDistances& here = column[block];
      const uint64_t equal = equal_at[block] | carried_down;
      const uint64_t vertical = equal_at[block] | here.down;
      const uint64_t horizontal = (((equal & here.up) + here.up) ^ here.up) | equal;
      uint64_t up = here.down | ~(horizontal | here.up);
      uint64_t down = here.up & horizontal;
      if (block + 1 == blocks) {
        distance += static_cast<int64_t>((up & last_bit) != 0) - static_cast<int64_t>((down & last_bit) != 0);
      }
      const uint64_t next_up = up >> (word_bits - 1), next_down = down >> (word_bits - 1);
      up = up << 1U | carried_up;
      down = down << 1U | carried_down;
      carried_up = next_up;
      carried_down = next_down;
      here.up = down | ~(vertical | up);
      here.down = up & vertical;
    }
  }
  return distance;
}

}  // namespace

int64_t detail::distance(std::span<const int32_t> a, std::span<const int32_t> b) {
  while (!a.empty() && !b.empty() && a.front() == b.front()) a = a.subspan(1), b = b.subspan(1);
  while (!a.empty() && !b.empty() && a.back() == b.back()) a = a.first(a.size() - 1), b = b.first(b.size() - 1);
  if (a.empty() || b.empty()) return static_cast<int64_t>(a.size() + b.size());
  return a.size() <= b.size() ? distance_by_bits(a, b) : distance_by_bits(b, a);
}

EditCounts detail::edits(std::span<const int32_t> prediction, std::span<const int32_t> target) {
  // Errors above, substitutions below: the least of these numbers is the way with the fewest errors and, of several,
  // the fewest substitutions, which are the most hits.
  constexpr uint64_t error = uint64_t{1} << 32U;
  std::vector<uint64_t> row(prediction.size() + 1);
  for (size_t j = 0; j < row.size(); ++j) row[j] = j * error;
  for (const int32_t right : target) {
    uint64_t diagonal = row[0];
    row[0] += error;
    for (size_t j = 1; j < row.size(); ++j) {
      const uint64_t above = row[j];
      const uint64_t replaced = diagonal + (prediction[j - 1] == right ? 0 : error + 1);
      row[j] = std::min({replaced, above + error, row[j - 1] + error});
      diagonal = above;
    }
  }
  const auto errors = static_cast<int64_t>(row.back() / error);
  EditCounts counts;
  counts.substitutions = static_cast<int64_t>(row.back() % error);
  const auto surplus = static_cast<int64_t>(prediction.size()) - static_cast<int64_t>(target.size());
  counts.insertions = (errors - counts.substitutions + surplus) / 2;
  counts.deletions = counts.insertions - surplus;
  counts.hits = static_cast<int64_t>(target.size()) - counts.deletions - counts.substitutions;
  return counts;
}

std::vector<int32_t> detail::character_ids(std::string_view utf8) {
  const std::u32string characters = code_points(utf8);
  return {characters.begin(), characters.end()};
}

int64_t levenshtein(std::string_view a, std::string_view b) {
  detail::check_texts(Texts(std::vector{a}), References(std::vector{b}), "levenshtein", true);
  return detail::distance(detail::character_ids(a), detail::character_ids(b));
}

void EditDistance::update(const Texts& predictions, const References& targets) {
  detail::check_texts(predictions, targets, name(), true);
  for (size_t sample = 0; sample < predictions.size(); ++sample) {
    const std::vector<int32_t> said = detail::character_ids(predictions[sample]);
    const std::vector<int32_t> right = detail::character_ids(targets[sample].front());
    const auto distance = static_cast<double>(detail::distance(said, right));
    const auto longer = static_cast<double>(std::max<size_t>({said.size(), right.size(), 1}));
    sum_ += options_.normalized ? distance / longer : distance;
    ++samples_;
  }
}

void EditDistance::update(const Tree& predictions, const Tree& targets, int64_t) {
  update(Texts(predictions, name()), References(targets, name()));
}

void EditDistance::merge(const EditDistance& other) {
  detail::check_alike(alike(other), name());
  samples_ += other.samples_;
  sum_ += other.sum_;
}

double EditDistance::compute() const {
  detail::check_seen(samples_, name());
  return sum_ / static_cast<double>(samples_);
}

void EditDistance::state(State& state) {
  state.value("samples", samples_);
  state.value("sum", sum_);
}

EditDistance edit_distance(EditDistanceOptions options) { return EditDistance(options); }

double edit_distance(const Texts& predictions, const References& targets, EditDistanceOptions options) {
  EditDistance metric(options);
  metric.update(predictions, targets);
  return metric.compute();
}

}  // namespace athanor::metrics
