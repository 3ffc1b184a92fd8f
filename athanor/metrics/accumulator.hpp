// SPDX-License-Identifier: Apache-2.0
// Values that can be added up: what a step hands back for an epoch, whatever its kind.
//
//     athanor::Accumulator loss = athanor::WeightedMean(0.25, 32);
//     loss.merge(athanor::WeightedMean(1.0, 4));   // the last, short batch
//     loss.compute().real();                       // (0.25 * 32 + 1.0 * 4) / 36
//
//     struct Pairs {                               // one of your own
//       int64_t right = 0, all = 0;
//       void merge(const Pairs& other) { right += other.right, all += other.all; }
//       double compute() const { return static_cast<double>(right) / static_cast<double>(all); }
//       void state(athanor::State& state) { state.value("right", right), state.value("all", all); }
//     };
#pragma once

#include <concepts>
#include <string>
#include <string_view>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include "athanor/core/owned.hpp"
#include "athanor/core/state.hpp"
#include "athanor/core/tree.hpp"
#include "athanor/core/values.hpp"

namespace athanor {

/// Whether more is better. A monitor takes its mode from here.
enum class Direction { unknown, up, down };

/// A class whose objects can be added up. `merge` adds what another one holds, so that the result over any split of the
/// data equals the result over the whole; `compute` gives a number, a tensor, or a dictionary of numbers, and throws
/// Error when there is nothing to compute. A copy accumulates on its own.
///
/// Three more members are used where a class has them: `Direction direction() const`; `bool empty() const`, true before
/// anything was added; `bool live() const`, false when `compute` takes too long to be called several times a second.
template <class T>
concept AccumulatorClass = std::copy_constructible<T> && Stateful<T> && requires(T value, const T& other) {
  value.merge(other);
  { other.compute() } -> std::convertible_to<Tree>;
};

namespace metrics::detail {

/// The name of a type as its author wrote it.
[[nodiscard]] std::string type_name(const std::type_info& type);

/// Adds a result to `values`: a number or scalar tensor under `prefix` + `name`, a dictionary under `name_entry`, or
/// `entry` alone when `name` is empty. Larger tensors are left out. Waits for the device. Throws Error for a single
/// number without a name.
void report(Values& values, std::string_view prefix, const std::string& name, const Tree& result);

template <class T>
[[nodiscard]] Direction direction_of(const T& object) {
  if constexpr (requires {
                  { object.direction() } -> std::convertible_to<Direction>;
                }) {
    return object.direction();
  } else {
    return Direction::unknown;
  }
}

template <class T>
[[nodiscard]] bool is_empty(const T& object) {
  if constexpr (requires {
                  { object.empty() } -> std::convertible_to<bool>;
                }) {
    return object.empty();
  } else {
    return false;
  }
}

template <class T>
[[nodiscard]] bool is_live(const T& object) {
  if constexpr (requires {
                  { object.live() } -> std::convertible_to<bool>;
                }) {
    return object.live();
  } else {
    return true;
  }
}

}  // namespace metrics::detail

/// Any accumulator under one type. A value: a copy accumulates on its own.
class Accumulator {
 public:
  /// Takes WeightedMean, Sum, Last, Minimum, Maximum, KeepAll, a confusion matrix, or a class of yours.
  template <class T>
  requires(!std::same_as<T, Accumulator> && AccumulatorClass<T>) Accumulator(T value)
      : held_(new Of<T>(std::move(value))) {}

  Accumulator(const Accumulator& other) : held_(other.held_->clone()) {}
  Accumulator& operator=(const Accumulator& other) { return *this = Accumulator(other); }
  Accumulator(Accumulator&&) noexcept = default;
  Accumulator& operator=(Accumulator&&) noexcept = default;
  ~Accumulator() = default;

  /// Adds what `other` holds. Throws Error when it is of another type; both types are named.
  void merge(const Accumulator& other);
  /// Waits for the device where the held one does. Throws what the held one throws.
  [[nodiscard]] Tree compute() const { return held_->compute(); }
  void state(State& state) { held_->state(state); }

  [[nodiscard]] Direction direction() const { return held_->direction(); }
  /// False for a class that does not tell.
  [[nodiscard]] bool empty() const { return held_->empty(); }
  /// Whether `compute` is cheap enough for a live display. True for a class that does not tell.
  [[nodiscard]] bool live() const { return held_->live(); }
  /// The name of the held type, for messages.
  [[nodiscard]] std::string kind() const { return metrics::detail::type_name(held_->type()); }

  /// The held object, or null when it is of another type. Lives as long as this one and is replaced by assignments.
  template <class T>
  [[nodiscard]] T* target() noexcept {
    return held_->type() == typeid(T) ? &static_cast<Of<T>&>(*held_).value : nullptr;
  }

 private:
  struct Held {
    virtual ~Held() = default;
    [[nodiscard]] virtual const std::type_info& type() const noexcept = 0;
    [[nodiscard]] virtual Owned<Held> clone() const = 0;
    virtual void merge(const Held& other) = 0;
    [[nodiscard]] virtual Tree compute() const = 0;
    virtual void state(State& state) = 0;
    [[nodiscard]] virtual Direction direction() const = 0;
    [[nodiscard]] virtual bool empty() const = 0;
    [[nodiscard]] virtual bool live() const = 0;
  };

  template <class T>
  struct Of final : Held {
    explicit Of(T value) : value(std::move(value)) {}
    const std::type_info& type() const noexcept override { return typeid(T); }
    Owned<Held> clone() const override { return Owned<Held>(new Of(value)); }
    void merge(const Held& other) override { value.merge(static_cast<const Of&>(other).value); }
    Tree compute() const override { return value.compute(); }
    void state(State& state) override { value.state(state); }
    Direction direction() const override { return metrics::detail::direction_of(value); }
    bool empty() const override { return metrics::detail::is_empty(value); }
    bool live() const override { return metrics::detail::is_live(value); }
    T value;
  };

  Owned<Held> held_;
};

}  // namespace athanor
