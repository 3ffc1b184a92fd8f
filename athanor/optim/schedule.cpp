// SPDX-License-Identifier: Apache-2.0
#include "athanor/optim/schedule.hpp"

#include <ATen/ops/empty.h>

#include <cmath>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"
#include "athanor/optim/optimizer.hpp"
#include "athanor/optim/schedule_parts.hpp"

namespace athanor {
namespace {

/// A fraction of an epoch is a sum of 1/batches.
constexpr double epoch_margin = 1e-9;

constexpr int64_t unknown_total = -1;

}  // namespace

Owned<Schedule::Model> Schedule::copy_model() const {
  Owned<Model> copy = model_->clone();
  copy->settings = model_->settings;
  return copy;
}

Schedule::Schedule(const Schedule& other)
    : model_(other.copy_model()), field_(other.field_), applied_(other.applied_), last_(other.last_) {
  if (other.base_.defined()) base_ = other.base_.clone();
}

Schedule& Schedule::operator=(const Schedule& other) { return *this = Schedule(other); }

Schedule Schedule::of(OptimizerField field) const {
  if (model_->parts() != nullptr) {
    throw Error({.what = "a schedule of several fields or groups is for those fields",
                 .where = "Schedule::of(" + std::string(name_of(field)) + ")",
                 .got = describe(),
                 .todo = "say the field of each of its parts"});
  }
  Schedule changed = *this;
  changed.field_ = field;
  changed.base_ = at::Tensor();
  changed.applied_.reset();
  return changed;
}

Schedule Schedule::of(OptimizerField field, double base) const {
  if (!std::isfinite(base)) {
    throw Error({.what = "the base of a schedule is not a number",
                 .where = "Schedule::of(" + std::string(name_of(field)) + ", base)",
                 .got = format_number(base)});
  }
  Schedule changed = of(field);
  changed.model_->settings.base = base;
  return changed;
}

Schedule Schedule::only_group(size_t group) const {
  Schedule changed = *this;
  changed.model_->settings.group = group;
  if (ScheduleParts* parts = changed.model_->parts()) {
    for (Schedule& part : parts->all) part = part.only_group(group);
  }
  return changed;
}

bool Schedule::sets(size_t group) const { return model_->settings.group.value_or(group) == group; }

std::span<const Schedule> Schedule::parts() const {
  const ScheduleParts* parts = model_->parts();
  return parts == nullptr ? std::span<const Schedule>() : std::span<const Schedule>(parts->all);
}

void Schedule::begin(Optimizer& optimizer) {
  last_ = {};
  if (ScheduleParts* parts = model_->parts()) return begin_parts(optimizer, *parts);
  const size_t groups = optimizer.groups();
  at::Tensor base = at::empty({static_cast<int64_t>(groups)}, at::kDouble);
  auto* values = static_cast<double*>(base.mutable_data_ptr());
  for (size_t group = 0; group < groups; ++group) {
    const std::optional<double> value = optimizer.get(field_, group);
    if (!value && sets(group)) {
      throw Error({.what = "a schedule changes a field that its optimizer does not have",
                   .where = optimizer.describe(),
                   .got = name_of(field_),
                   .todo = "schedule another field, or take another optimizer"});
    }
    values[group] = value.value_or(0);
  }
  base_ = std::move(base);
  apply(optimizer, evaluate(last_));
}

void Schedule::begin_parts(Optimizer& optimizer, ScheduleParts& parts) {
  if (parts.by_group && parts.all.size() != optimizer.groups()) {
    throw Error({.what = "there must be a schedule for each group of the optimizer",
                 .where = "schedules::by_group, " + optimizer.describe(),
                 .got = std::to_string(parts.all.size()) + " schedules",
                 .expected = std::to_string(optimizer.groups()) + ", as many as groups"});
  }
  for (Schedule& part : parts.all) part.begin(optimizer);
  base_ = at::empty({0}, at::kDouble);
}

void Schedule::end(Optimizer& optimizer) {
  if (!begun()) return;
  if (ScheduleParts* parts = model_->parts()) {
    for (Schedule& part : parts->all) part.end(optimizer);
  } else {
    const auto* base = static_cast<const double*>(base_.const_data_ptr());
    for (size_t group = 0; group < static_cast<size_t>(base_.numel()); ++group) {
      if (sets(group)) optimizer.set(field_, group, base[group]);
    }
  }
  base_ = at::Tensor();
  applied_.reset();
}

void Schedule::step(Optimizer& optimizer, const ScheduleTime& time) {
  if (!begun()) begin(optimizer);
  if (ScheduleParts* parts = model_->parts()) {
    for (Schedule& part : parts->all) part.step(optimizer, time);
    return;
  }
  const double now = factor(time);
  last_ = time;
  if (applied_ != now) apply(optimizer, now);
}

void Schedule::on_value(Optimizer& optimizer, double value) {
  if (!takes_value()) return;
  if (!begun()) begin(optimizer);
  if (ScheduleParts* parts = model_->parts()) {
    for (Schedule& part : parts->all) part.on_value(optimizer, value);
    return;
  }
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
  for (size_t group = 0; group < groups; ++group) {
    if (sets(group)) optimizer.set(field_, group, model_->settings.base.value_or(base[group]) * factor);
  }
  applied_ = factor;
}

std::string Schedule::describe() const {
  std::string text = model_->describe();
  if (model_->parts() != nullptr) return text;
  return field_ == OptimizerField::lr ? text : std::string(name_of(field_)) + ": " + text;
}

void Schedule::state(State& state) {
  struct Inner {
    Model& model;
    void state(State& state) { model.state(state); }
  } inner{*model_};
  state.tensor("base", base_, State::Shape::free);
  state.child("type", inner);
  if (takes_value() && model_->parts() == nullptr) {
    // The next value may come before the next update: which part of a sequence runs follows from the last time.
    int64_t total_updates = last_.total_updates.value_or(unknown_total);
    double total_epochs = last_.total_epochs.value_or(unknown_total);
    state.value("updates", last_.updates);
    state.value("epochs", last_.epochs);
    state.value("total_updates", total_updates);
    state.value("total_epochs", total_epochs);
    if (state.loading()) {
      last_.total_updates = total_updates < 0 ? std::nullopt : std::optional(total_updates);
      last_.total_epochs = total_epochs < 0 ? std::nullopt : std::optional(total_epochs);
      static_cast<void>(evaluate(last_));
    }
  }
  if (state.loading()) applied_.reset();
}

}  // namespace athanor
