// SPDX-License-Identifier: Apache-2.0
// A metric: an accumulator over batches with a name and a direction.
//
//     athanor::Metrics metrics = {athanor::metrics::accuracy(),                               // "acc"
//                                 {"top3", athanor::metrics::accuracy({.top_k = 3})},
//                                 {"bias", [](const at::Tensor& predictions, const at::Tensor& target) {
//                                    return (predictions - target).mean();
//                                  }}};
#pragma once

#include <concepts>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "athanor/core/state.hpp"
#include "athanor/core/tree.hpp"
#include "athanor/core/values.hpp"

namespace athanor {

/// Whether more is better. A monitor takes its mode from here.
enum class Direction { unknown, up, down };

/// A class that is a metric. `update` takes predictions and targets of one batch, on any device, and reads nothing
/// back to the host where that would wait for it; `merge` adds what another one of the same kind has seen, so that
/// the result over any split of the data equals the result over the whole; `compute` gives a number, a tensor, or a
/// dictionary of numbers, of all that was seen since `reset`, and throws Error when nothing was seen.
template <class T>
concept MetricClass = std::copy_constructible<T> && Stateful<T> &&
    requires(T metric, const T& other, const at::Tensor& predictions, const at::Tensor& target) {
  metric.update(predictions, target);
  metric.merge(other);
  { other.compute() } -> std::convertible_to<Tree>;
  metric.reset();
};

/// A function of (predictions, targets) that gives one number for a batch. Its mean over batches is weighted by their
/// samples. Right for values that are means over samples; wrong for ratios such as precision: make those a class.
template <class F>
concept MetricFunction = std::invocable<F&, const at::Tensor&, const at::Tensor&> &&
    (std::convertible_to<std::invoke_result_t<F&, const at::Tensor&, const at::Tensor&>, double> ||
     std::convertible_to<std::invoke_result_t<F&, const at::Tensor&, const at::Tensor&>, at::Tensor>);

/// Any metric under one type. A value: a copy accumulates on its own.
class Metric {
 public:
  /// `metrics::accuracy()` under its own name.
  template <class T>
  requires(!std::same_as<std::remove_cvref_t<T>, Metric> && MetricClass<std::remove_cvref_t<T>> &&
           requires(const T& metric) { metric.name(); }) Metric(T metric)
      : Metric(std::string(metric.name()), std::move(metric)) {}

  /// Any metric class or function under the name that you give it.
  template <class T>
  Metric(std::string name, T metric) : name_(std::move(name)) {
    using Plain = std::remove_cvref_t<T>;
    static_assert(MetricClass<Plain> || MetricFunction<Plain> || std::same_as<Plain, Metric>,
                  "athanor: a metric is a class with update(predictions, target), merge(other), compute(), reset() and "
                  "state(State&), or a function of (predictions, target) that returns a number or a scalar tensor");
    if constexpr (std::same_as<Plain, Metric>) {
      held_ = std::move(metric.held_);
    } else if constexpr (MetricClass<Plain>) {
      held_ = std::make_unique<OfClass<Plain>>(std::move(metric));
    } else if constexpr (MetricFunction<Plain>) {
      held_ = std::make_unique<OfFunction<Plain>>(std::move(metric));
    }
  }

  Metric(const Metric& other) : name_(other.name_), held_(other.held_->clone()) {}
  Metric& operator=(const Metric& other) { return *this = Metric(other); }
  Metric(Metric&&) noexcept = default;
  Metric& operator=(Metric&&) noexcept = default;
  ~Metric() = default;

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] Direction direction() const { return held_->direction(); }

  /// Adds a batch. Predictions and targets that are no single tensor reach a metric through its first tensor.
  /// `samples` weights a function's value.
  void update(const Tree& predictions, const Tree& target, int64_t samples) {
    held_->update(predictions, target, samples);
  }
  /// Adds what `other`, a metric of the same kind, has seen. Throws Error for another kind.
  void merge(const Metric& other);
  [[nodiscard]] Tree compute() const { return held_->compute(); }
  /// Adds the result to `values`: a number or scalar tensor under the name, a dictionary under `name_entry`; larger
  /// tensors are left out.
  void report(Values& values, std::string_view prefix) const;
  void reset() { held_->reset(); }
  void state(State& state) { held_->state(state); }

 private:
  struct Held {
    virtual ~Held() = default;
    [[nodiscard]] virtual std::unique_ptr<Held> clone() const = 0;
    [[nodiscard]] virtual Direction direction() const = 0;
    virtual void update(const Tree& predictions, const Tree& target, int64_t samples) = 0;
    virtual bool merge(const Held& other) = 0;
    [[nodiscard]] virtual Tree compute() const = 0;
    virtual void reset() = 0;
    virtual void state(State& state) = 0;
  };
  template <class T>
  struct OfClass;
  template <class F>
  struct OfFunction;

  std::string name_;
  std::unique_ptr<Held> held_;
};

using Metrics = std::vector<Metric>;

/// A mean weighted by samples, as every loss and every function metric is accumulated. Numbers on the CPU are added in
/// double on the host; tensors on another device are added there and read when `compute` is called.
class WeightedMean {
 public:
  WeightedMean() = default;
  /// A copy accumulates on its own, on the device too.
  WeightedMean(const WeightedMean& other);
  WeightedMean& operator=(const WeightedMean& other) { return *this = WeightedMean(other); }
  WeightedMean(WeightedMean&&) noexcept = default;
  WeightedMean& operator=(WeightedMean&&) noexcept = default;

  /// `value`: a scalar tensor of any floating dtype, or a number. `weight`: samples, tokens, nodes.
  void update(const at::Tensor& value, double weight);
  void update(double value, double weight);
  void merge(const WeightedMean& other);
  /// Waits for the device. Throws Error when the total weight is 0.
  [[nodiscard]] double compute() const;
  [[nodiscard]] bool empty() const noexcept { return weight_ == 0; }
  void reset();
  void state(State& state);

 private:
  double sum_ = 0;
  double weight_ = 0;
  at::Tensor device_sum_;  // float64 where the device has it, else float32; undefined on the CPU
};

template <class T>
struct Metric::OfClass final : Held {
  explicit OfClass(T metric) : metric(std::move(metric)) {}
  std::unique_ptr<Held> clone() const override { return std::make_unique<OfClass>(metric); }
  Direction direction() const override {
    if constexpr (requires {
                    { metric.direction() } -> std::convertible_to<Direction>;
                  }) {
      return metric.direction();
    } else {
      return Direction::unknown;
    }
  }
  void update(const Tree& predictions, const Tree& target, int64_t) override {
    if constexpr (requires { metric.update(predictions, target); }) {
      metric.update(predictions, target);
    } else {
      metric.update(predictions.first_tensor(), target.first_tensor());
    }
  }
  bool merge(const Held& other) override {
    const auto* same = dynamic_cast<const OfClass*>(&other);
    if (same == nullptr) return false;
    metric.merge(same->metric);
    return true;
  }
  Tree compute() const override { return metric.compute(); }
  void reset() override { metric.reset(); }
  void state(State& state) override { metric.state(state); }
  T metric;
};

template <class F>
struct Metric::OfFunction final : Held {
  explicit OfFunction(F function) : function(std::move(function)) {}
  std::unique_ptr<Held> clone() const override { return std::make_unique<OfFunction>(*this); }
  Direction direction() const override { return Direction::unknown; }
  void update(const Tree& predictions, const Tree& target, int64_t samples) override {
    mean.update(function(predictions.first_tensor(), target.first_tensor()), static_cast<double>(samples));
  }
  bool merge(const Held& other) override {
    const auto* same = dynamic_cast<const OfFunction*>(&other);
    if (same == nullptr) return false;
    mean.merge(same->mean);
    return true;
  }
  Tree compute() const override { return mean.compute(); }
  void reset() override { mean.reset(); }
  void state(State& state) override { state.child("mean", mean); }
  F function;
  WeightedMean mean;
};

}  // namespace athanor
