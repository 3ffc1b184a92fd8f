// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/meter.hpp"

#include <ATen/core/grad_mode.h>

namespace athanor {

void StepContext::log(std::string_view name, const at::Tensor& value) {
  if (meter_ != nullptr) meter_->log(name, value, samples_);
}

void StepContext::log(std::string_view name, double value) {
  if (meter_ != nullptr) meter_->log(name, value, samples_);
}

void Meter::update(const StepOutput& output, const Batch& batch) {
  at::NoGradGuard no_grad;
  const auto samples = static_cast<double>(batch.samples);
  samples_ += samples;
  if (output.loss.defined()) loss_.update(output.loss, samples);
  if (metrics_.empty() || output.predictions.empty()) return;
  const Tree& target = output.target.empty() ? batch.target : output.target;
  for (Metric& metric : metrics_) metric.update(output.predictions, target, batch.samples);
  measured_ = true;
}

WeightedMean& Meter::logged(std::string_view name) {
  for (auto& [known, mean] : logged_) {
    if (known == name) return mean;
  }
  return logged_.emplace_back(std::string(name), WeightedMean{}).second;
}

void Meter::log(std::string_view name, const at::Tensor& value, double samples) {
  at::NoGradGuard no_grad;
  logged(name).update(value, samples);
}

void Meter::log(std::string_view name, double value, double samples) { logged(name).update(value, samples); }

Values Meter::values(std::string_view prefix) const {
  Values values;
  if (samples_ == 0) return values;
  if (!loss_.empty()) values.set(std::string(prefix) + "loss", loss_.compute());
  if (measured_) {
    for (const Metric& metric : metrics_) metric.report(values, prefix);
  }
  for (const auto& [name, mean] : logged_) {
    if (!mean.empty()) values.set(std::string(prefix) + name, mean.compute());
  }
  return values;
}

void Meter::reset() {
  samples_ = 0;
  measured_ = false;
  loss_.reset();
  for (Metric& metric : metrics_) metric.reset();
  for (auto& [name, mean] : logged_) mean.reset();
}

void Meter::state(State& state) {
  state.value("samples", samples_);
  state.value("measured", measured_);
  state.child("loss", loss_);
  for (Metric& metric : metrics_) state.child("metric " + metric.name(), metric);
  // Which values a step logs is known only once it has run, so the names are part of the state.
  Tree names = Tree::List{};
  for (const auto& [name, mean] : logged_) names.items().push_back(Tree(name));
  state.value("logged", names);
  if (state.loading()) {
    logged_.clear();
    for (const Tree& name : names.items()) logged(name.text());
  }
  struct Logged {
    std::vector<std::pair<std::string, WeightedMean>>& means;
    void state(State& state) {
      for (auto& [name, mean] : means) state.child(name, mean);
    }
  };
  Logged logged{logged_};
  state.child("means", logged, State::Shape::free);
}

}  // namespace athanor
