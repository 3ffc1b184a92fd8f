// SPDX-License-Identifier: Apache-2.0
#include "athanor/metrics/running.hpp"

#include "athanor/core/error.hpp"
#include "athanor/metrics/once.hpp"

namespace athanor::metrics {

Running::Running(Metric metric, int64_t window) : empty_(std::move(metric)), window_(window) {
  if (window < 1) {
    throw Error({.what = "the window is too small",
                 .where = "running " + empty_.name(),
                 .got = std::to_string(window),
                 .expected = "1 update or more"});
  }
  empty_.reset();
}

void Running::forget() {
  while (static_cast<int64_t>(last_.size()) > window_) last_.pop_front();
}

void Running::update(const Tree& predictions, const Tree& target, int64_t samples) {
  // An update that is refused leaves no trace.
  Metric metric = empty_;
  metric.update(predictions, target, samples);
  last_.push_back(std::move(metric));
  forget();
}

void Running::merge(const Running& other) {
  detail::check_alike(window_ == other.window_, name());
  last_.insert(last_.end(), other.last_.begin(), other.last_.end());
  forget();
}

Tree Running::compute() const {
  Metric whole = empty_;
  for (const Metric& metric : last_) whole.merge(metric);
  return whole.compute();
}

void Running::state(State& state) {
  auto updates = static_cast<int64_t>(last_.size());
  state.value("updates", updates);
  if (state.loading()) last_.assign(static_cast<size_t>(updates), empty_);
  struct Updates {
    std::deque<Metric>& metrics;
    void state(State& state) {
      for (size_t i = 0; i < metrics.size(); ++i) state.child(std::to_string(i), metrics[i]);
    }
  };
  Updates each{last_};
  state.child("last", each, State::Shape::free);
}

Running running(Metric metric, int64_t window) { return {std::move(metric), window}; }

}  // namespace athanor::metrics
