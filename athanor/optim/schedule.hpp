// SPDX-License-Identifier: Apache-2.0
// How a field of an optimizer's groups, the learning rate above all, changes in the course of a run.
//
//     .schedule = schedules::sequence({schedules::linear_warmup(500_steps), schedules::cosine()})
//
// A schedule of one's own is any copyable type with a cadence and a factor:
//
//     struct InverseSquareRoot {
//       static constexpr athanor::Cadence cadence = athanor::Cadence::step;
//       double factor(const athanor::ScheduleTime& time) const { return 1 / std::sqrt(1.0 + time.updates); }
//     };
#pragma once

#include <concepts>
#include <optional>
#include <span>
#include <string>

#include "athanor/core/duration.hpp"
#include "athanor/core/mode.hpp"
#include "athanor/core/owned.hpp"
#include "athanor/core/state.hpp"

namespace athanor {

class Optimizer;
struct ScheduleParts;

/// What can be scheduled. "momentum" is the first of Adam's betas.
enum class OptimizerField { lr, momentum, weight_decay };

/// When a schedule may change something.
enum class Cadence {
  step,   ///< At every update of its optimizer.
  epoch,  ///< Where an epoch begins; in between, the time has whole epochs.
  value,  ///< When a value of the run is known, such as a validation loss.
};

/// How far an optimizer has come in its run, before the update that is next.
struct ScheduleTime {
  int64_t updates = 0;  ///< Steps of this optimizer so far; a skipped one counts. The `steps` of a Duration are these.
  double epochs = 0;    ///< With the finished part of the running one.
  std::optional<int64_t> total_updates = {};  ///< Of the whole run; unset when nobody knows.
  std::optional<double> total_epochs = {};
};

/// What a type needs to be a schedule. The factor of time 0 has to be known without the length of the run. Optional
/// members:
///
///     std::optional<Duration> length() const;   its own length in steps or epochs; unset: the rest of the run
///     bool needs_total() const;                 it can't be computed while the length of the run is unknown
///     std::string describe() const;
///     void on_value(double value);              learns from a value of the run (a plateau)
///     std::string monitor() const;              the name of that value; empty: the loss of the validation data
///     std::optional<Mode> mode() const;         which way of it is better
///     void state(State&);                       what it has learnt
template <class T>
concept ScheduleType = std::copy_constructible<T> && requires(const T& type, const ScheduleTime& time) {
  { type.factor(time) } -> std::convertible_to<double>;
  { type.cadence } -> std::convertible_to<Cadence>;
};

/// A schedule of one optimizer: sets a field of each group to its base value times a factor. A value; copies are
/// independent. The convention is that of torch: update number u, counted from 0, runs with the factor of u.
///
/// The factor is a function of the time alone, except for types that learn from values; so a schedule can be drawn
/// before training, and a resumed run needs the base values only, which are its state; for types that learn, what they
/// have learnt and the last time too. While it is in use, the field is
/// the schedule's: what others set lasts until the factor changes.
class Schedule {
 public:
  template <class T>
  requires(!std::same_as<T, Schedule> && ScheduleType<T>) Schedule(T type) : model_(new Holder<T>(std::move(type))) {}
  Schedule(const Schedule& other);
  Schedule& operator=(const Schedule& other);
  Schedule(Schedule&&) noexcept = default;
  Schedule& operator=(Schedule&&) noexcept = default;
  ~Schedule() = default;

  /// The same schedule for another field than the learning rate. Throws Error for one that is made of several fields or
  /// groups.
  [[nodiscard]] Schedule of(OptimizerField field) const;
  /// The same in values: the field of each group becomes `base` times the factor, whatever it was before. With a base
  /// of 1 the factors are the values themselves.
  [[nodiscard]] Schedule of(OptimizerField field, double base) const;

  /// Takes the present value of each group as its base and applies the first factor. Once, before the first update; not
  /// for a run that goes on, whose base values are in the state. Throws Error when the optimizer lacks the field.
  void begin(Optimizer& optimizer);
  /// Puts the base values back and forgets them; nothing when it was not begun.
  void end(Optimizer& optimizer);
  /// Whether there are base values, from `begin` or a loaded state.
  [[nodiscard]] bool begun() const noexcept { return base_.defined(); }
  /// Sets the field for the update that is next; `begin` comes first where it was not called. Costs a few nanoseconds
  /// more than the factor, which is only applied when it has changed. Throws Error when the schedule needs to know how
  /// long the run is and `time` does not say, and when the field refuses the value.
  void step(Optimizer& optimizer, const ScheduleTime& time);
  /// For types that learn from values; nothing for others.
  void on_value(Optimizer& optimizer, double value);

  /// The factor at a time, for drawing and tests. Throws Error as `step` does.
  [[nodiscard]] double factor(const ScheduleTime& time) const;
  [[nodiscard]] Cadence cadence() const { return model_->cadence(); }
  /// Whether `on_value` has an effect: true for Cadence::value and for a sequence with such a part.
  [[nodiscard]] bool takes_value() const { return model_->takes_value(); }
  /// The value of the run that it learns from; empty: the loss of the validation data where there are such, else
  /// `train_loss`. A trainer hands it over after each check; in a loop of your own you do, by `on_value`.
  [[nodiscard]] std::string monitor() const { return model_->monitor(); }
  /// Which way of that value it takes for better; unset when it does not care.
  [[nodiscard]] std::optional<Mode> mode() const { return model_->mode(); }
  /// Of `schedules::together` and `schedules::by_group` the schedules that it is made of, else none. Such a schedule
  /// has the field and the factor of the first of them that sets the learning rate.
  [[nodiscard]] std::span<const Schedule> parts() const;
  [[nodiscard]] OptimizerField field() const noexcept { return field_; }
  /// What it was given by `of(field, base)`.
  [[nodiscard]] std::optional<double> base() const { return model_->settings.base; }
  /// Its own length, in steps (updates of the optimizer) or epochs, to be compared with that of the run. Unset: as long
  /// as the run.
  [[nodiscard]] std::optional<Duration> length() const { return model_->length(); }
  /// Whether the length of the run has to be known.
  [[nodiscard]] bool needs_total() const { return model_->needs_total(); }
  /// How many of its parts are over at a time: of a sequence those that are left behind, of another schedule 1 when
  /// its own length has passed, else 0.
  [[nodiscard]] size_t parts_over(const ScheduleTime& time) const { return model_->parts_over(time); }
  [[nodiscard]] std::string describe_part(size_t part) const { return model_->describe_part(part); }
  /// `warm-up over 500 steps, then cosine`
  [[nodiscard]] std::string describe() const;
  void state(State& state);

 private:
  friend class SequenceSchedule;
  friend class ChainedSchedule;
  friend class WrappedSchedule;
  friend class SeveralSchedules;

  struct Settings {
    std::optional<double> base = {};   // instead of the values of the groups
    std::optional<size_t> group = {};  // the only one that it sets
  };

  struct Model {
    virtual ~Model() = default;
    [[nodiscard]] virtual Owned<Model> clone() const = 0;
    [[nodiscard]] virtual double factor(const ScheduleTime& time) const = 0;
    [[nodiscard]] virtual Cadence cadence() const = 0;
    [[nodiscard]] virtual bool takes_value() const = 0;
    [[nodiscard]] virtual std::optional<Duration> length() const = 0;
    [[nodiscard]] virtual bool needs_total() const = 0;
    [[nodiscard]] virtual size_t parts_over(const ScheduleTime& time) const = 0;
    [[nodiscard]] virtual std::string describe_part(size_t part) const = 0;
    [[nodiscard]] virtual std::string describe() const = 0;
    virtual void on_value(double value) = 0;
    virtual void state(State& state) = 0;
    [[nodiscard]] virtual std::string monitor() const = 0;
    [[nodiscard]] virtual std::optional<Mode> mode() const = 0;
    [[nodiscard]] virtual ScheduleParts* parts() = 0;
    Settings settings;
  };

  template <class T>
  struct Holder final : Model {
    explicit Holder(T held) : type(std::move(held)) {}
    Owned<Model> clone() const override { return Owned<Model>(new Holder(type)); }
    double factor(const ScheduleTime& time) const override { return type.factor(time); }
    Cadence cadence() const override { return type.cadence; }
    bool takes_value() const override {
      if constexpr (requires { type.takes_value(); }) return type.takes_value();
      return requires(T & changed, double value) { changed.on_value(value); };
    }
    std::optional<Duration> length() const override {
      if constexpr (requires { type.length(); }) return type.length();
      return std::nullopt;
    }
    bool needs_total() const override {
      if constexpr (requires { type.needs_total(); }) return type.needs_total();
      return false;
    }
    size_t parts_over(const ScheduleTime& time) const override {
      if constexpr (requires { type.parts_over(time); }) return type.parts_over(time);
      return is_over(length(), time) ? 1 : 0;
    }
    std::string describe_part(size_t part) const override {
      if constexpr (requires { type.describe_part(part); }) return type.describe_part(part);
      return describe();
    }
    std::string describe() const override {
      if constexpr (requires { type.describe(); }) return type.describe();
      return "custom schedule";
    }
    void on_value(double value) override {
      if constexpr (requires { type.on_value(value); }) type.on_value(value);
    }
    void state(State& state) override {
      if constexpr (requires { type.state(state); }) type.state(state);
    }
    std::string monitor() const override {
      if constexpr (requires { type.monitor(); }) return type.monitor();
      return {};
    }
    std::optional<Mode> mode() const override {
      if constexpr (requires { type.mode(); }) return type.mode();
      return std::nullopt;
    }
    ScheduleParts* parts() override {
      if constexpr (requires { type.parts(); }) return &type.parts();
      return nullptr;
    }
    T type;
  };

  [[nodiscard]] static bool is_over(const std::optional<Duration>& length, const ScheduleTime& time);
  [[nodiscard]] Owned<Model> copy_model() const;
  [[nodiscard]] Schedule only_group(size_t group) const;
  [[nodiscard]] bool sets(size_t group) const;
  [[nodiscard]] double evaluate(const ScheduleTime& time) const;
  void begin_parts(Optimizer& optimizer, ScheduleParts& parts);
  void apply(Optimizer& optimizer, double factor);

  Owned<Model> model_;
  OptimizerField field_ = OptimizerField::lr;
  at::Tensor base_;  // float64 (groups)
  std::optional<double> applied_;
  ScheduleTime last_;
};

}  // namespace athanor
