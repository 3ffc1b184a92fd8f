// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/trainer.hpp"

#include <torch/torch.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "athanor/core/error.hpp"
#include "athanor/core/random.hpp"
#include "athanor/train/diagnosis.hpp"
#include "athanor/train/evaluation.hpp"
#include "athanor/train/listener_group.hpp"
#include "athanor/train/loop.hpp"
#include "athanor/train/non_finite_guard.hpp"
#include "athanor/train/optimizers_check.hpp"
#include "athanor/train/resumption.hpp"
#include "athanor/train/run_place.hpp"
#include "athanor/train/update.hpp"

namespace athanor {
namespace {

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

/// What `fast_dev_run` and `overfit_batches` stand for.
TrainerOptions resolved(TrainerOptions options) {
  if (options.overfit_batches) options.train_batches = options.validation_batches = options.overfit_batches;
  if (!options.fast_dev_run) return options;
  const Limit limit(*options.fast_dev_run);
  options.train_batches = options.validation_batches = options.test_batches = options.predict_batches = limit;
  options.max_duration = Duration::epochs(1);
  options.run.reset();
  options.track.clear();
  return options;
}

void move_to_precision(const Nets& nets, const TrainerOptions& options) {
  for (const NamedNet& net : nets) {
    if (const auto dtype = dtype_of(options.precision)) net.module->to(*dtype);
    if (!options.channels_last) continue;
    torch::NoGradGuard no_grad;
    for (torch::Tensor& parameter : net.module->parameters()) {
      parameter.set_data(with_channels_last(parameter));
    }
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

Trainer::Trainer(TrainerOptions options) : non_finite_(new NonFiniteGuard(*this)) { set_options(std::move(options)); }
Trainer::~Trainer() = default;

void Trainer::set_options(TrainerOptions options) {
  check(options);
  const at::Device device = choose_device(options.device);
  if (task_ != nullptr && device != device_) {
    throw Error({.what = "a task can't change its device between two calls",
                 .where = "option device",
                 .got = device.str(),
                 .expected = device_.str() + ", as in the first call"});
  }
  if (task_ != nullptr && dtype_of(options.precision) != dtype_of(options_.precision)) {
    throw Error({.what = "a task can't change the dtype of its nets between two calls",
                 .where = "option precision",
                 .todo = "use the precision of the first call, or another trainer"});
  }
  device_ = device;
  options_ = resolved(std::move(options));
}

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
  move_to(task.frozen_nets(), device_);
  move_to_precision(task.nets(), options_);
  move_to_precision(task.frozen_nets(), options_);
  Optimizers optimizers = task.configure_optimizers();
  check_optimizers(task, optimizers);
  configured_ = {};
  for (const OptimizerSetting& setting : settings_of(optimizers)) configured_.set(setting.name, setting.value);
  Meter meter(task.configure_metrics(Stage::train));
  open_.reset();
  optimizers_ = std::move(optimizers);
  train_meter_ = std::move(meter);
  task_ = &task;
  update_ = std::make_unique<Update>(*this, task, optimizers_, train_meter_, device_);
  update_->configure(update_options(), nullptr);
  non_finite_->reset();
  non_finite_->configure(options_.non_finite);
  position_ = {};
  before_update_ = validated_ = call_begin_ = {};
  history_ = {};
  call_done_ = true;
  folder_.reset();
  folder_wanted_.reset();
  folder_lock_.reset();
}

UpdateOptions Trainer::update_options() const {
  return {.seed = options_.seed,
          .precision = options_.precision,
          .scaler = options_.scaler,
          .clip = options_.clip,
          .penalties = options_.penalties,
          .check_finite = options_.non_finite.policy != NonFinite::ignore,
          .split_when_out_of_memory = options_.split_when_out_of_memory,
          .detect_anomaly = options_.detect_anomaly,
          .step = {}};
}

Loader Trainer::loader_of(const Data& data, Stage stage) const {
  const bool train = stage == Stage::train;
  return data.loader({.batch_size = options_.batch_size,
                      .shuffle = train && options_.shuffle && !options_.overfit_batches,
                      .workers = options_.workers});
}

Batch Trainer::prepare(const Batch& batch) const {
  const auto dtype = dtype_of(options_.precision);
  if (device_.is_cpu() && !dtype && !options_.channels_last) return batch;
  Batch prepared = device_.is_cpu() ? batch : batch.to(device_);
  if (!dtype && !options_.channels_last) return prepared;
  prepared.input = prepared.input.map([&](const at::Tensor& tensor) {
    if (!tensor.is_floating_point()) return tensor;
    const at::Tensor cast = dtype ? tensor.to(*dtype) : tensor;
    return options_.channels_last ? with_channels_last(cast) : cast;
  });
  if (dtype) {
    prepared.target = prepared.target.map(
        [&](const at::Tensor& tensor) { return tensor.is_floating_point() ? tensor.to(*dtype) : tensor; });
  }
  return prepared;
}

Meter Trainer::meter_of(const Feed& feed, Stage stage) {
  return Meter(feed.options.metrics ? *feed.options.metrics : task_->configure_metrics(stage));
}

History Trainer::train(Task& task, Feeds feeds) {
  if (!feeds.train.data.defined()) static_cast<void>(loader_of(feeds.train.data, Stage::train));  // throws
  open_.reset();
  Loop loop(*this, task, std::move(feeds));
  try {
    while (loop.begin_epoch()) {
      loop.train();
      loop.end_epoch();
    }
    return loop.end();
  } catch (...) {
    loop.abandon(std::current_exception());
    throw;
  }
}

/// After the loop is gone, so that no thread of a loader lives on.
void Trainer::exit_if_interrupted() const {
  if (interrupted() != 0 && options_.host.signals == Signals::exit) std::exit(128 + interrupted());
}

History Trainer::fit(Task& task, Feeds feeds) {
  History history = train(task, std::move(feeds));
  exit_if_interrupted();
  return history;
}

History Trainer::fit(Task& task, Data train, Data validation) {
  Feeds feeds{.train = Feed(std::move(train)), .validation = {}};
  if (validation.defined()) feeds.validation.emplace_back(std::move(validation));
  return fit(task, std::move(feeds));
}

History Trainer::fit(Task& task, DataModule& data) {
  attach(task);
  DataModuleUse use(data, DataModule::Purpose::fit);
  Resumption(*this, nullptr, 0).load_module(data);
  Feeds feeds{.train = Feed(data.train()), .validation = {}};
  for (Data& validation : data.validation()) feeds.validation.emplace_back(std::move(validation));
  module_ = &data;
  try {
    History history = this->train(task, std::move(feeds));
    module_ = nullptr;
    use.finish();
    exit_if_interrupted();
    return history;
  } catch (...) {
    module_ = nullptr;
    throw;
  }
}

History Trainer::fit(Task& task) {
  Feeds feeds = task.data();
  if (!feeds.train.data.defined()) {
    throw Error(
        {.what = "there is nothing to train on", .where = "fit", .todo = "give data to fit, or override Task::data()"});
  }
  return fit(task, std::move(feeds));
}

Values Trainer::run_evaluation(const Feed& feed, Stage stage, const std::string& name, Meter& meter) {
  Evaluation evaluation(*this, feed, stage, name, &meter, listeners_);
  while (evaluation.next() != nullptr) {
  }
  return meter.values(name + "_");
}

Values Trainer::evaluate(Task& task, const Feed& feed, Stage stage) {
  if (stage != Stage::validation && stage != Stage::test) {
    throw Error({.what = "only validation and test are evaluated",
                 .where = "evaluate",
                 .got = stage_name(stage),
                 .expected = "Stage::validation or Stage::test"});
  }
  const HostGuard host(options_.host);
  attach(task);
  moments_.bind(options_.callbacks);
  Listeners told = listeners_;
  if (call_done_ || told.empty()) {
    told = standard_listeners(display_of(options_));
    told.insert(told.end(), options_.track.begin(), options_.track.end());
    told = options_.track.empty() ? Listeners() : guarded(std::move(told));
  }
  const ListenersGuard listeners(listeners_, guarded(standard_listeners(display_of(options_))));
  Meter meter = meter_of(feed, stage);
  Values values = run_evaluation(feed, stage, name_of(feed.data, stage), meter);
  const events::Evaluation event{
      .stage = stage, .epoch = position_.epoch, .step = position_.step, .values = values, .folder = folder_};
  for (const auto& listener : told) listener->on_evaluation(event);
  return values;
}

Values Trainer::evaluate(Task& task, DataModule& data, Stage stage) {
  const bool validation = stage == Stage::validation;
  DataModuleUse use(data, validation ? DataModule::Purpose::validate : DataModule::Purpose::test);
  Values values;
  for (const Data& each : validation ? data.validation() : data.test()) values.merge(evaluate(task, each, stage));
  use.finish();
  return values;
}

PredictionStream Trainer::predict(Task& task, const Data& data) {
  attach(task);
  moments_.bind(options_.callbacks);
  return PredictionStream(std::make_unique<Evaluation>(*this, Feed(data), Stage::predict, name_of(data, Stage::predict),
                                                       nullptr, guarded(standard_listeners(display_of(options_)))));
}

UpdateResult Trainer::update(Task& task, const Batch& batch) {
  attach(task);
  if (open_ == nullptr) open_ = std::make_unique<Loop>(*this, task, Feeds{});
  if (position_.epoch_done || !open_->in_epoch()) open_->begin_epoch();
  return open_->update(batch);
}

Values Trainer::end_epoch(Task& task, const Data& validation) {
  attach(task);
  if (position_.epoch_done) {
    throw Error({.what = "there is no epoch to close", .where = "end_epoch", .todo = "call update first"});
  }
  if (open_ == nullptr) open_ = std::make_unique<Loop>(*this, task, Feeds{});
  open_->set_validation(validation.defined() ? std::vector<Feed>{Feed(validation)} : std::vector<Feed>{});
  return open_->end_epoch();
}

History Trainer::end() {
  if (open_ == nullptr) return history_;
  History history = open_->end();
  open_.reset();
  return history;
}

void Trainer::add_name(const std::string& name, Direction direction) {
  if (std::none_of(names_.begin(), names_.end(), [&](const auto& known) { return known.first == name; })) {
    names_.emplace_back(name, direction);
  }
}

void Trainer::reset_stop() {
  const std::lock_guard lock(stop_mutex_);
  stop_requested_ = false;
  interrupted_ = 0;
  stop_reason_.clear();
}

void Trainer::request_stop(std::string reason) noexcept {
  const std::lock_guard lock(stop_mutex_);
  if (stop_requested_) return;
  stop_reason_ = std::move(reason);
  stop_requested_ = true;
}

void Trainer::interrupt(int signal) noexcept {
  interrupted_ = signal;
  stop_requested_ = true;
}

void Trainer::message(std::string text, events::Message::Level level) {
  tell(events::Message{.level = level, .text = std::move(text)}, &Listener::on_message);
}

void Trainer::flush_listeners(std::shared_ptr<const void> hold) {
  tell(events::Saving{.step = position_.step, .hold = std::move(hold)}, &Listener::on_saving);
}

void Trainer::record(std::string name, events::Media::Content content) {
  if (listeners_.empty()) return;
  tell(events::Media{.name = std::move(name), .step = position_.step, .content = events::copied(std::move(content))},
       &Listener::on_media);
}

void Trainer::log(std::string_view name, double value, const LogOptions& options) {
  static_cast<void>(task());  // throws when there is none
  train_meter_.log(name, value, 1.0, options);
  if (options.per_step) update_->log_step(name, value);
}

double Trainer::loss_scale() const { return update_ == nullptr ? 1.0 : update_->loss_scale(); }

void Trainer::state(State& state) {
  struct TaskState {
    NetsState nets;
    Task& task;
    void state(State& state) {
      state.child("nets", nets);
      state.child("own", task);
    }
  };
  TaskState task{NetsState(task_->nets()), *task_};
  state.child("task", task);
  for (NamedOptimizer& named : optimizers_) state.child("optimizer " + named.name, *named.optimizer);
  state.child("update", *update_);
  state.child("train_meter", train_meter_);
  state.child("position", position_);
  state.child("validated", validated_);
  state.child("call_begin", call_begin_);
  state.value("call_done", call_done_);
  state.child("non_finite", *non_finite_);
  state.child("history", history_);
  for (size_t i = 0; i < options_.callbacks.size(); ++i) {
    state.child("callback" + std::to_string(i), options_.callbacks[i]);
  }
  if (module_ != nullptr) state.child("data", *module_);
}

void Trainer::save_state(Tree& into) {
  static_cast<void>(task());  // throws when there is none
  moments_.tell(Moment::save, *this);
  athanor::save_state(*this, into);
}

Tree Trainer::save_state() {
  Tree tree;
  save_state(tree);
  return tree;
}

void Trainer::load_state(Task& task, const Tree& saved) {
  if (task_ != nullptr && task_ != &task) {
    // Before the task that is here is given up.
    Trainer other(options_);
    other.attach(task);
    if (const auto differences = check_state(other, saved); !differences.empty()) detail::refuse_state(differences);
  }
  attach(task);
  athanor::load_state(*this, saved);
  moments_.tell(Moment::load, *this);
}

}  // namespace athanor
