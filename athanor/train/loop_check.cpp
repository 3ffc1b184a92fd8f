// SPDX-License-Identifier: Apache-2.0
// Loop: validation, the rows of the history, and what is shown meanwhile.
#include "athanor/train/evaluation.hpp"
#include "athanor/train/loop.hpp"
#include "athanor/train/monitored_value.hpp"
#include "athanor/train/run_place.hpp"
#include "athanor/train/update.hpp"

namespace athanor {

/// A validation within the epoch: a row of its own, and whoever monitors values is told.
void Loop::check() {
  Trainer& t = trainer_;
  const StepTimes::Scope time(t.step_times_, StepPhase::validation, StepPhase::other);
  t.values_ = t.train_meter_.values("train_");
  t.moments_.tell(Moment::check_begin, t);
  if (!measure_validation()) return give_check_up();
  add_row(/*cut_short=*/false);
  t.best_ = false;
  give_value_to_schedules(t);
  t.moments_.tell(Moment::check, t);
  tell_row();
  t.moments_.tell(Moment::check_end, t);
  validated_ = true;
  begin_training(task_.nets());
}

/// After a signal: as if the check had not begun, so that a resumed run makes it from its beginning.
void Loop::give_check_up() {
  Trainer& t = trainer_;
  t.moments_.tell(Moment::check_end, t);
  if (t.position_.batches > 0) t.position_.epoch_done = false;
  begin_training(task_.nets());
}

/// False when a signal ended it.
bool Loop::measure_validation() {
  Trainer& t = trainer_;
  if (validation_.empty()) return true;
  std::optional<Meter> pooled;
  for (const Feed& feed : validation_) {
    const std::string name = name_of(feed.data, Stage::validation);
    Meter meter = t.meter_of(feed, Stage::validation);
    Evaluation evaluation(t, feed, Stage::validation, name, &meter, t.listeners_);
    while (t.interrupted() == 0 && evaluation.next() != nullptr) {
    }
    if (t.interrupted() != 0) return false;
    t.values_.merge(meter.values(name + "_"));
    add_names(meter, name + "_");
    if (!t.options_.pool_validation) continue;
    if (pooled) {
      pooled->merge(meter);
    } else {
      pooled = std::move(meter);
    }
  }
  if (pooled && validation_.size() > 1) t.values_.merge(pooled->values("val_"));
  t.validated_ = t.position_.elapsed();
  return true;
}

/// With batches of the caller's own nothing was rehearsed: the names come with the values.
void Loop::add_names(const Meter& meter, const std::string& prefix) {
  if (train_) return;
  for (const auto& [name, direction] : meter.directions(prefix)) trainer_.add_name(name, direction);
}

void Loop::add_row(bool cut_short) {
  const Trainer& t = trainer_;
  const Position& position = t.position_;
  const double part = position.epoch_done ? 1.0
                      : batches_ == 0     ? 0.0
                                          : static_cast<double>(position.batch) / static_cast<double>(batches_);
  add_names(t.train_meter_, "train_");
  Values settings;
  t.update_->report_hyperparameters(settings);
  trainer_.history_.add({.number = position.epoch,
                         .steps = position.step,
                         .seconds = seconds_since(epoch_begun_),
                         .values = t.values_,
                         .settings = settings,
                         .part = part,
                         .cut_short = cut_short});
  trainer_.values_.merge(settings);
}

/// Before callbacks save: a checkpoint that has the row must not be there while no listener was told of it.
void Loop::tell_row() {
  Trainer& t = trainer_;
  t.tell(
      events::EpochEnd{
          .epoch = t.history_.last(), .epochs = t.epochs(), .run_seconds = seconds_since(begun_), .best = t.best_},
      &Listener::on_epoch_end);
}

void Loop::show_progress(bool at_once) {
  Trainer& t = trainer_;
  const Position& position = t.position_;
  t.position_.seconds = seconds_before_ + seconds_since(begun_);
  if (t.listeners_.empty()) return;
  t.tell(events::Progress{.stage = Stage::train,
                          .epoch = position.epoch,
                          .epochs = t.epochs(),
                          .batch = position.batch,
                          .batches = batches_,
                          .seconds = seconds_since(epoch_begun_),
                          .values = at_once ? Values() : t.train_meter_.bar_values()},
         &Listener::on_progress);
}

/// Values of a single step, for trackers; only here the loss is read.
void Loop::show_step(const UpdateResult& result) {
  Trainer& t = trainer_;
  if (t.listeners_.empty()) return;
  events::Step step{.epoch = t.position_.epoch, .step = t.position_.step, .samples = t.position_.samples, .values = {}};
  if (result.loss.defined()) step.values.set("train_loss", result.loss.item<double>());
  if (result.gradient_norm.defined()) step.values.set("gradient_norm", result.gradient_norm.item<double>());
  t.update_->report_step_values(step.values);
  t.update_->report_hyperparameters(step.values);
  t.tell(step, &Listener::on_step);
}

}  // namespace athanor
