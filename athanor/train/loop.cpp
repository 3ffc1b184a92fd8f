// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/loop.hpp"

#include <cmath>

namespace athanor {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

}  // namespace

bool Ticker::due() noexcept {
  const auto now = Clock::now();
  if (now < next_) return false;
  next_ = now + std::chrono::milliseconds(100);
  return true;
}

Loop::Loop(Trainer& trainer, Loader train, std::optional<Loader> validation, std::string validation_name)
    : trainer_(trainer),
      train_(std::move(train)),
      validation_(std::move(validation)),
      validation_name_(std::move(validation_name)),
      batches_(std::min(train_.batches(), trainer.options_.train_batches.value_or(train_.batches()))),
      update_(*trainer.task_, trainer.optimizers_, trainer.train_meter_, trainer.options_.seed),
      begun_(Clock::now()),
      epoch_begun_(begun_) {}

History Loop::run(const std::vector<std::string>& notes) {
  begin(notes);
  // The state of a call that reached its length within an epoch: that epoch is still to be closed.
  const Position& position = trainer_.position_;
  bool open = !position.epoch_done && position.step > trainer_.call_begin_.steps && !trainer_.stop_requested_;
  while (open || !finished()) {
    open = false;
    begin_epoch();
    train();
    if (trainer_.stop_requested_) break;
    end_epoch();
  }
  end();
  return trainer_.history_;
}

void Loop::begin(const std::vector<std::string>& notes) {
  Trainer& t = trainer_;
  seconds_before_ = t.position_.seconds;
  t.tell(events::RunBegin{.device = t.device_.str(),
                          .threads = t.options_.host.threads.value_or(at::get_num_threads()),
                          .seed = t.options_.seed,
                          .parameters = count_parameters(t.task_->nets()),
                          .options = t.options_.header,
                          .notes = notes,
                          .folder = t.folder_,
                          .resumed = t.position_.epoch > 0,
                          .history = &t.history_},
         &Listener::on_run_begin);
  for (Callback& callback : t.options_.callbacks) callback.on_fit_begin(t);
}

bool Loop::finished() const {
  if (trainer_.stop_requested_) return true;
  const Elapsed now = trainer_.position_.elapsed();
  const Elapsed& begin = trainer_.call_begin_;
  return trainer_.options_.max_duration.reached({.epochs = now.epochs - begin.epochs,
                                                 .steps = now.steps - begin.steps,
                                                 .samples = now.samples - begin.samples,
                                                 .seconds = now.seconds - begin.seconds});
}

void Loop::begin_epoch() {
  Position& position = trainer_.position_;
  epoch_begun_ = Clock::now();
  if (position.epoch_done) {
    position.epoch += 1;
    position.batch = 0;
    position.batches = batches_;
    position.epoch_done = false;
    trainer_.train_meter_.reset();
    for (Callback& callback : trainer_.options_.callbacks) callback.on_epoch_begin(trainer_);
  }
  trainer_.tell(
      events::StageBegin{
          .stage = Stage::train, .epoch = position.epoch, .epochs = trainer_.epochs(), .batches = batches_},
      &Listener::on_stage_begin);
}

void Loop::train() {
  Trainer& t = trainer_;
  Position& position = t.position_;
  begin_training(t.task_->nets());
  std::vector<Callback*> watchers;
  for (Callback& callback : t.options_.callbacks) {
    if (callback.watches_steps()) watchers.push_back(&callback);
  }
  const bool on_cpu = t.device_.is_cpu();

  const int64_t last = finished() ? position.batch : batches_;
  Pass pass = train_.epoch(position.epoch, position.batch, last, t.options_.seed);
  while (const Batch* batch = pass.next()) {
    StepContext context(Stage::train, position.epoch, position.step, position.batch);
    Batch moved;
    if (!on_cpu) moved = batch->to(t.device_);
    const UpdateResult result = update_.run({on_cpu ? batch : &moved, 1}, context);
    position.batch += 1;
    position.step += 1;
    position.samples += result.samples;
    if (ticker_.due()) show_progress(false);
    for (Callback* watcher : watchers) watcher->on_step_end(t);
    if (t.stop_requested_.load(std::memory_order_relaxed) || (position.batch < batches_ && finished())) break;
  }
  show_progress(true);
}

void Loop::show_progress(bool at_once) {
  const Position& position = trainer_.position_;
  trainer_.position_.seconds = seconds_before_ + seconds_since(begun_);
  if (trainer_.listeners_.empty()) return;
  trainer_.tell(events::Progress{.stage = Stage::train,
                                 .epoch = position.epoch,
                                 .epochs = trainer_.epochs(),
                                 .batch = position.batch,
                                 .batches = batches_,
                                 .seconds = seconds_since(epoch_begun_),
                                 .values = at_once ? Values() : trainer_.train_meter_.bar_values()},
                &Listener::on_progress);
}

void Loop::end_epoch() {
  Trainer& t = trainer_;
  t.values_ = t.train_meter_.values("train_");
  if (validation_) {
    t.values_.merge(t.run_evaluation(*validation_, Stage::validation, validation_name_ + "_", nullptr));
  }
  Position& position = t.position_;
  position.epoch_done = position.batch >= batches_;
  position.seconds = seconds_before_ + seconds_since(begun_);
  t.history_.add(
      {.number = position.epoch, .steps = position.step, .seconds = seconds_since(epoch_begun_), .values = t.values_});
  t.best_ = false;
  for (Callback& callback : t.options_.callbacks) callback.on_epoch_end(t);
  t.tell(
      events::EpochEnd{
          .epoch = t.history_.last(), .epochs = t.epochs(), .run_seconds = seconds_since(begun_), .best = t.best_},
      &Listener::on_epoch_end);
}

void Loop::end() {
  Trainer& t = trainer_;
  if (t.stop_requested_) {
    t.history_.set_stop_reason(t.stop_reason_);
  } else {
    t.history_.set_stop_reason("all " + t.options_.max_duration.describe() + " done");
  }
  t.call_done_ = true;
  for (Callback& callback : t.options_.callbacks) callback.on_fit_end(t);
  t.tell(events::RunEnd{.history = t.history_, .seconds = seconds_since(begun_), .folder = t.folder_},
         &Listener::on_run_end);
}

}  // namespace athanor
