// SPDX-License-Identifier: Apache-2.0
// What the order of the documents of one query is worth.
//
// The means over the orders of equal scores follow McSherry and Najork, "Computing Information Retrieval Performance
// Measures Efficiently in the Presence of Tied Scores", 2008.
#include "athanor/metrics/query_values.hpp"

#include <c10/util/SmallVector.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>

namespace athanor::metrics::detail {
namespace {

/// What a place from 0 on is worth; the first ones are kept.
class Discounts {
 public:
  [[nodiscard]] double operator()(int64_t place) const {
    return place < static_cast<int64_t>(kept) ? first_[static_cast<size_t>(place)] : discount_of(place);
  }

 private:
  static constexpr size_t kept = 1024;
  static double discount_of(int64_t place) { return 1 / std::log2(static_cast<double>(place) + 2); }
  static const double* kept_ones() {
    static const std::array<double, kept> table = [] {
      std::array<double, kept> made{};
      for (size_t i = 0; i < kept; ++i) made[i] = discount_of(static_cast<int64_t>(i));
      return made;
    }();
    return table.data();
  }

  const double* first_ = kept_ones();
};

/// Documents with one score: `size` of them from place `begin` on, of which the first `inside` lie among the first k.
struct TiedGroup {
  int64_t begin = 0;
  int64_t size = 0;
  int64_t inside = 0;
  double relevant = 0;  ///< The sum of the targets.

  /// Without a division where there is nothing to divide by.
  [[nodiscard]] double mean() const { return size == 1 ? relevant : relevant / static_cast<double>(size); }
};

/// Calls `function(group)` for each group that reaches into the first k, until it gives false.
template <class F>
void each_group(const Ranked& ranked, F&& function) {
  const auto count = static_cast<int64_t>(ranked.documents.size());
  const int64_t limit = std::min(ranked.k, count);
  for (int64_t begin = 0; begin < limit;) {
    TiedGroup group{.begin = begin};
    const double score = ranked.documents[static_cast<size_t>(begin)].score;
    int64_t end = begin;
    do {
      group.relevant += ranked.documents[static_cast<size_t>(end++)].target;
    } while (!ranked.by_place && end < count && ranked.documents[static_cast<size_t>(end)].score == score);
    group.size = end - begin;
    group.inside = std::min(end, limit) - begin;
    if (!function(group)) return;
    begin = end;
  }
}

/// By insertion, which is the fastest for the few documents of most queries.
template <class T, class Before>
void sort_few(std::span<T> items, Before&& before) {
  constexpr size_t few = 16;
  if (items.size() > few) return std::sort(items.begin(), items.end(), before);
  for (size_t i = 1; i < items.size(); ++i) {
    const T own = items[i];
    size_t place = i;
    for (; place > 0 && before(own, items[place - 1]); --place) items[place] = items[place - 1];
    items[place] = own;
  }
}

double all_relevant(const Ranked& ranked) {
  double sum = 0;
  for (const Document& document : ranked.documents) sum += document.target;
  return sum;
}

/// How many relevant documents lie among the first k.
double relevant_inside(const Ranked& ranked) {
  double sum = 0;
  each_group(ranked, [&](const TiedGroup& group) {
    sum += group.relevant * static_cast<double>(group.inside) / static_cast<double>(group.size);
    return true;
  });
  return sum;
}

/// The mean of the sum of precisions at relevant places of a group of which `count` lie among its first `inside`
/// places, when `before` relevant documents lie before it.
double precisions_in_group(const TiedGroup& group, double before, double count) {
  double of_each = 0, of_pairs = 0;
  for (int64_t i = 0; i < group.inside; ++i) {
    const double place = 1 / static_cast<double>(group.begin + i + 1);
    of_each += place;
    of_pairs += static_cast<double>(i) * place;
  }
  const auto inside = static_cast<double>(group.inside);
  const double others = inside > 1 ? (count - 1) / (inside - 1) * of_pairs : 0;
  return count / inside * ((before + 1) * of_each + others);
}

double log_choose(double n, double k) { return std::lgamma(n + 1) - std::lgamma(k + 1) - std::lgamma(n - k + 1); }

}  // namespace

void sort_documents(std::span<Document> documents) {
  sort_few(documents, [](const Document& a, const Document& b) {
    return a.score != b.score ? a.score > b.score : a.target < b.target;
  });
}

double ndcg_of_query(const Ranked& ranked) {
  const Discounts discount;
  double gained = 0;
  each_group(ranked, [&](const TiedGroup& group) {
    double discounts = 0;
    for (int64_t i = 0; i < group.inside; ++i) discounts += discount(group.begin + i);
    gained += group.mean() * discounts;
    return true;
  });
  c10::SmallVector<double, 64> gains;
  gains.resize_for_overwrite(ranked.documents.size());
  for (size_t i = 0; i < gains.size(); ++i) gains[i] = ranked.documents[i].target;
  sort_few(std::span(gains.data(), gains.size()), std::greater<>());
  const int64_t limit = std::min(ranked.k, static_cast<int64_t>(gains.size()));
  double best = 0;
  for (int64_t i = 0; i < limit; ++i) best += gains[static_cast<size_t>(i)] * discount(i);
  return gained / best;
}

double reciprocal_rank_of_query(const Ranked& ranked) {
  double value = 0;
  each_group(ranked, [&](const TiedGroup& group) {
    if (group.relevant == 0) return true;
    double none_so_far = 1;
    for (int64_t i = 0; i < group.inside; ++i) {
      const auto left = static_cast<double>(group.size - i);
      const double chance = std::min(1.0, group.relevant / left);
      value += none_so_far * chance / static_cast<double>(group.begin + i + 1);
      none_so_far *= 1 - chance;
    }
    return false;
  });
  return value;
}

double average_precision_of_query(const Ranked& ranked) {
  double before = 0, sum = 0, value = 0;
  bool cut = false;
  each_group(ranked, [&](const TiedGroup& group) {
    if (group.inside == group.size) {
      if (group.relevant > 0) sum += precisions_in_group(group, before, group.relevant);
      before += group.relevant;
      return true;
    }
    cut = true;
    // How many relevant ones of the last group come before the cut differs from order to order: a mean over that
    // number.
    const auto inside = static_cast<double>(group.inside), size = static_cast<double>(group.size);
    const double least = std::max(0.0, inside - (size - group.relevant));
    for (double count = least; count <= std::min(group.relevant, inside); ++count) {
      const double found = before + count;
      if (found == 0) continue;
      const double chance = std::exp(log_choose(group.relevant, count) +
                                     log_choose(size - group.relevant, inside - count) - log_choose(size, inside));
      value += chance * (sum + (count > 0 ? precisions_in_group(group, before, count) : 0)) / found;
    }
    return false;
  });
  if (cut) return value;
  return before > 0 ? sum / before : 0;
}

double hit_of_query(const Ranked& ranked) {
  double missed = 1;
  each_group(ranked, [&](const TiedGroup& group) {
    for (int64_t i = 0; i < group.inside; ++i) {
      const auto left = static_cast<double>(group.size - i);
      missed *= std::max(0.0, left - group.relevant) / left;
    }
    return missed > 0;
  });
  return 1 - missed;
}

double precision_of_query(const Ranked& ranked) { return relevant_inside(ranked) / static_cast<double>(ranked.k); }

double recall_of_query(const Ranked& ranked) { return relevant_inside(ranked) / all_relevant(ranked); }

}  // namespace athanor::metrics::detail
