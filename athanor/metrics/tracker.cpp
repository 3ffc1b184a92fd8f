// SPDX-License-Identifier: Apache-2.0
#include "athanor/metrics/tracker.hpp"

#include <cmath>
#include <optional>

#include "athanor/core/error.hpp"

namespace athanor::metrics {

Tracker::Tracker(Metric metric) : metric_(std::move(metric)) {
  if (metric_.direction() == Direction::unknown) {
    throw Error({.what = "a metric that does not say whether up is good has no best round",
                 .where = "tracker of '" + metric_.name() + "'",
                 .todo = "give it .higher_is_better() or .lower_is_better()"});
  }
  metric_.reset();
}

bool Tracker::better(double value, double than) const {
  return metric_.direction() == Direction::up ? value > than : value < than;
}

Tracker::Round Tracker::finish_round() {
  const Tree result = metric_.compute();
  if (result.is_dictionary() || result.is_list()) {
    throw Error({.what = "a metric of several values has no best round",
                 .where = "tracker of '" + metric_.name() + "'",
                 .got = result.describe(),
                 .expected = "one number"});
  }
  const double value = result.is_tensor() ? result.tensor().item().toDouble() : result.real();
  bool is_best = !std::isnan(value);
  for (const double before : values_) is_best = is_best && (std::isnan(before) || better(value, before));
  values_.push_back(value);
  metric_.reset();
  return {.round = static_cast<int64_t>(values_.size()) - 1, .value = value, .is_best = is_best};
}

Tracker::Round Tracker::best() const {
  std::optional<size_t> best;
  for (size_t i = 0; i < values_.size(); ++i) {
    if (!std::isnan(values_[i]) && (!best || better(values_[i], values_[*best]))) best = i;
  }
  if (!best) {
    throw Error({.what = "no round is best",
                 .where = "tracker of '" + metric_.name() + "'",
                 .got = std::to_string(values_.size()) + " rounds, all NaN",
                 .expected = "at least one finished round with a number"});
  }
  return {.round = static_cast<int64_t>(*best), .value = values_[*best], .is_best = true};
}

void Tracker::merge(const Tracker& other) {
  metric_.merge(other.metric_);
  values_.insert(values_.end(), other.values_.begin(), other.values_.end());
}

void Tracker::reset() {
  metric_.reset();
  values_.clear();
}

void Tracker::state(State& state) {
  state.child("metric", metric_);
  Tree values = Tree::List{};
  for (const double value : values_) values.items().emplace_back(value);
  state.value("values", values);
  if (!state.loading()) return;
  values_.clear();
  for (const Tree& value : values.items()) values_.push_back(value.real());
}

}  // namespace athanor::metrics
