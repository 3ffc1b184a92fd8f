// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/run_log.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <memory>
#include <mutex>
#include <tuple>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"
#include "athanor/train/listener_group.hpp"
#include "athanor/train/run_control.hpp"
#include "athanor/train/run_place.hpp"
#include "athanor/train/run_record.hpp"

namespace athanor {
namespace {

bool is_setting(std::string_view name) { return name.starts_with("lr"); }

Stage stage_in(std::string_view name) {
  if (name.starts_with("val_")) return Stage::validation;
  if (name.starts_with("test_")) return Stage::test;
  return Stage::train;
}

std::string whole_name(std::string_view name) {
  return stage_in(name) == Stage::train && !name.starts_with("train_") ? "train_" + std::string(name)
                                                                       : std::string(name);
}

Direction direction_of(std::string_view name) {
  const auto has = [&](std::initializer_list<std::string_view> words) {
    return std::any_of(words.begin(), words.end(),
                       [&](std::string_view word) { return name.find(word) != std::string_view::npos; });
  };
  if (has({"loss", "err", "mae", "mse", "rmse", "perplexity", "logloss"})) return Direction::down;
  if (has({"acc", "auc", "f1", "precision", "recall", "r2"})) return Direction::up;
  return Direction::unknown;
}

Stage stage_of_values(const Values& values) {
  std::optional<Stage> stage;
  for (const auto& [name, value] : values) {
    if (is_setting(name)) continue;
    const Stage here = stage_in(name);
    if (stage && *stage != here) {
      throw Error({.what = "the values of a step belong to two stages",
                   .where = "RunLog::step",
                   .got = join(values.names(), ", "),
                   .expected = "names that all begin with train_, val_ or test_",
                   .todo = "call step once for each stage"});
    }
    stage = here;
  }
  return stage.value_or(Stage::train);
}

void require_positive(std::optional<int64_t> value, const char* option) {
  if (!value || *value >= 1) return;
  throw Error(
      {.what = "this option is too small", .where = option, .got = std::to_string(*value), .expected = "1 or more"});
}

}  // namespace

/// What others ask of the loop, until the loop asks for it.
class RunLog::Control : public RunControl {
 public:
  Control(Listener& listeners, bool saves) : listeners_(listeners), saves_(saves) {}
  bool request_stop(const std::string& reason) noexcept override {
    try {
      const std::lock_guard lock(mutex_);
      if (reason_.empty()) reason_ = reason.empty() ? "stopped from outside" : reason;
      stop_ = true;
      return true;
    } catch (...) {  // no memory for the reason
      return false;
    }
  }
  bool request_save() noexcept override {
    if (saves_) save_ = true;
    return saves_;
  }
  void message(std::string text) override { listeners_.on_message({.text = std::move(text)}); }
  [[nodiscard]] const StepTimes* step_times() const noexcept override { return nullptr; }

  [[nodiscard]] bool stops() const noexcept { return stop_.load(std::memory_order_relaxed); }
  [[nodiscard]] bool take_save() noexcept {
    return save_.load(std::memory_order_relaxed) && save_.exchange(false, std::memory_order_relaxed);
  }
  [[nodiscard]] std::string reason() const {
    const std::lock_guard lock(mutex_);
    return reason_;
  }

 private:
  Listener& listeners_;
  const bool saves_;
  std::atomic<bool> stop_ = false;
  std::atomic<bool> save_ = false;
  mutable std::mutex mutex_;
  std::string reason_;
};

RunLog::RunLog(RunLogOptions options) : options_(std::move(options)), begun_(std::chrono::steady_clock::now()) {
  require_positive(options_.epochs, "RunLogOptions::epochs");
  require_positive(options_.patience, "RunLogOptions::patience");
  require_positive(options_.log_every, "RunLogOptions::log_every");
  if (options_.digits < 0 || options_.digits > 17) {
    throw Error({.what = "so many decimals can't be shown",
                 .where = "RunLogOptions::digits",
                 .got = std::to_string(options_.digits),
                 .expected = "0 to 17"});
  }
  if (options_.monitor.empty() && (options_.patience || options_.save_best)) {
    throw Error({.what = "nothing says which epoch is best",
                 .where = options_.patience ? "RunLogOptions::patience" : "RunLogOptions::save_best",
                 .todo = "give a monitor, such as val_loss"});
  }
  if (!options_.monitor.empty()) {
    if (options_.direction == Direction::unknown) options_.direction = direction_of(options_.monitor);
    if (options_.direction == Direction::unknown) {
      throw Error({.what = "it is not known whether '" + options_.monitor + "' should become large or small",
                   .where = "RunLogOptions::direction",
                   .todo = "set it to Direction::up or Direction::down"});
    }
    history_.set_best({.monitor = options_.monitor});
  }
  if (options_.run) std::tie(folder_, lock_) = claim_folder(*options_.run);
  Listeners listeners =
      standard_listeners({.verbosity = options_.verbosity, .digits = options_.digits, .stream = options_.stream});
  listeners.insert(listeners.end(), options_.track.begin(), options_.track.end());
  listeners_ = std::make_unique<ListenerGroup>(std::move(listeners));
  std::string note;
  if (folder_) note = begin_run_record(*folder_, {.header = options_.header});
  listeners_->on_run_begin({.options = options_.header, .folder = folder_, .history = &history_});
  control_ = std::make_shared<Control>(*listeners_, options_.save_now != nullptr);
  hand_over(options_.track, control_);
  if (!note.empty()) message(std::move(note), events::Message::Level::warning);
}

RunLog::~RunLog() {
  try {
    end("the log was given up");
  } catch (...) {  // a destructor has nobody to tell
  }
}

int64_t RunLog::epoch_number() const noexcept { return epochs_ + 1; }

void RunLog::require_open(const char* call) const {
  if (!ended_) return;
  throw Error({.what = "this run is over", .where = call, .todo = "make a new RunLog"});
}

void RunLog::begin_epoch() {
  if (std::exchange(in_epoch_, true)) return;
  epoch_begun_ = std::chrono::steady_clock::now();
  for (Pass& pass : passes_) {
    pass.batch = 0;
    pass.spent = {};
    pass.sums.clear();
  }
}

RunLog::Pass& RunLog::pass_of(Stage stage) {
  if (running_ != nullptr && running_->stage == stage) return *running_;
  if (running_ != nullptr) finish_pass();
  auto found = std::find_if(passes_.begin(), passes_.end(), [&](const Pass& pass) { return pass.stage == stage; });
  if (found == passes_.end()) {
    passes_.push_back({.stage = stage, .begun = {}, .spent = {}, .sums = {}});
    found = passes_.end() - 1;
  }
  running_ = &*found;
  running_->begun = std::chrono::steady_clock::now() - running_->spent;
  listeners_->on_stage_begin(
      {.stage = stage, .epoch = epoch_number(), .epochs = options_.epochs, .batches = running_->batches});
  return *running_;
}

void RunLog::finish_pass() {
  if (running_ == nullptr) return;
  running_->spent = std::chrono::steady_clock::now() - running_->begun;
  show(*running_, running_->batches > 0 ? running_->batches : running_->batch);
  running_ = nullptr;
}

void RunLog::show(const Pass& pass, int64_t batches) {
  Values values;
  const std::string prefix = std::string(stage_name(pass.stage)) + "_";
  for (const auto& [name, sum] : pass.sums) {
    values.set(name.starts_with(prefix) ? name.substr(prefix.size()) : name, sum.first / sum.second);
  }
  // A pass that is longer than the last one has no known length any more.
  listeners_->on_progress({.stage = pass.stage,
                           .epoch = epoch_number(),
                           .epochs = options_.epochs,
                           .batch = pass.batch,
                           .batches = pass.batch <= batches ? batches : 0,
                           .seconds = seconds_since(pass.begun),
                           .values = std::move(values)});
}

void RunLog::step(const Values& values, double samples) {
  require_open("RunLog::step");
  if (!(samples > 0) || std::isinf(samples)) {
    throw Error({.what = "a step needs samples",
                 .where = "RunLog::step",
                 .got = shortest(samples),
                 .expected = "a finite number above 0"});
  }
  const Stage stage = stage_of_values(values);
  begin_epoch();
  Pass& pass = pass_of(stage);
  pass.batch += 1;
  for (const auto& [name, value] : values) {
    if (is_setting(name)) {
      settings_.set(name, value);
      continue;
    }
    const std::string whole = whole_name(name);
    auto found = std::find_if(pass.sums.begin(), pass.sums.end(), [&](const auto& sum) { return sum.first == whole; });
    if (found == pass.sums.end()) found = pass.sums.insert(pass.sums.end(), {whole, {0, 0}});
    found->second.first += value * samples;
    found->second.second += samples;
  }
  if (stage == Stage::train) {
    steps_ += 1;
    samples_ += samples;
    if (steps_ % options_.log_every == 0) {
      events::Step event{.epoch = epoch_number(), .step = steps_, .samples = std::llround(samples_), .values = {}};
      for (const auto& [name, value] : values) event.values.set(is_setting(name) ? name : whole_name(name), value);
      listeners_->on_step(event);
    }
  }
  if (ticker_.due()) show(pass, pass.batches);
  save_if_asked();
}

void RunLog::save_if_asked() {
  if (!control_->take_save()) return;
  options_.save_now(steps_);
  message("saved on request, at step " + std::to_string(steps_));
}

bool RunLog::should_stop() const noexcept { return !stop_reason_.empty() || control_->stops(); }

void RunLog::judge(const Values& values) {
  improved_ = false;
  if (options_.monitor.empty()) return;
  const auto value = values.find(options_.monitor);
  if (!value) {
    throw Error({.what = "the monitor '" + options_.monitor + "' is not among the values of this epoch",
                 .where = "RunLog::epoch, epoch " + std::to_string(epoch_number()),
                 .expected = "one of " + join(values.names(), ", ")});
  }
  const auto& best = history_.best();
  const bool up = options_.direction == Direction::up;
  const bool none = best->epoch == 0;
  const bool better = up ? *value > best->value + options_.min_change : *value < best->value - options_.min_change;
  improved_ = std::isfinite(*value) && (none || better);
  waited_ = improved_ ? 0 : waited_ + 1;
  if (options_.patience && waited_ >= *options_.patience) {
    stop_reason_ = "no improvement of " + options_.monitor + " for " + std::to_string(waited_) +
                   (waited_ == 1 ? " epoch" : " epochs");
  }
}

bool RunLog::epoch(const Values& values) {
  require_open("RunLog::epoch");
  begin_epoch();
  Values row;
  for (const Pass& pass : passes_) {
    for (const auto& [name, sum] : pass.sums) row.set(name, sum.first / sum.second);
  }
  for (const auto& [name, value] : values) {
    if (is_setting(name)) {
      settings_.set(name, value);
    } else {
      row.set(whole_name(name), value);
    }
  }
  judge(row);
  for (Pass& pass : passes_) {
    if (pass.batch > 0) pass.batches = pass.batch;
  }
  finish_pass();
  // Rounds without steps of their own, as those of boosting, are steps.
  if (!history_.empty() ? steps_ == history_.last().steps : steps_ == 0) steps_ += 1;
  for (const auto& [name, value] : row) {
    const bool is_known = std::any_of(directions_.begin(), directions_.end(),
                                      [&name = name](const auto& known) { return known.first == name; });
    if (is_known) continue;
    directions_.emplace_back(name, name == options_.monitor ? options_.direction : direction_of(name));
  }
  if (improved_)
    history_.set_best({.monitor = options_.monitor, .epoch = epoch_number(), .value = row[options_.monitor]});
  history_.add({.number = epoch_number(),
                .steps = steps_,
                .seconds = seconds_since(epoch_begun_),
                .values = std::move(row),
                .settings = settings_});
  epochs_ += 1;
  in_epoch_ = false;
  listeners_->on_epoch_end(
      {.epoch = history_.last(), .epochs = options_.epochs, .run_seconds = seconds_since(begun_), .best = improved_});
  if (stop_reason_.empty() && options_.epochs && epochs_ >= *options_.epochs) {
    stop_reason_ = "all " + std::to_string(epochs_) + (epochs_ == 1 ? " epoch done" : " epochs done");
  }
  if (stop_reason_.empty() && control_->stops()) stop_reason_ = control_->reason();
  if (improved_ && options_.save_best) options_.save_best(epochs_);
  save_if_asked();
  return stop_reason_.empty();
}

void RunLog::message(std::string text, events::Message::Level level) {
  require_open("RunLog::message");
  listeners_->on_message({.level = level, .text = std::move(text)});
}

void RunLog::record(std::string name, events::Media::Content content) {
  require_open("RunLog::record");
  listeners_->on_media({.name = std::move(name), .step = steps_, .content = events::copied(std::move(content))});
}

void RunLog::record_end() {
  if (!folder_) return;
  try {
    end_run_record(*folder_, {.history = history_,
                              .stop_reason = history_.stop_reason(),
                              .seconds = seconds_since(begun_),
                              .values = directions_});
  } catch (const Error& error) {
    listeners_->on_message({.level = events::Message::Level::warning,
                            .text = "the record of the run can't be completed: " + std::string(error.what())});
  }
}

History RunLog::end(std::string reason) {
  if (std::exchange(ended_, true)) return history_;
  if (stop_reason_.empty() && control_->stops()) stop_reason_ = control_->reason();
  if (!stop_reason_.empty()) {
    reason = stop_reason_;
  } else if (reason.empty()) {
    reason = "the caller's loop ended";
  }
  history_.set_stop_reason(std::move(reason));
  record_end();
  listeners_->on_run_end(
      {.history = history_, .seconds = seconds_since(begun_), .folder = folder_, .directions = directions_});
  listeners_.reset();
  return history_;
}

}  // namespace athanor
