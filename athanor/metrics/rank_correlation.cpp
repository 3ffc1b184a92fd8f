// SPDX-License-Identifier: Apache-2.0
// Spearman's rho and Kendall's tau.
#include "athanor/metrics/rank_correlation.hpp"

#include <ATen/ops/empty.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "athanor/core/error.hpp"
#include "athanor/metrics/elements.hpp"
#include "athanor/metrics/once.hpp"

namespace athanor::metrics {
namespace {

using Column = std::vector<double>;

/// Calls `function(first, last)` for each run of equal neighbours.
template <class Equal, class F>
void each_run(size_t size, Equal&& equal, F&& function) {
  for (size_t first = 0; first < size;) {
    size_t last = first + 1;
    while (last < size && equal(first, last)) ++last;
    function(first, last);
    first = last;
  }
}

/// Ranks from 0, equal values sharing the mean of theirs.
Column ranks_of(const Column& values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] < values[b]; });
  Column ranks(values.size());
  each_run(
      values.size(), [&](size_t a, size_t b) { return values[order[a]] == values[order[b]]; },
      [&](size_t first, size_t last) {
        for (size_t i = first; i < last; ++i) ranks[order[i]] = static_cast<double>(first + last - 1) / 2;
      });
  return ranks;
}

double rho(const Column& predictions, const Column& targets) {
  const Column x = ranks_of(predictions), y = ranks_of(targets);
  const double mean = static_cast<double>(x.size() - 1) / 2;
  double xx = 0, yy = 0, xy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    xx += (x[i] - mean) * (x[i] - mean);
    yy += (y[i] - mean) * (y[i] - mean);
    xy += (x[i] - mean) * (y[i] - mean);
  }
  const double value = xy / (std::sqrt(xx) * std::sqrt(yy));
  return std::isnan(value) ? value : std::clamp(value, -1.0, 1.0);
}

/// Sorts `values` and counts the pairs that stood in the wrong order.
double sort_counting_swaps(Column& values) {
  Column other(values.size());
  double swaps = 0;
  for (size_t width = 1; width < values.size(); width *= 2) {
    for (size_t begin = 0; begin < values.size(); begin += 2 * width) {
      const size_t middle = std::min(begin + width, values.size());
      const size_t end = std::min(begin + 2 * width, values.size());
      size_t left = begin, right = middle;
      for (size_t into = begin; into < end; ++into) {
        if (right < end && (left == middle || values[right] < values[left])) {
          swaps += static_cast<double>(middle - left);
          other[into] = values[right++];
        } else {
          other[into] = values[left++];
        }
      }
    }
    values.swap(other);
  }
  return swaps;
}

double pairs_among(size_t count) { return static_cast<double>(count) * static_cast<double>(count - 1) / 2; }

struct PairCounts {
  double all = 0;
  double balance = 0;  // concordant - discordant
  double ties_x = 0, ties_y = 0;
  double distinct_x = 0, distinct_y = 0;
};

PairCounts count_pairs(const Column& predictions, const Column& targets) {
  const size_t size = predictions.size();
  std::vector<size_t> order(size);
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return predictions[a] != predictions[b] ? predictions[a] < predictions[b] : targets[a] < targets[b];
  });
  PairCounts counts;
  counts.all = pairs_among(size);
  const auto same_x = [&](size_t a, size_t b) { return predictions[order[a]] == predictions[order[b]]; };
  each_run(size, same_x, [&](size_t first, size_t last) {
    counts.ties_x += pairs_among(last - first);
    ++counts.distinct_x;
  });
  double ties_both = 0;
  each_run(
      size, [&](size_t a, size_t b) { return same_x(a, b) && targets[order[a]] == targets[order[b]]; },
      [&](size_t first, size_t last) { ties_both += pairs_among(last - first); });
  Column y(size);
  for (size_t i = 0; i < size; ++i) y[i] = targets[order[i]];
  const double discordant = sort_counting_swaps(y);
  each_run(
      size, [&](size_t a, size_t b) { return y[a] == y[b]; },
      [&](size_t first, size_t last) {
        counts.ties_y += pairs_among(last - first);
        ++counts.distinct_y;
      });
  counts.balance = counts.all - counts.ties_x - counts.ties_y + ties_both - 2 * discordant;
  return counts;
}

double tau_b(const Column& predictions, const Column& targets) {
  const PairCounts counts = count_pairs(predictions, targets);
  return counts.balance / std::sqrt(counts.all - counts.ties_x) / std::sqrt(counts.all - counts.ties_y);
}

double tau_c(const Column& predictions, const Column& targets) {
  const PairCounts counts = count_pairs(predictions, targets);
  const double distinct = std::min(counts.distinct_x, counts.distinct_y);
  const auto size = static_cast<double>(predictions.size());
  if (distinct < 2) return std::nan("");
  return 2 * counts.balance / (size * size * (distinct - 1) / distinct);
}

at::Tensor saved_copy(const Column& values) {
  const c10::InferenceMode normal(false);
  at::Tensor tensor = at::empty({static_cast<int64_t>(values.size())}, at::kDouble);
  std::copy(values.begin(), values.end(), tensor.mutable_data_ptr<double>());
  return tensor;
}

}  // namespace

namespace detail {

void KeptPairs::check_outputs(int64_t outputs) const {
  if (outputs_ == 0 || outputs_ == outputs) return;
  throw Error({.what = "the number of outputs changed under a metric",
               .where = metric_,
               .got = std::to_string(outputs) + " outputs",
               .expected = std::to_string(outputs_) + ", as at the first batch",
               .todo = "reset() it, or use one metric for each"});
}

void KeptPairs::update(const at::Tensor& predictions, const at::Tensor& target) {
  check_pair(predictions, target, metric_);
  if (predictions.numel() == 0) return;
  if (predictions.is_cpu()) {
    append(predictions, target);
  } else {
    waiting_.add(predictions, target);
  }
}

void KeptPairs::append(const at::Tensor& predictions, const at::Tensor& target) {
  const int64_t outputs = predictions.dim() == 0 ? 1 : predictions.numel() / predictions.size(0);
  check_outputs(outputs);
  outputs_ = outputs;
  with_pair(predictions, target, [&](const auto* left, const auto* right, int64_t count) {
    predictions_.insert(predictions_.end(), left, left + count);
    targets_.insert(targets_.end(), right, right + count);
  });
}

void KeptPairs::merge(const KeptPairs& other) {
  if (other.outputs_ > 0) {
    check_outputs(other.outputs_);
    outputs_ = other.outputs_;
  }
  predictions_.insert(predictions_.end(), other.predictions_.begin(), other.predictions_.end());
  targets_.insert(targets_.end(), other.targets_.begin(), other.targets_.end());
  waiting_.merge(other.waiting_);
}

void KeptPairs::settle() {
  waiting_.drain([&](const at::Tensor& predictions, const at::Tensor& target) { append(predictions, target); });
}

double KeptPairs::mean_of(double (*correlate)(const Column&, const Column&)) const {
  if (!waiting_.empty()) {
    KeptPairs copy = *this;
    copy.settle();
    return copy.mean_of(correlate);
  }
  const auto outputs = static_cast<size_t>(outputs_);
  const size_t samples = outputs == 0 ? 0 : predictions_.size() / outputs;
  if (samples < 2) {
    throw Error({.what = "fewer than two samples have no order",
                 .where = metric_,
                 .got = std::to_string(samples) + " samples",
                 .expected = "2 or more"});
  }
  const auto is_nan = [](double value) { return std::isnan(value); };
  double sum = 0;
  Column x(samples), y(samples);
  for (size_t output = 0; output < outputs; ++output) {
    for (size_t i = 0; i < samples; ++i) {
      x[i] = predictions_[i * outputs + output];
      y[i] = targets_[i * outputs + output];
    }
    const bool broken = std::any_of(x.begin(), x.end(), is_nan) || std::any_of(y.begin(), y.end(), is_nan);
    sum += broken ? std::nan("") : correlate(x, y);
  }
  return sum / static_cast<double>(outputs);
}

void KeptPairs::reset() {
  outputs_ = 0;
  predictions_.clear();
  targets_.clear();
  waiting_.clear();
}

void KeptPairs::state(State& state) {
  if (state.saving()) settle();
  if (state.loading()) waiting_.clear();
  at::Tensor predictions = state.saving() ? saved_copy(predictions_) : at::Tensor();
  at::Tensor targets = state.saving() ? saved_copy(targets_) : at::Tensor();
  state.value("outputs", outputs_);
  state.tensor("predictions", predictions, State::Shape::free);
  state.tensor("targets", targets, State::Shape::free);
  if (!state.loading()) return;
  const auto values_of = [](const at::Tensor& tensor) {
    const auto* first = tensor.const_data_ptr<double>();
    return Column(first, first + tensor.numel());
  };
  predictions_ = values_of(predictions);
  targets_ = values_of(targets);
}

}  // namespace detail

double SpearmanCorrelation::compute() const { return pairs_.mean_of(rho); }

void KendallCorrelation::merge(const KendallCorrelation& other) {
  detail::check_alike(alike(other), name());
  pairs_.merge(other.pairs_);
}

double KendallCorrelation::compute() const { return pairs_.mean_of(variant_ == KendallVariant::b ? tau_b : tau_c); }

SpearmanCorrelation spearman() { return {}; }
KendallCorrelation kendall(KendallVariant variant) { return KendallCorrelation(variant); }

double spearman(const at::Tensor& predictions, const at::Tensor& target) {
  return once(spearman(), predictions, target);
}
double kendall(const at::Tensor& predictions, const at::Tensor& target, KendallVariant variant) {
  return once(kendall(variant), predictions, target);
}

}  // namespace athanor::metrics
