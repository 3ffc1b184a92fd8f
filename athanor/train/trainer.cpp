// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/trainer.hpp"

#include <torch/torch.h>

#include "athanor/core/error.hpp"
#include "athanor/core/file.hpp"
#include "athanor/core/random.hpp"
#include "athanor/data/concatenate.hpp"
#include "athanor/train/evaluation.hpp"
#include "athanor/train/loop.hpp"
#include "athanor/train/rehearsal.hpp"

namespace athanor {
namespace {

at::Device choose_device(const std::string& name) {
  if (name == "auto") return torch::cuda::is_available() ? at::Device(at::kCUDA, 0) : at::Device(at::kCPU);
  try {
    const at::Device device(name);
    if (device.is_cuda() && !torch::cuda::is_available()) {
      throw Error({.what = "there is no CUDA device",
                   .where = "option device",
                   .got = name,
                   .expected = "auto or cpu on this machine",
                   .todo = "install the CUDA build of LibTorch and a driver, or leave the option out"});
    }
    return device.is_cuda() && !device.has_index() ? at::Device(at::kCUDA, 0) : device;
  } catch (const c10::Error&) {
    throw Error({.what = "this is not the name of a device",
                 .where = "option device",
                 .got = name,
                 .expected = "auto, cpu, cuda or cuda:N"});
  }
}

/// The folder itself when it is new or empty, else the next free name beside it.
std::filesystem::path claim_folder(const std::filesystem::path& wanted) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  fs::path folder = wanted;
  for (int n = 2; fs::is_directory(folder, ignored) && !fs::is_empty(folder, ignored); ++n) {
    folder = wanted;
    folder += "-" + std::to_string(n);
  }
  require_writable_directory(folder);
  return folder;
}

/// Other listeners for a while: `evaluate` may be called from a callback of the running `fit`.
class ListenersGuard {
 public:
  ListenersGuard(Listeners& place, Listeners others)
      : place_(place), before_(std::exchange(place, std::move(others))) {}
  ~ListenersGuard() { place_ = std::move(before_); }
  ListenersGuard(const ListenersGuard&) = delete;
  ListenersGuard& operator=(const ListenersGuard&) = delete;

 private:
  Listeners& place_;
  Listeners before_;
};

std::string name_or(const Data& data, const char* otherwise) { return data.name().empty() ? otherwise : data.name(); }

void check(const TrainerOptions& options) {
  auto refuse = [](const char* option, const std::string& got, const char* expected) {
    throw Error(
        {.what = "an option of the trainer is out of range", .where = option, .got = got, .expected = expected});
  };
  if (options.max_duration.count() <= 0) refuse("max_duration", options.max_duration.describe(), "more than nothing");
  if (options.batch_size < 1) refuse("batch_size", std::to_string(options.batch_size), "1 or more");
  if (options.workers < 0) refuse("workers", std::to_string(options.workers), "0 or more");
  for (const auto& limit : {options.train_batches, options.validation_batches}) {
    if (limit && *limit < 1) refuse("train_batches, validation_batches", std::to_string(*limit), "1 or more, or unset");
  }
}

}  // namespace

Elapsed Position::elapsed() const noexcept {
  const double part = epoch_done || batches == 0 ? 1.0 : static_cast<double>(batch) / static_cast<double>(batches);
  return {.epochs = epoch == 0 ? 0.0 : static_cast<double>(epoch - 1) + part,
          .steps = step,
          .samples = samples,
          .seconds = seconds};
}

void Position::state(State& state) {
  state.value("epoch", epoch);
  state.value("batch", batch);
  state.value("batches", batches);
  state.value("step", step);
  state.value("samples", samples);
  state.value("seconds", seconds);
  state.value("epoch_done", epoch_done);
}

Trainer::Trainer(TrainerOptions options) { set_options(std::move(options)); }

void Trainer::set_options(TrainerOptions options) {
  check(options);
  const at::Device device = choose_device(options.device);
  if (task_ != nullptr && device != device_) {
    throw Error({.what = "a task can't change its device between two calls",
                 .where = "option device",
                 .got = device.str(),
                 .expected = device_.str() + ", as in the first call"});
  }
  device_ = device;
  options_ = std::move(options);
}

Trainer::~Trainer() = default;

Task& Trainer::task() {
  if (task_ == nullptr) throw Error({.what = "the trainer has no task yet", .todo = "call fit, update or load_state"});
  return *task_;
}

std::optional<int64_t> Trainer::epochs() const noexcept {
  if (options_.max_duration.unit() != Duration::Unit::epochs) return std::nullopt;
  return static_cast<int64_t>(std::llround(call_begin_.epochs + options_.max_duration.count()));
}

void Trainer::attach(Task& task) {
  if (task_ == &task) return;
  if (task.nets().empty()) {
    throw Error(
        {.what = "a task without nets", .todo = "make each net part of the task with register_net(\"name\", net)"});
  }
  move_to(task.nets(), device_);
  Optimizers optimizers = task.configure_optimizers();
  if (optimizers.empty()) {
    throw Error({.what = "a task without an optimizer", .where = "configure_optimizers()"});
  }
  optimizers_ = std::move(optimizers);
  train_meter_ = Meter(task.configure_metrics());
  position_ = {};
  history_ = {};
  call_done_ = true;
  folder_.reset();
  folder_wanted_.reset();
  task_ = &task;
}

History Trainer::fit(Task& task, Data train, Data validation) {
  const HostGuard host(options_.host);
  attach(task);
  const LoaderOptions defaults{
      .batch_size = options_.batch_size, .shuffle = options_.shuffle, .workers = options_.workers};
  Loader train_loader = train.loader(defaults);
  std::optional<Loader> validation_loader;
  if (validation.defined()) {
    validation_loader = validation.loader({.batch_size = options_.batch_size, .workers = options_.workers});
  }
  const std::string validation_name = name_or(validation, "val");
  if (validation_name == "train") {
    throw Error({.what = "validation data can't be called 'train'",
                 .where = "fit",
                 .expected = "another name, because the values of training are called train_…"});
  }

  const bool resumed = !call_done_;
  const int64_t first_step = position_.step;
  if (call_done_) {
    call_begin_ = position_.elapsed();
    // A call that was stopped within an epoch goes on with that epoch, and ends at the end of one.
    call_begin_.epochs = static_cast<double>(position_.epoch_done ? position_.epoch : position_.epoch - 1);
    call_done_ = false;
  }
  {
    const std::lock_guard lock(stop_mutex_);
    stop_requested_ = false;
    stop_reason_.clear();
  }
  try {
    Rehearsal(*this, train_loader, validation_loader ? &*validation_loader : nullptr, validation_name).run();
    if (options_.run != folder_wanted_) {
      folder_.reset();
      if (options_.run) folder_ = claim_folder(*options_.run);
      folder_wanted_ = options_.run;
    }
    listeners_ = standard_listeners(options_.verbosity);
    listeners_.insert(listeners_.end(), options_.track.begin(), options_.track.end());
    Loop loop(*this, std::move(train_loader), std::move(validation_loader), validation_name);
    return loop.run(host.notes());
  } catch (...) {
    listeners_.clear();  // a bar ends its line before somebody prints the error
    // A restored call that failed before its first step can still be finished.
    call_done_ = !(resumed && position_.step == first_step);
    throw;
  }
}

Values Trainer::run_evaluation(const Loader& loader, Stage stage, const std::string& prefix, Tree* predictions) {
  Task& task = *task_;
  const EvalMode eval(task.nets());
  torch::NoGradGuard no_grad;
  Meter meter(stage == Stage::predict ? Metrics() : train_meter_.metrics());
  meter.reset();
  const int64_t batches = stage == Stage::validation
                              ? std::min(loader.batches(), options_.validation_batches.value_or(loader.batches()))
                              : loader.batches();
  const int64_t epoch = stage == Stage::validation ? position_.epoch : 0;
  tell(events::StageBegin{.stage = stage, .epoch = epoch, .epochs = epochs(), .batches = batches},
       &Listener::on_stage_begin);
  const auto begun = std::chrono::steady_clock::now();
  auto report = [&](int64_t done) {
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begun;
    tell(events::Progress{.stage = stage,
                          .epoch = epoch,
                          .epochs = epochs(),
                          .batch = done,
                          .batches = batches,
                          .seconds = seconds.count(),
                          .values = stage == Stage::predict ? Values() : meter.bar_values()},
         &Listener::on_progress);
  };

  std::vector<Tree> parts;
  Ticker ticker;
  const Evaluation::Step step = [&](const Batch& batch, StepContext& context) {
    return task.validation_step(batch, context);
  };
  Pass pass = loader.epoch(epoch, 0, batches, options_.seed);
  for (int64_t number = 0; const Batch* batch = pass.next(); ++number) {
    seed_libtorch(mix({options_.seed, static_cast<uint64_t>(stage), static_cast<uint64_t>(number)}));
    StepContext context(stage, epoch, position_.step, number);
    const StepOutput output = Evaluation::step(device_.is_cpu() ? *batch : batch->to(device_), context, meter, step);
    if (predictions != nullptr) parts.push_back(output.predictions.to(at::kCPU));
    if (ticker.due()) report(number + 1);
  }
  report(batches);
  if (predictions != nullptr) *predictions = concatenate(parts);
  return meter.values(prefix);
}

Values Trainer::evaluate(Task& task, const Data& data) {
  const HostGuard host(options_.host);
  attach(task);
  const ListenersGuard listeners(listeners_, standard_listeners(options_.verbosity));
  const std::string prefix = name_or(data, "test") + "_";
  return run_evaluation(data.loader({.batch_size = options_.batch_size, .workers = options_.workers}), Stage::test,
                        prefix, nullptr);
}

Tree Trainer::predict(Task& task, const Data& data) {
  const HostGuard host(options_.host);
  attach(task);
  const ListenersGuard listeners(listeners_, standard_listeners(options_.verbosity));
  Tree predictions;
  run_evaluation(data.loader({.batch_size = options_.batch_size, .workers = options_.workers}), Stage::predict, "",
                 &predictions);
  return predictions;
}

UpdateResult Trainer::update(Task& task, const Batch& batch) {
  attach(task);
  if (position_.epoch_done) {
    position_.epoch += 1;
    position_.batch = 0;
    position_.epoch_done = false;
    epoch_begun_ = std::chrono::steady_clock::now();
    train_meter_.reset();
    begin_training(task.nets());
  }
  StepContext context(Stage::train, position_.epoch, position_.step, position_.batch);
  const Batch moved = batch.to(device_);
  UpdateResult result = Update(task, optimizers_, train_meter_, options_.seed).run({&moved, 1}, context);
  position_.batch += 1;
  position_.step += 1;
  position_.samples += result.samples;
  return result;
}

Values Trainer::end_epoch(Task& task, const Data& validation) {
  attach(task);
  values_ = train_meter_.values("train_");
  if (validation.defined()) {
    values_.merge(run_evaluation(validation.loader({.batch_size = options_.batch_size}), Stage::validation,
                                 name_or(validation, "val") + "_", nullptr));
  }
  position_.epoch_done = true;
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - epoch_begun_;
  position_.seconds += seconds.count();
  history_.add({.number = position_.epoch, .steps = position_.step, .seconds = seconds.count(), .values = values_});
  return values_;
}

void Trainer::request_stop(std::string reason) noexcept {
  const std::lock_guard lock(stop_mutex_);
  if (stop_requested_) return;
  stop_reason_ = std::move(reason);
  stop_requested_ = true;
}

void Trainer::message(std::string text, events::Message::Level level) {
  tell(events::Message{.level = level, .text = std::move(text)}, &Listener::on_message);
}

void Trainer::state(State& state) {
  struct Nets {
    NetsState nets;
    Task& task;
    void state(State& state) {
      state.child("nets", nets);
      state.child("own", task);
    }
  };
  Nets nets{NetsState(task_->nets()), *task_};
  state.child("task", nets);
  for (NamedOptimizer& named : optimizers_) state.child("optimizer " + named.name, *named.optimizer);
  state.child("train_meter", train_meter_);
  state.child("position", position_);
  state.value("call_begin_epochs", call_begin_.epochs);
  state.value("call_begin_steps", call_begin_.steps);
  state.value("call_begin_samples", call_begin_.samples);
  state.value("call_begin_seconds", call_begin_.seconds);
  state.value("call_done", call_done_);
  state.child("history", history_);
  for (size_t i = 0; i < options_.callbacks.size(); ++i) {
    state.child("callback" + std::to_string(i), options_.callbacks[i]);
  }
}

void Trainer::save_state(Tree& into) {
  static_cast<void>(task());  // throws when there is none
  struct Whole {
    Trainer& trainer;
    void state(State& state) { trainer.state(state); }
  } whole{*this};
  athanor::save_state(whole, into);
}

Tree Trainer::save_state() {
  Tree tree;
  save_state(tree);
  return tree;
}

void Trainer::load_state(Task& task, const Tree& saved) {
  attach(task);
  struct Whole {
    Trainer& trainer;
    void state(State& state) { trainer.state(state); }
  } whole{*this};
  athanor::load_state(whole, saved);
}

}  // namespace athanor
