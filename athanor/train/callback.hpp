// SPDX-License-Identifier: Apache-2.0
// Anything with a hook is a callback.
//
//     struct Halver {
//       void on_epoch_end(athanor::Trainer& trainer) {
//         for (auto& named : trainer.optimizers()) named.optimizer->set_lr(0, named.optimizer->lr() / 2);
//       }
//     };
//     model.fit(train, {.callbacks = {Halver{}}});
#pragma once

#include <concepts>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "athanor/core/state.hpp"

namespace athanor {

class Trainer;

namespace detail {
template <class T>
concept HasFitBegin = requires(T& callback, Trainer& trainer) {
  callback.on_fit_begin(trainer);
};
template <class T>
concept HasEpochBegin = requires(T& callback, Trainer& trainer) {
  callback.on_epoch_begin(trainer);
};
template <class T>
concept HasStepEnd = requires(T& callback, Trainer& trainer) {
  callback.on_step_end(trainer);
};
template <class T>
concept HasEpochEnd = requires(T& callback, Trainer& trainer) {
  callback.on_epoch_end(trainer);
};
template <class T>
concept HasFitEnd = requires(T& callback, Trainer& trainer) {
  callback.on_fit_end(trainer);
};
}  // namespace detail

/// A type with at least one hook, each `void hook(Trainer&)`, called on the training thread in the order of the list:
///
/// - `on_fit_begin`: everything is set up and checked, no step was made; the place to check one's own options.
/// - `on_epoch_begin`
/// - `on_step_end`: after each optimizer step. It costs its time in every step.
/// - `on_epoch_end`: after training and validation of an epoch; `trainer.values()` holds its values.
/// - `on_fit_end`: after the last epoch, also when the run was stopped; not after an exception.
///
/// A callback with `void state(State&)` is saved and loaded with the run; one that saves the run in `on_epoch_end` stands
/// behind those whose state it saves. What a hook throws ends the run.
template <class T>
concept CallbackClass = detail::HasFitBegin<T> || detail::HasEpochBegin<T> || detail::HasStepEnd<T> ||
    detail::HasEpochEnd<T> || detail::HasFitEnd<T>;

/// Any callback under one type. Give an object to hand it over, or a shared_ptr to read its results afterwards.
class Callback {
 public:
  template <class T>
  requires(!std::same_as<std::remove_cvref_t<T>, Callback>) Callback(T callback)
      : Callback(std::make_shared<T>(std::move(callback))) {}

  template <class T>
  Callback(std::shared_ptr<T> callback) {
    static_assert(CallbackClass<T>,
                  "athanor: a callback has at least one public hook: on_fit_begin, on_epoch_begin, on_step_end, "
                  "on_epoch_end or on_fit_end, each taking athanor::Trainer&");
    if constexpr (CallbackClass<T>) held_ = std::make_shared<Of<T>>(std::move(callback));
  }

  void on_fit_begin(Trainer& trainer) { held_->on_fit_begin(trainer); }
  void on_epoch_begin(Trainer& trainer) { held_->on_epoch_begin(trainer); }
  void on_step_end(Trainer& trainer) { held_->on_step_end(trainer); }
  void on_epoch_end(Trainer& trainer) { held_->on_epoch_end(trainer); }
  void on_fit_end(Trainer& trainer) { held_->on_fit_end(trainer); }
  [[nodiscard]] bool watches_steps() const noexcept { return held_->watches_steps(); }
  void state(State& state) { held_->state(state); }

 private:
  struct Held {
    virtual ~Held() = default;
    virtual void on_fit_begin(Trainer&) = 0;
    virtual void on_epoch_begin(Trainer&) = 0;
    virtual void on_step_end(Trainer&) = 0;
    virtual void on_epoch_end(Trainer&) = 0;
    virtual void on_fit_end(Trainer&) = 0;
    [[nodiscard]] virtual bool watches_steps() const noexcept = 0;
    virtual void state(State&) = 0;
  };
  template <class T>
  struct Of final : Held {
    explicit Of(std::shared_ptr<T> callback) : callback(std::move(callback)) {}
    void on_fit_begin(Trainer& trainer) override {
      if constexpr (detail::HasFitBegin<T>) callback->on_fit_begin(trainer);
    }
    void on_epoch_begin(Trainer& trainer) override {
      if constexpr (detail::HasEpochBegin<T>) callback->on_epoch_begin(trainer);
    }
    void on_step_end(Trainer& trainer) override {
      if constexpr (detail::HasStepEnd<T>) callback->on_step_end(trainer);
    }
    void on_epoch_end(Trainer& trainer) override {
      if constexpr (detail::HasEpochEnd<T>) callback->on_epoch_end(trainer);
    }
    void on_fit_end(Trainer& trainer) override {
      if constexpr (detail::HasFitEnd<T>) callback->on_fit_end(trainer);
    }
    bool watches_steps() const noexcept override { return detail::HasStepEnd<T>; }
    void state(State& state) override {
      if constexpr (Stateful<T>) callback->state(state);
    }
    std::shared_ptr<T> callback;
  };

  std::shared_ptr<Held> held_;
};

using Callbacks = std::vector<Callback>;

}  // namespace athanor
