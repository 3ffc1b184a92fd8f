// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/loop.hpp"

#include "athanor/core/error.hpp"
#include "athanor/train/layer_sight.hpp"
#include "athanor/train/monitored_value.hpp"
#include "athanor/train/non_finite_guard.hpp"
#include "athanor/train/update.hpp"

namespace athanor {

Elapsed Loop::elapsed_in_call() const {
  const Elapsed now = trainer_.position_.elapsed();
  const Elapsed& begin = trainer_.call_begin_;
  return {.epochs = now.epochs - begin.epochs,
          .steps = now.steps - begin.steps,
          .samples = now.samples - begin.samples,
          .seconds = now.seconds - begin.seconds};
}

bool Loop::reached(const Duration& duration) const { return duration.reached(elapsed_in_call()); }

bool Loop::stopping() const {
  if (!trainer_.stop_requested()) return false;
  const auto& least = trainer_.options_.min_duration;
  return !least || trainer_.interrupted() != 0 || reached(*least);
}

bool Loop::finished() const {
  if (stopping()) return true;
  const TrainerOptions& options = trainer_.options_;
  if (options.max_time && reached(*options.max_time)) return true;
  return train_.has_value() && reached(options.max_duration);
}

bool Loop::begin_epoch() {
  Trainer& t = trainer_;
  Position& position = t.position_;
  if (std::exchange(open_, false) ? stopping() : finished()) return false;
  epoch_begun_ = std::chrono::steady_clock::now();
  in_epoch_ = true;
  kept_.clear();
  if (position.epoch_done) {
    position.epoch += 1;
    position.batch = 0;
    position.batches = batches_;
    position.epoch_done = false;
    t.train_meter_.reset();
    t.moments_.tell(Moment::epoch_begin, t);
    t.non_finite_->keep();
  }
  t.tell(events::StageBegin{.stage = Stage::train, .epoch = position.epoch, .epochs = t.epochs(), .batches = batches_},
         &Listener::on_stage_begin);
  begin_training(task_.nets());
  if (train_) start_pass();
  if (check_is_due()) check();  // a state that was saved between an update and its check
  return true;
}

void Loop::start_pass() {
  const Position& position = trainer_.position_;
  const int64_t last = finished() ? position.batch : batches_;
  pass_.reset();
  pass_.emplace(train_->epoch(position.epoch, position.batch, last, trainer_.options_.seed));
}

void Loop::train() {
  trainer_.moments_.tell(Moment::train_begin, trainer_);
  task_.begin_stage(StageContext(Stage::train, trainer_.position_.epoch, {}, &trainer_.train_meter_, {}));
  task_.training_epoch(*this);
  if (trainer_.non_finite_->poll()) {
    start_pass();
    task_.training_epoch(*this);
  }
  if (!stopping()) {
    task_.end_stage(StageContext(Stage::train, trainer_.position_.epoch, {}, &trainer_.train_meter_, kept_));
  }
  trainer_.moments_.tell(Moment::train_end, trainer_);
  show_progress(true);
}

bool Loop::next() {
  Trainer& t = trainer_;
  if (!train_)
    throw Error({.what = "a loop without training data has no next batch", .todo = "give batches to update()"});
  StepTimes& times = t.step_times_;
  times.lap(StepPhase::other);
  for (;;) {
    const Position& position = t.position_;
    window_.clear();  // before the next batch, which is written over this one when nobody holds it
    if (stopping() || position.batch >= batches_ || (position.batch > 0 && finished())) return false;
    const int64_t size = std::min(t.options_.accumulate.at(position.epoch), batches_ - position.batch);
    for (int64_t i = 0; i < size; ++i) {
      const Batch* batch = pass_->next();
      times.lap(StepPhase::data);
      if (batch == nullptr) {
        if (i == 0 && finished()) return false;
        throw Error(
            {.what = "the training data ran dry",
             .where = "epoch " + std::to_string(position.epoch) + ", batch " + std::to_string(position.batch + i + 1),
             .expected = std::to_string(batches_) + " batches"});
      }
      window_.push_back(t.prepare(*batch));
      times.lap(StepPhase::transfer);
    }
    if (!t.non_finite_->leaves_out(position.epoch, position.batch)) return true;
    skip();
  }
}

void Loop::skip() {
  Position& position = trainer_.position_;
  trainer_.before_update_ = position.elapsed();
  position.batch += static_cast<int64_t>(window_.size());
  position.step += 1;
}

/// A validation within the epoch; the one at its end is made there.
bool Loop::check_is_due() const {
  const Duration& interval = trainer_.options_.validate_every;
  const Position& position = trainer_.position_;
  return interval != Duration::epochs(1) && has_validation() && position.batch > 0 && position.batch < batches_ &&
         !stopping() && interval.passed(trainer_.validated_, position.elapsed());
}

UpdateResult Loop::update(const Batch& batch) {
  window_.clear();
  window_.push_back(trainer_.prepare(batch));
  return update();
}

std::span<Batch> Loop::window() noexcept { return window_; }

UpdateResult Loop::update() {
  Trainer& t = trainer_;
  Position& position = t.position_;
  StepTimes& times = t.step_times_;
  times.lap(StepPhase::other);
  StepContext context(Stage::train, position.epoch, position.step, position.batch);
  context.kept_ = &kept_;
  if (const auto part = static_cast<size_t>(window_.front().part); part < parts_.size()) context.loader_ = parts_[part];
  if (t.moments_.watched(Moment::train_batch_begin)) {
    for (Batch& batch : window_) {
      MomentInfo info{.batch = &batch, .context = &context};
      t.moments_.tell(Moment::train_batch_begin, t, info);
    }
    times.lap(StepPhase::callbacks);
  }
  t.before_update_ = position.elapsed();
  context.sight_ = sight_.get();
  t.last_update_ = t.update_->run(window_, context);
  if (sight_) show_layers();
  const UpdateResult& result = t.last_update_;
  position.batch += static_cast<int64_t>(window_.size());
  position.step += 1;
  position.samples += result.samples;
  times.count_step(result.samples);
  validated_ = false;
  if (t.moments_.watched(Moment::train_batch_end)) {
    MomentInfo info{.batch = &window_.front(), .context = &context};
    t.moments_.tell(Moment::train_batch_end, t, info);
    times.lap(StepPhase::callbacks);
  }
  if (ticker_.due()) show_progress(false);
  if (t.non_finite_->after_update(result, window_, context)) {
    start_pass();
    return result;
  }
  if (t.options_.log_every.passed(t.before_update_, position.elapsed())) show_step(result);
  times.lap(StepPhase::logging);
  if (t.moments_.watched(Moment::step_end)) {
    t.moments_.tell(Moment::step_end, t);
    times.lap(StepPhase::callbacks);
  }
  if (check_is_due()) check();
  return result;
}

Values Loop::validate() {
  check();
  return trainer_.values_;
}

Values Loop::end_epoch() {
  Trainer& t = trainer_;
  Position& position = t.position_;
  const StepTimes::Scope time(t.step_times_, StepPhase::validation, StepPhase::other);
  in_epoch_ = false;
  // What was stopped within the epoch goes on there in the next call; a signal does not wait for a validation.
  if (stopping() && (position.batch < batches_ || t.interrupted() != 0)) return t.values_;
  position.epoch_done = position.batch >= batches_;
  position.seconds = seconds_before_ + seconds_since(begun_);
  if (position.epoch_done) t.update_->end_epoch(static_cast<double>(position.epoch));
  const bool checked = std::exchange(validated_, false);
  if (!checked) {
    t.values_ = t.train_meter_.values("train_");
    t.moments_.tell(Moment::check_begin, t);
    // An epoch that the length of the run cuts short is validated too: it is the last one.
    if (t.options_.validate_every.passed(t.validated_, position.elapsed()) || !position.epoch_done) {
      if (!measure_validation()) {
        give_check_up();
        return t.values_;
      }
    }
    position.seconds = seconds_before_ + seconds_since(begun_);
  }
  add_row(/*cut_short=*/!position.epoch_done);
  if (!checked) {
    t.best_ = false;
    give_value_to_schedules(t);
    t.moments_.tell(Moment::check, t);
  }
  tell_row();
  if (!checked) t.moments_.tell(Moment::check_end, t);
  t.moments_.tell(Moment::epoch_end, t);
  return t.history_.last().values;
}

History Loop::end() {
  Trainer& t = trainer_;
  if (std::exchange(ended_, true)) return t.history_;
  if (t.interrupted() != 0) {
    t.history_.set_stop_reason("stopped by " + signal_name(t.interrupted()));
  } else if (t.stop_requested_) {
    t.history_.set_stop_reason(t.stop_reason_);
  } else if (t.options_.max_time && reached(*t.options_.max_time)) {
    t.history_.set_stop_reason("the time of " + t.options_.max_time->describe() + " is over");
  } else if (train_) {
    t.history_.set_stop_reason("all " + t.options_.max_duration.describe() + " done");
  } else {
    t.history_.set_stop_reason("the caller's loop ended");
  }
  t.moments_.tell(Moment::fit_closing, t);
  t.call_done_ = true;
  t.moments_.tell(Moment::fit_end, t);
  record_end(/*finished=*/true, t.history_.stop_reason());
  t.tell(events::RunEnd{.history = t.history_,
                        .seconds = seconds_since(begun_),
                        .folder = t.folder_,
                        .time_verdict = t.step_times_.verdict(),
                        .directions = t.names_},
         &Listener::on_run_end);
  t.training_loader_ = nullptr;
  t.folder_lock_.reset();
  return t.history_;
}

}  // namespace athanor
