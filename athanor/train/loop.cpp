// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/loop.hpp"

#include <ATen/Context.h>
#include <torch/torch.h>

#include <cmath>

#include "athanor/core/error.hpp"
#include "athanor/train/explain.hpp"
#include "athanor/train/rehearsal.hpp"
#include "athanor/train/optimizers_check.hpp"
#include "athanor/train/run_place.hpp"

namespace athanor {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

}  // namespace

Loop::Loop(Trainer& trainer, Task& task, Feeds feeds)
    : trainer_(trainer),
      task_(task),
      host_(trainer.options_.host),
      deterministic_(trainer.options_.deterministic),
      train_feed_(std::move(feeds.train)),
      validation_(std::move(feeds.validation)),
      begun_(Clock::now()),
      epoch_begun_(begun_) {
  Trainer& t = trainer_;
  t.attach(task);
  check_names(validation_);
  if (train_feed_.data.defined()) {
    train_ = t.loader_of(train_feed_.data, Stage::train);
    batches_ = t.options_.train_batches ? t.options_.train_batches->of(train_->batches()) : train_->batches();
  }
  if (t.options_.overfit_batches && train_) {
    batches_ = t.options_.overfit_batches->of(train_->batches());
    validation_ = {Feed(train_feed_.data.named("val"), train_feed_.options)};
  }
  resumed_ = !t.call_done_;
  first_step_ = t.position_.step;
  begin_call();
  try {
    begin();
  } catch (...) {
    abandon(std::current_exception());
    throw;
  }
}

Loop::~Loop() { abandon(nullptr); }

void Loop::abandon(std::exception_ptr exception) noexcept {
  if (std::exchange(ended_, true)) return;
  Trainer& t = trainer_;
  if (exception != nullptr && t.moments_.watched(Moment::exception)) {
    MomentInfo info{.exception = exception};
    try {
      t.moments_.tell(Moment::exception, t, info);
    } catch (...) {  // the caller gets the first exception
    }
  }
  t.listeners_.clear();  // a bar ends its line before somebody prints the error
  // A restored call that failed before its first step can still be finished.
  t.call_done_ = !(resumed_ && t.position_.step == first_step_);
}

Loop::DeterministicGuard::DeterministicGuard(bool wanted)
    : wanted_(wanted), before_(at::globalContext().deterministicAlgorithms()) {
  if (wanted_) at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/false);
}
Loop::DeterministicGuard::~DeterministicGuard() {
  if (wanted_) at::globalContext().setDeterministicAlgorithms(before_, at::globalContext().deterministicAlgorithmsWarnOnly());
}

void Loop::begin_call() {
  Trainer& t = trainer_;
  if (t.call_done_) {
    t.call_begin_ = t.position_.elapsed();
    // A call that was stopped within an epoch goes on with that epoch, and ends at the end of one.
    t.call_begin_.epochs = static_cast<double>(t.position_.epoch_done ? t.position_.epoch : t.position_.epoch - 1);
    t.call_done_ = false;
  }
  t.reset_stop();
  seconds_before_ = t.position_.seconds;
}

void Loop::begin() {
  Trainer& t = trainer_;
  t.moments_.bind(t.options_.callbacks);
  t.non_finite_.configure(t.options_.non_finite);
  UpdateOptions update = t.update_options();
  update.step = train_feed_.options.step;
  t.update_->configure(std::move(update), &t.moments_);
  tell_schedules();
  if (train_) Rehearsal(t, *train_, train_feed_, validation_).run();
  std::vector<std::string> notes = host_.notes();
  if (const std::string left = describe_untrained(task_, t.optimizers_); !left.empty()) notes.push_back(left);
  if (t.options_.run != t.folder_wanted_) {
    t.folder_.reset();
    if (t.options_.run) t.folder_ = claim_folder(*t.options_.run);
    t.folder_wanted_ = t.options_.run;
  }
  t.listeners_ = standard_listeners(t.options_.verbosity);
  t.listeners_.insert(t.listeners_.end(), t.options_.track.begin(), t.options_.track.end());
  const Position& position = t.position_;
  open_ = !position.epoch_done && position.step > t.call_begin_.steps;
  t.tell(events::RunBegin{.device = t.device_.str(),
                          .threads = t.options_.host.threads.value_or(at::get_num_threads()),
                          .seed = t.options_.seed,
                          .parameters = count_parameters(task_.nets()),
                          .options = t.options_.header,
                          .notes = std::move(notes),
                          .folder = t.folder_,
                          .resumed = position.epoch > 0,
                          .history = &t.history_},
         &Listener::on_run_begin);
  for (const std::string& text : t.update_->compare_schedules()) t.message(text, events::Message::Level::warning);
  t.moments_.tell(Moment::fit_begin, t);
  if (t.options_.validate_first && position.epoch == 0 && has_validation() && !t.stop_requested()) {
    check();
    validated_ = false;
  }
}

/// Schedules need to know how long they have.
void Loop::tell_schedules() {
  const Trainer& t = trainer_;
  const Duration& length = t.options_.max_duration;
  std::optional<int64_t> steps;
  std::optional<double> epochs;
  int64_t steps_per_epoch = 0;
  if (batches_ > 0) {
    const int64_t window = t.options_.accumulate.at(std::max<int64_t>(t.position_.epoch, 1));
    steps_per_epoch = (batches_ + window - 1) / window;
  }
  if (length.unit() == Duration::Unit::steps) {
    steps = t.call_begin_.steps + static_cast<int64_t>(length.count());
    if (steps_per_epoch > 0) epochs = static_cast<double>(*steps) / static_cast<double>(steps_per_epoch);
  } else if (length.unit() == Duration::Unit::epochs) {
    epochs = t.call_begin_.epochs + length.count();
    if (steps_per_epoch > 0) steps = static_cast<int64_t>(std::ceil(*epochs * static_cast<double>(steps_per_epoch)));
  }
  trainer_.update_->set_length(steps, epochs);
}

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
  const auto& least = trainer_.options_.min_duration;
  return trainer_.stop_requested() && (!least || reached(*least));
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
  epoch_begun_ = Clock::now();
  in_epoch_ = true;
  kept_.clear();
  if (position.epoch_done) {
    position.epoch += 1;
    position.batch = 0;
    position.batches = batches_;
    position.epoch_done = false;
    t.train_meter_.reset();
    t.moments_.tell(Moment::epoch_begin, t);
    t.non_finite_.keep();
  }
  t.tell(events::StageBegin{.stage = Stage::train, .epoch = position.epoch, .epochs = t.epochs(), .batches = batches_},
         &Listener::on_stage_begin);
  begin_training(task_.nets());
  if (train_) start_pass();
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
  if (trainer_.non_finite_.poll()) {
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
  if (!train_) throw Error({.what = "a loop without training data has no next batch", .todo = "give batches to update()"});
  for (;;) {
    const Position& position = t.position_;
    window_.clear();  // before the next batch, which is written over this one when nobody holds it
    if (stopping() || position.batch >= batches_ || (position.batch > 0 && finished())) return false;
    const int64_t size = std::min(t.options_.accumulate.at(position.epoch), batches_ - position.batch);
    for (int64_t i = 0; i < size; ++i) {
      const Batch* batch = pass_->next();
      if (batch == nullptr) {
        if (i == 0 && finished()) return false;
        throw Error({.what = "the training data ran dry",
                     .where = "epoch " + std::to_string(position.epoch) + ", batch " +
                              std::to_string(position.batch + i + 1),
                     .expected = std::to_string(batches_) + " batches"});
      }
      window_.push_back(t.prepare(*batch));
    }
    if (!t.non_finite_.leaves_out(position.epoch, position.batch)) return true;
    skip();
  }
}

void Loop::skip() {
  Position& position = trainer_.position_;
  trainer_.before_update_ = position.elapsed();
  position.batch += static_cast<int64_t>(window_.size());
  position.step += 1;
}

UpdateResult Loop::update() { return run_window(); }

UpdateResult Loop::update(const Batch& batch) {
  window_.clear();
  window_.push_back(trainer_.prepare(batch));
  return run_window();
}

UpdateResult Loop::run_window() {
  Trainer& t = trainer_;
  Position& position = t.position_;
  StepContext context(Stage::train, position.epoch, position.step, position.batch);
  context.kept_ = &kept_;
  if (train_ && !train_->parts().empty()) {
    const auto part = static_cast<size_t>(window_.front().part);
    if (part < train_->parts().size()) context.loader_ = train_->parts()[part].name;
  }
  if (t.moments_.watched(Moment::train_batch_begin)) {
    for (Batch& batch : window_) {
      MomentInfo info{.batch = &batch, .context = &context};
      t.moments_.tell(Moment::train_batch_begin, t, info);
    }
  }
  t.before_update_ = position.elapsed();
  t.last_update_ = t.update_->run(window_, context);
  UpdateResult result = t.last_update_;
  position.batch += static_cast<int64_t>(window_.size());
  position.step += 1;
  position.samples += result.samples;
  validated_ = false;
  if (t.moments_.watched(Moment::train_batch_end)) {
    MomentInfo info{.batch = &window_.front(), .context = &context};
    t.moments_.tell(Moment::train_batch_end, t, info);
  }
  if (ticker_.due()) show_progress(false);
  if (t.non_finite_.after_update(result, window_, context)) {
    start_pass();
    return result;
  }
  if (t.options_.log_every.passed(t.before_update_, position.elapsed())) show_step(result);
  t.moments_.tell(Moment::step_end, t);
  if (t.options_.validate_every != Duration::epochs(1) && has_validation() && position.batch < batches_ &&
      !stopping() && t.options_.validate_every.passed(t.validated_, position.elapsed())) {
    check();
  }
  return result;
}

Values Loop::validate() {
  check();
  return trainer_.values_;
}

/// A validation within the epoch: a row of its own, and whoever monitors values is told.
void Loop::check() {
  Trainer& t = trainer_;
  t.values_ = t.train_meter_.values("train_");
  measure_validation();
  add_row(/*cut_short=*/false);
  t.best_ = false;
  t.moments_.tell(Moment::check, t);
  validated_ = true;
  t.tell(events::EpochEnd{.epoch = t.history_.last(),
                          .epochs = t.epochs(),
                          .run_seconds = seconds_since(begun_),
                          .best = t.best_},
         &Listener::on_epoch_end);
  begin_training(task_.nets());
}

void Loop::measure_validation() {
  Trainer& t = trainer_;
  if (validation_.empty()) return;
  std::optional<Meter> pooled;
  for (const Feed& feed : validation_) {
    const std::string name = feed.data.name().empty() ? "val" : feed.data.name();
    Meter meter = t.meter_of(feed, Stage::validation);
    t.values_.merge(t.run_evaluation(feed, Stage::validation, name, meter));
    if (!t.options_.pool_validation) continue;
    if (pooled) {
      pooled->merge(meter);
    } else {
      pooled = std::move(meter);
    }
  }
  if (pooled && validation_.size() > 1) t.values_.merge(pooled->values("val_"));
  t.validated_ = t.position_.elapsed();
}

void Loop::add_row(bool cut_short) {
  const Trainer& t = trainer_;
  const Position& position = t.position_;
  const double part = position.epoch_done ? 1.0
                      : batches_ == 0     ? 0.0
                                          : static_cast<double>(position.batch) / static_cast<double>(batches_);
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

Values Loop::end_epoch() {
  Trainer& t = trainer_;
  Position& position = t.position_;
  in_epoch_ = false;
  if (stopping()) return t.values_;
  position.epoch_done = position.batch >= batches_;
  position.seconds = seconds_before_ + seconds_since(begun_);
  if (position.epoch_done) t.update_->end_epoch(static_cast<double>(position.epoch));
  const bool checked = std::exchange(validated_, false);
  if (!checked) {
    t.values_ = t.train_meter_.values("train_");
    // An epoch that the length of the run cuts short is validated too: it is the last one.
    if (t.options_.validate_every.passed(t.validated_, position.elapsed()) || !position.epoch_done) measure_validation();
    position.seconds = seconds_before_ + seconds_since(begun_);
  }
  add_row(/*cut_short=*/!position.epoch_done);
  if (!checked) {
    t.best_ = false;
    t.moments_.tell(Moment::check, t);
  }
  t.moments_.tell(Moment::epoch_end, t);
  t.tell(events::EpochEnd{.epoch = t.history_.last(), .epochs = t.epochs(), .run_seconds = seconds_since(begun_),
                          .best = t.best_},
         &Listener::on_epoch_end);
  return t.values_;
}

History Loop::end() {
  Trainer& t = trainer_;
  if (std::exchange(ended_, true)) return t.history_;
  if (t.stop_requested_) {
    t.history_.set_stop_reason(t.stop_reason_);
  } else if (t.options_.max_time && reached(*t.options_.max_time)) {
    t.history_.set_stop_reason("the time of " + t.options_.max_time->describe() + " is over");
  } else if (train_) {
    t.history_.set_stop_reason("all " + t.options_.max_duration.describe() + " done");
  } else {
    t.history_.set_stop_reason("the caller's loop ended");
  }
  t.call_done_ = true;
  t.moments_.tell(Moment::fit_end, t);
  t.tell(events::RunEnd{.history = t.history_, .seconds = seconds_since(begun_), .folder = t.folder_},
         &Listener::on_run_end);
  return t.history_;
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
  t.update_->report_hyperparameters(step.values);
  t.tell(step, &Listener::on_step);
}

}  // namespace athanor
