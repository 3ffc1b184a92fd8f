// SPDX-License-Identifier: Apache-2.0
// Loop: what comes before the first step, and an end by exception.
#include <ATen/Context.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "athanor/core/error.hpp"
#include "athanor/core/file.hpp"
#include "athanor/train/layer_sight.hpp"
#include "athanor/train/listener_group.hpp"
#include "athanor/train/loop.hpp"
#include "athanor/train/monitored_value.hpp"
#include "athanor/train/non_finite_guard.hpp"
#include "athanor/train/optimizers_check.hpp"
#include "athanor/train/rehearsal.hpp"
#include "athanor/train/resumption.hpp"
#include "athanor/train/run_checkpoints.hpp"
#include "athanor/train/run_control.hpp"
#include "athanor/train/run_place.hpp"
#include "athanor/train/run_record.hpp"
#include "athanor/train/trainer_options_fields.hpp"
#include "athanor/train/update.hpp"

namespace athanor {
namespace {

/// The lines of the header, and every option that is not as it comes.
std::vector<std::pair<std::string, std::string>> options_to_show(const TrainerOptions& options) {
  auto shown = options.header;
  const auto defaults = list_options(TrainerOptions());
  const auto used = list_options(options);
  static const std::set<std::string> elsewhere = {"batch_size", "seed", "run", "verbosity", "device", "host.threads"};
  for (const auto& option : used) {
    const bool is_default = std::find(defaults.begin(), defaults.end(), option) != defaults.end();
    if (option.first == "max_duration" && !options.header.empty()) continue;
    if (!is_default && !elsewhere.contains(option.first)) shown.push_back(option);
  }
  return shown;
}

bool has_callback(const TrainerOptions& options, const std::string& key) {
  return std::any_of(options.callbacks.begin(), options.callbacks.end(),
                     [&](const Callback& each) { return each.key() == key; });
}

bool has_checkpoints(const TrainerOptions& options) {
  return std::any_of(options.callbacks.begin(), options.callbacks.end(),
                     [](const Callback& each) { return each.key().starts_with(checkpoints_key); });
}

/// Callbacks that other options ask for.
void add_callbacks(TrainerOptions& options) {
  if (options.profile) {
    Callback profile = make_profile(options.profile);
    if (!has_callback(options, profile.key())) options.callbacks.push_back(std::move(profile));
  }
  const bool is_gone_on_with =
      options.resume.kind() != Resume::Kind::never || options.host.signals != Signals::untouched;
  if (options.run && is_gone_on_with && !has_checkpoints(options)) {
    options.callbacks.push_back(make_checkpoints());
  }
}

std::string words_of(const std::exception_ptr& exception) {
  if (exception == nullptr) return "given up before its end";
  try {
    std::rethrow_exception(exception);
  } catch (const std::exception& error) {
    return error.what();
  } catch (...) {
    return "an exception of an unknown type";
  }
}

}  // namespace

Loop::Loop(Trainer& trainer, Task& task, Feeds feeds)
    : trainer_(trainer),
      task_(task),
      host_(trainer.options_.host),
      signals_(listen(trainer)),
      deterministic_(trainer.options_.deterministic),
      train_feed_(std::move(feeds.train)),
      validation_(std::move(feeds.validation)),
      begun_(std::chrono::steady_clock::now()),
      epoch_begun_(begun_) {
  Trainer& t = trainer_;
  add_callbacks(t.options_);
  t.attach(task);
  check_names(validation_);
  if (train_feed_.data.defined()) {
    train_ = t.loader_of(train_feed_.data, Stage::train);
    for (const NamedLoader& part : train_->parts()) parts_.push_back(part.name);
    batches_ = t.options_.train_batches ? t.options_.train_batches->of(train_->batches()) : train_->batches();
    measure_training();
  }
  if (t.options_.overfit_batches && train_) {
    validation_ = {Feed(train_feed_.data.named("val"), train_feed_.options)};
  }
  Resumption(t, train_ ? &*train_ : nullptr, batches_).run();
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

/// With the metrics of the feed, where it has some.
void Loop::measure_training() {
  const FeedOptions& feed = train_feed_.options;
  if (!feed.loss) {
    throw Error({.what = "training data can't leave out their loss: it is what is trained on",
                 .where = "Feed '" + (train_feed_.data.name().empty() ? "train" : train_feed_.data.name()) + "'",
                 .got = "FeedOptions::loss = false",
                 .todo = "leave the option to validation data"});
  }
  if (!feed.metrics) return;
  const auto names = [](const Metrics& metrics) {
    std::vector<std::string> found;
    for (const Metric& metric : metrics) found.push_back(metric.name());
    return found;
  };
  if (names(*feed.metrics) != names(trainer_.train_meter_.metrics())) trainer_.train_meter_ = Meter(*feed.metrics);
}

/// What was asked of the call before counts no longer; from here on signals do.
SignalGuard Loop::listen(Trainer& trainer) {
  trainer.reset_stop();
  const HostOptions& host = trainer.options_.host;
  return {host.signals, host.further_signal,
          [](void* listener, int signal) noexcept { static_cast<Trainer*>(listener)->interrupt(signal); }, &trainer};
}

Loop::~Loop() { abandon(nullptr); }

void Loop::record_begin() {
  Trainer& t = trainer_;
  const std::string options = options_to_json(t.options_);
  write_file_atomically(*t.folder_ / "options.json", options + "\n");
  Tree data = Tree::Dictionary{};
  if (train_) data.at_or_insert(name_of(train_feed_.data, Stage::train)) = data_record(*train_);
  for (const Feed& feed : validation_) {
    data.at_or_insert(name_of(feed.data, Stage::validation)) = data_record(t.loader_of(feed.data, Stage::validation));
  }
  std::string note = begin_run_record(*t.folder_, {.device = t.device_.str(),
                                                   .threads = t.options_.host.threads.value_or(at::get_num_threads()),
                                                   .seed = t.options_.seed,
                                                   .parameters = count_parameters(task_.nets()),
                                                   .header = t.options_.header,
                                                   .settings = t.configured_,
                                                   .options = options,
                                                   .data = std::move(data),
                                                   .values = t.names_,
                                                   .epoch = t.position_.elapsed().epochs,
                                                   .step = t.position_.step,
                                                   .resumed_from = t.resumed_from_});
  if (!note.empty()) t.resume_notes_.push_back(std::move(note));
}

/// The run counts for more than its record: a disk that is full at its end is a warning.
void Loop::record_end(bool finished, const std::string& reason) {
  Trainer& t = trainer_;
  if (!t.folder_) return;
  try {
    end_run_record(*t.folder_, {.history = t.history_,
                                .stop_reason = reason,
                                .finished = finished,
                                .seconds = seconds_since(begun_),
                                .values = t.names_});
  } catch (const std::exception& error) {
    t.message("the record of the run can't be completed: " + std::string(error.what()),
              events::Message::Level::warning);
  }
}

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
  t.training_loader_ = nullptr;
  try {
    const std::string words = words_of(exception);
    record_end(/*finished=*/false, words.substr(0, words.find('\n')));
  } catch (...) {  // no memory for the words
  }
  t.folder_lock_.reset();
  try {
    t.tell(events::RunBroken{.reason = words_of(exception)}, &Listener::on_run_broken);
  } catch (...) {  // no memory for the words
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
  if (wanted_)
    at::globalContext().setDeterministicAlgorithms(before_, at::globalContext().deterministicAlgorithmsWarnOnly());
}

void Loop::begin_call() {
  Trainer& t = trainer_;
  if (t.call_done_) {
    t.call_begin_ = t.position_.elapsed();
    // A call that was stopped within an epoch goes on with that epoch, and ends at the end of one.
    t.call_begin_.epochs = static_cast<double>(t.position_.epoch_done ? t.position_.epoch : t.position_.epoch - 1);
    t.call_done_ = false;
  }
  seconds_before_ = t.position_.seconds;
}

void Loop::begin() {
  Trainer& t = trainer_;
  t.training_loader_ = train_ ? &*train_ : nullptr;
  t.samples_ = {};
  if (train_) t.samples_[static_cast<size_t>(Stage::train)] = train_->samples();
  for (const Feed& feed : validation_) {
    std::optional<int64_t>& least = t.samples_[static_cast<size_t>(Stage::validation)];
    const int64_t here = t.loader_of(feed.data, Stage::validation).samples();
    least = std::min(least.value_or(here), here);
  }
  t.moments_.bind(t.options_.callbacks);
  t.non_finite_->configure(t.options_.non_finite);
  UpdateOptions update = t.update_options();
  update.step = train_feed_.options.step;
  t.update_->configure(std::move(update), &t.moments_);
  tell_schedules();
  t.names_.clear();
  if (!t.options_.track.empty()) sight_ = std::make_unique<LayerSight>(task_.nets());
  if (train_) Rehearsal(t, *train_, train_feed_, validation_, sight_.get()).run();
  check_schedule_monitors(t);
  std::vector<std::string> notes = host_.notes();
  notes.insert(notes.end(), signals_.notes().begin(), signals_.notes().end());
  if (t.options_.host.signals != Signals::untouched && !has_checkpoints(t.options_)) {
    notes.push_back("nothing is saved at a signal: the run has neither a folder (option run) nor Checkpoints");
  }
  if (const std::string left = describe_untrained(task_, t.optimizers_); !left.empty()) notes.push_back(left);
  if (t.options_.run != t.folder_wanted_) {
    t.folder_.reset();
    t.folder_lock_.reset();
    if (t.options_.run) std::tie(t.folder_, t.folder_lock_) = claim_folder(*t.options_.run);
    t.folder_wanted_ = t.options_.run;
  } else if (t.folder_ && !t.folder_lock_) {
    t.folder_lock_ = lock_folder(*t.folder_);
  }
  if (t.folder_) record_begin();
  Listeners listeners = standard_listeners(display_of(t.options_));
  listeners.insert(listeners.end(), t.options_.track.begin(), t.options_.track.end());
  t.listeners_ = guarded(std::move(listeners));
  t.step_times_.begin();
  const Position& position = t.position_;
  open_ = !position.epoch_done && position.step > t.call_begin_.steps;
  t.tell(events::RunBegin{.device = t.device_.str(),
                          .threads = t.options_.host.threads.value_or(at::get_num_threads()),
                          .seed = t.options_.seed,
                          .parameters = count_parameters(task_.nets()),
                          .options = options_to_show(t.options_),
                          .notes = std::move(notes),
                          .folder = t.folder_,
                          .resumed = position.epoch > 0,
                          .step = position.step,
                          .history = &t.history_},
         &Listener::on_run_begin);
  hand_over(t.options_.track, t);
  if (sight_ && sight_->has_seen()) show_layers();
  for (const std::string& text : std::exchange(t.resume_notes_, {})) {
    const bool bad = text.find(" is left out: ") != std::string::npos || text.starts_with("not equal");
    t.message(text, bad ? events::Message::Level::warning : events::Message::Level::info);
  }
  for (const std::string& text : t.update_->compare_schedules()) t.message(text, events::Message::Level::warning);
  t.moments_.tell(Moment::fit_begin, t);
  if (t.options_.validate_first && position.epoch == 0 && has_validation() && !t.stop_requested()) {
    check();
    validated_ = false;
  }
}

/// A task that did not run in the rehearsal is looked at in its first update.
void Loop::show_layers() {
  trainer_.record("summary", events::Text{sight_->markdown()});
  if (sight_->has_seen()) trainer_.record("graph", sight_->graph());
  sight_.reset();
}

/// Schedules need to know how long they have. Accumulation may change by epoch, so epochs are gone through one by one.
void Loop::tell_schedules() {
  const Trainer& t = trainer_;
  const Duration& length = t.options_.max_duration;
  if (batches_ == 0) {
    t.update_->set_length({}, {});
    return;
  }
  const auto steps_in = [&](int64_t epoch) {
    const int64_t window = t.options_.accumulate.at(epoch);
    return (batches_ + window - 1) / window;
  };
  const auto begin = static_cast<int64_t>(std::llround(t.call_begin_.epochs));
  if (length.unit() == Duration::Unit::epochs) {
    int64_t steps = t.call_begin_.steps;
    double left = length.count();
    for (int64_t epoch = begin + 1; left > 0; ++epoch, left -= 1) {
      const double part = std::min(left, 1.0) * static_cast<double>(steps_in(epoch));
      steps += static_cast<int64_t>(std::ceil(part - 1e-9));
    }
    t.update_->set_length(steps, t.call_begin_.epochs + length.count());
  } else if (length.unit() == Duration::Unit::steps) {
    auto left = static_cast<int64_t>(length.count());
    double epochs = t.call_begin_.epochs;
    for (int64_t epoch = begin + 1; left > 0; ++epoch) {
      const int64_t here = steps_in(epoch);
      epochs += static_cast<double>(std::min(left, here)) / static_cast<double>(here);
      left -= here;
    }
    t.update_->set_length(t.call_begin_.steps + static_cast<int64_t>(length.count()), epochs);
  } else {
    t.update_->set_length({}, {});
  }
}

}  // namespace athanor
