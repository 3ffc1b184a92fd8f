// SPDX-License-Identifier: Apache-2.0
#include "athanor/optim/schedule.hpp"

#include <ATen/ops/empty.h>

#include <cmath>

#include "athanor/core/error.hpp"
#include "athanor/optim/optimizer.hpp"

namespace athanor {
namespace {

/// A fraction of an epoch is a sum of 1/batches.
constexpr double epoch_margin = 1e-9;

}  // namespace

Schedule::Schedule(const Schedule& other)
    : model_(other.model_->clone()), field_(other.field_), applied_(other.applied_), last_(other.last_) {
  if (other.begun()) base_ = other.base_.clone();
}

Schedule& Schedule::operator=(const Schedule& other) { return *this = Schedule(other); }

Schedule Schedule::of(OptimizerField field) const {
  Schedule changed = *this;
  changed.field_ = field;
  changed.base_ = at::Tensor();
  changed.applied_.reset();
  return changed;
}

void Schedule::begin(Optimizer& optimizer) {
  const size_t groups = optimizer.groups();
  at::Tensor base = at::empty({static_cast<int64_t>(groups)}, at::kDouble);
  auto* values = static_cast<double*>(base.mutable_data_ptr());
  for (size_t group = 0; group < groups; ++group) {
    const std::optional<double> value = optimizer.get(field_, group);
    if (!value) {
      throw Error({.what = "a schedule changes a field that its optimizer does not have",
                   .where = optimizer.describe(),
                   .got = name_of(field_),
                   .todo = "schedule another field, or take another optimizer"});
    }
    values[group] = *value;
  }
  base_ = std::move(base);
  last_ = {};
  apply(optimizer, evaluate(last_));
}

void Schedule::end(Optimizer& optimizer) {
  if (!begun()) return;
  apply(optimizer, 1);
  base_ = at::Tensor();
  applied_.reset();
}

void Schedule::step(Optimizer& optimizer, const ScheduleTime& time) {
  if (!begun()) begin(optimizer);
  const double now = factor(time);
  last_ = time;
  if (applied_ != now) apply(optimizer, now);
}

void Schedule::on_value(Optimizer& optimizer, double value) {
  if (!takes_value()) return;
  if (!begun()) begin(optimizer);
  model_->on_value(value);
  if (const double now = evaluate(last_); applied_ != now) apply(optimizer, now);
}

double Schedule::factor(const ScheduleTime& time) const {
  if (!time.total_updates && !time.total_epochs && needs_total()) {
    throw Error({.what = "a schedule goes over the whole run, whose length is not known",
                 .where = describe(),
                 .expected = "a run with a length in steps or epochs",
                 .todo = "give the schedule a length of its own, or tell the trainer how long to train"});
  }
  return evaluate(time);
}

bool Schedule::is_over(const std::optional<Duration>& length, const ScheduleTime& time) {
  if (!length) return false;
  const bool in_steps = length->unit() == Duration::Unit::steps;
  return (in_steps ? static_cast<double>(time.updates) : time.epochs + epoch_margin) >= length->count();
}

double Schedule::evaluate(const ScheduleTime& time) const {
  if (cadence() != Cadence::epoch) return model_->factor(time);
  ScheduleTime whole = time;
  whole.epochs = std::floor(time.epochs + epoch_margin);
  return model_->factor(whole);
}

void Schedule::apply(Optimizer& optimizer, double factor) {
  const auto* base = static_cast<const double*>(base_.const_data_ptr());
  const auto groups = static_cast<size_t>(base_.numel());
  if (groups != optimizer.groups()) {
    throw Error({.what = "a schedule was begun with an optimizer of other groups",
                 .where = optimizer.describe(),
                 .got = std::to_string(groups) + " base values",
                 .expected = std::to_string(optimizer.groups()),
                 .todo = "give each optimizer a schedule of its own"});
  }
  for (size_t group = 0; group < groups; ++group) optimizer.set(field_, group, base[group] * factor);
  applied_ = factor;
}

std::string Schedule::describe() const {
  const std::string text = model_->describe();
  return field_ == OptimizerField::lr ? text : std::string(name_of(field_)) + ": " + text;
}

void Schedule::state(State& state) {
  struct Inner {
    Model& model;
    void state(State& state) { model.state(state); }
  } inner{*model_};
  state.tensor("base", base_, State::Shape::free);
  state.child("type", inner);
  if (state.loading()) applied_.reset();
}

}  // namespace athanor
