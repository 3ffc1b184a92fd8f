// SPDX-License-Identifier: Apache-2.0
// A metric: an accumulator over batches with a name and a direction.
//
//     athanor::Metrics metrics = {athanor::metrics::accuracy(),                               // "acc"
//                                 {"top3", athanor::metrics::accuracy({.top_k = 3})},
//                                 {"bias", [](const at::Tensor& predictions, const at::Tensor& target) {
//                                    return (predictions - target).mean();
//                                  }}};
//
// accumulate.hpp has what a function needs whose value over all data is not the mean of its values over the batches.
#pragma once

#include <concepts>
#include <optional>
#include <string>
#include <string_view>
#include <typeinfo>
#include <utility>
#include <vector>

#include "athanor/core/owned.hpp"
#include "athanor/core/state.hpp"
#include "athanor/core/tree.hpp"
#include "athanor/core/values.hpp"
#include "athanor/metrics/accumulator.hpp"
#include "athanor/metrics/metric_function.hpp"
#include "athanor/metrics/weighted_mean.hpp"

namespace athanor {

/// A class that is a metric: an accumulator with an `update`, which takes predictions and targets of one batch, on any
/// device, and reads nothing back to the host where that would wait for it. `update` takes two tensors, the first ones
/// of what a step handed back; or two Trees, all of it; or two Trees and the samples of the batch (int64_t).
template <class T>
concept MetricClass = AccumulatorClass<T> && requires(T metric) {
  metric.reset();
} &&(
    requires(T metric, const at::Tensor& predictions, const at::Tensor& target) {
      metric.update(predictions, target);
    } ||
    requires(T metric, const Tree& predictions, const Tree& target) { metric.update(predictions, target, int64_t{}); });

/// Any metric under one type. A value: a copy accumulates on its own.
class Metric {
 public:
  /// `metrics::accuracy()` under its own name.
  template <class T>
  requires(!std::same_as<std::remove_cvref_t<T>, Metric> && requires(const T& metric) { metric.name(); } &&
           MetricClass<std::remove_cvref_t<T>>) Metric(T metric)
      // Braces, because they keep the order: a name that lies in the metric is copied before it moves.
      : Metric{std::string(metric.name()), std::move(metric)} {}

  /// Any metric class, or function under the name that you give it. A plain function is averaged over batches, weighted
  /// by samples. A metric of several values may have an empty name.
  template <class T>
  Metric(std::string name, T metric) : name_(std::move(name)) {
    static_assert(MetricClass<T> || MetricFunction<T> || std::same_as<T, Metric>,
                  "athanor: a metric is a class with update(predictions, target), merge(other), compute(), reset() and "
                  "state(State&), or a function of (predictions, target) that returns a number, a scalar tensor, or a "
                  "dictionary of these");
    if constexpr (std::same_as<T, Metric>) {
      held_ = std::move(metric.held_);
      direction_ = metric.direction_;
    } else if constexpr (MetricClass<T>) {
      held_.reset(new Of<T>(std::move(metric)));
    } else if constexpr (MetricFunction<T>) {
      held_.reset(new Of<accumulate::MeanOf<T>>(accumulate::MeanOf<T>(std::move(metric))));
    }
  }

  Metric(const Metric& other) : name_(other.name_), direction_(other.direction_), held_(other.held_->clone()) {}
  Metric& operator=(const Metric& other) { return *this = Metric(other); }
  Metric(Metric&&) noexcept = default;
  Metric& operator=(Metric&&) noexcept = default;
  ~Metric() = default;

  /// This metric with a direction, so that a monitor of it needs no mode. Unset: what the class says, for a function
  /// nothing.
  [[nodiscard]] Metric higher_is_better() const { return directed(Direction::up); }
  [[nodiscard]] Metric lower_is_better() const { return directed(Direction::down); }

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] Direction direction() const { return direction_ ? *direction_ : held_->direction(); }
  /// True for a class that tells so: nothing was seen yet.
  [[nodiscard]] bool empty() const { return held_->empty(); }
  /// Whether `compute` is cheap enough for a live display. True for a class that does not tell.
  [[nodiscard]] bool live() const { return held_->live(); }

  /// Whether both are of one class that says (by `alike(other)`) that they count and compute the same, and have seen
  /// nothing: one may then stand for both. False for functions.
  [[nodiscard]] bool alike(const Metric& other) const {
    return held_->type() == other.held_->type() && empty() && other.empty() && held_->alike(*other.held_);
  }

  /// Adds a batch. `samples` weights a function's value.
  void update(const Tree& predictions, const Tree& target, int64_t samples) {
    held_->update(predictions, target, samples);
  }
  /// Adds what `other`, a metric of the same kind, has seen. Throws Error for another kind.
  void merge(const Metric& other);
  /// Throws Error when nothing was seen.
  [[nodiscard]] Tree compute() const { return held_->compute(); }
  /// Adds the result to `values`: a number or scalar tensor under the name, a dictionary under `name_entry`, or `entry`
  /// when the name is empty; larger tensors are left out. Throws Error when nothing was seen, and for a single number
  /// without a name.
  void report(Values& values, std::string_view prefix) const;
  void reset() { held_->reset(); }
  void state(State& state) { held_->state(state); }

 private:
  struct Held {
    virtual ~Held() = default;
    [[nodiscard]] virtual const std::type_info& type() const noexcept = 0;
    [[nodiscard]] virtual Owned<Held> clone() const = 0;
    [[nodiscard]] virtual Direction direction() const = 0;
    [[nodiscard]] virtual bool empty() const = 0;
    [[nodiscard]] virtual bool live() const = 0;
    virtual void update(const Tree& predictions, const Tree& target, int64_t samples) = 0;
    virtual void merge(const Held& other) = 0;
    [[nodiscard]] virtual Tree compute() const = 0;
    virtual void reset() = 0;
    virtual void state(State& state) = 0;
    [[nodiscard]] virtual bool alike(const Held& other) const = 0;
  };
  template <class T>
  struct Of;

  [[nodiscard]] Metric directed(Direction direction) const {
    Metric copy = *this;
    copy.direction_ = direction;
    return copy;
  }

  std::string name_;
  std::optional<Direction> direction_;
  Owned<Held> held_;
};

using Metrics = std::vector<Metric>;

template <class T>
struct Metric::Of final : Held {
  explicit Of(T metric) : metric(std::move(metric)) {}
  const std::type_info& type() const noexcept override { return typeid(T); }
  Owned<Held> clone() const override { return Owned<Held>(new Of(metric)); }
  Direction direction() const override { return metrics::detail::direction_of(metric); }
  bool empty() const override { return metrics::detail::is_empty(metric); }
  bool live() const override { return metrics::detail::is_live(metric); }
  void update(const Tree& predictions, const Tree& target, int64_t samples) override {
    if constexpr (requires { metric.update(predictions, target, samples); }) {
      metric.update(predictions, target, samples);
    } else if constexpr (requires { metric.update(predictions, target); }) {
      metric.update(predictions, target);
    } else {
      metric.update(predictions.first_tensor(), target.first_tensor());
    }
  }
  void merge(const Held& other) override { metric.merge(static_cast<const Of&>(other).metric); }
  Tree compute() const override { return metric.compute(); }
  void reset() override { metric.reset(); }
  void state(State& state) override { metric.state(state); }
  bool alike(const Held& other) const override {
    if constexpr (requires(const T& one) {
                    { one.alike(one) } -> std::convertible_to<bool>;
                  }) {
      return metric.alike(static_cast<const Of&>(other).metric);
    } else {
      return false;
    }
  }
  T metric;
};

}  // namespace athanor
