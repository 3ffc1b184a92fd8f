// SPDX-License-Identifier: Apache-2.0
// Anything with a hook is a callback.
//
//     struct Halver {
//       void on_epoch_end(athanor::Trainer& trainer) {
//         for (auto& named : trainer.optimizers()) named.optimizer->set_lr(0, named.optimizer->lr() / 2);
//       }
//     };
//     model.fit(train, {.callbacks = {Halver{}, athanor::every(100_steps, [](athanor::Trainer& trainer) { … })}});
#pragma once

#include <array>
#include <concepts>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <typeinfo>
#include <utility>
#include <vector>

#include "athanor/core/duration.hpp"
#include "athanor/core/state.hpp"
#include "athanor/train/events.hpp"

namespace athanor {

class StepContext;
class Trainer;
struct Batch;
struct StepOutput;

/// The moments of a run, each with the hook of its name: `fit_begin` calls `on_fit_begin`. In the order of time:
///
///     fit_begin
///       epoch_begin
///         train_begin
///           train_batch_begin                     a window of micro-batches was fetched; `moment.batch` may be changed
///             forward_begin forward_end           for each optimizer that is due and each micro-batch
///             backward_begin backward_end
///             optimizer_begin optimizer_end       gradients are complete; optimizer_begin may veto the step; it is not
///                                                 told for an optimizer that evaluates the loss itself
///           train_batch_end
///           step_end                              the update is over: checkpoints lie here
///         train_end
///         check_begin                             the nets are about to be judged
///         validation_begin validation_batch_begin validation_batch_end … validation_end      for each loader
///         check                                   values of a validation, or of an epoch without one, are there
///         check_end                               training goes on with what is in the nets now
///       epoch_end
///     fit_closing                               the last update is done, the nets hold what training left in them
///     fit_end                                   others may be put in: the best, an average
///     test_begin … test_end, predict_begin … predict_end          the same as validation, outside of an epoch
///     save, load                                  around `save_state` and after `load_state`
///     exception                                   something was thrown and ends the run; the hooks can't prevent it
///
/// Hooks of one moment run in the order of the list, at every moment.
enum class Moment {
  fit_begin,
  fit_closing,
  fit_end,
  epoch_begin,
  epoch_end,
  train_begin,
  train_end,
  train_batch_begin,
  train_batch_end,
  forward_begin,
  forward_end,
  backward_begin,
  backward_end,
  optimizer_begin,
  optimizer_end,
  step_end,
  validation_begin,
  validation_end,
  validation_batch_begin,
  validation_batch_end,
  check_begin,
  check,
  check_end,
  test_begin,
  test_end,
  test_batch_begin,
  test_batch_end,
  predict_begin,
  predict_end,
  predict_batch_begin,
  predict_batch_end,
  save,
  load,
  exception,
  count_
};
inline constexpr size_t moment_count = static_cast<size_t>(Moment::count_);

/// What a hook may look at, and what it may change. Whatever does not belong to the moment is null or empty. Valid for
/// the time of the call.
struct MomentInfo {
  Moment moment = Moment::count_;
  Stage stage = Stage::train;
  std::string_view loader = {};          ///< Name of the validation, test or prediction data.
  Batch* batch = nullptr;                ///< On the device. At `train_batch_begin` it may be changed.
  const StepContext* context = nullptr;  ///< Epoch, step, number of the batch.
  /// What the step handed back. At `forward_end` its target may be changed: metrics compare with that.
  StepOutput* output = nullptr;
  std::string_view optimizer = {};  ///< The optimizer that is due.
  bool veto = false;                ///< Set it at `optimizer_begin` to leave the step out.
  std::exception_ptr exception = nullptr;
};

namespace detail {

/// One struct for each moment: whether T has the hook, with or without MomentInfo, and the call.
template <Moment moment>
struct HookOf;

#define ATHANOR_HOOK(NAME)                                                                         \
  template <>                                                                                      \
  struct HookOf<Moment::NAME> {                                                                    \
    static constexpr const char* name = "on_" #NAME;                                               \
    template <class T>                                                                             \
    static constexpr bool with_info = requires(T & callback, Trainer& trainer, MomentInfo& info) { \
      callback.on_##NAME(trainer, info);                                                           \
    };                                                                                             \
    template <class T>                                                                             \
    static constexpr bool exists = with_info<T> || requires(T & callback, Trainer& trainer) {      \
      callback.on_##NAME(trainer);                                                                 \
    };                                                                                             \
    template <class T>                                                                             \
    static void call(T& callback, Trainer& trainer, MomentInfo& info) {                            \
      if constexpr (with_info<T>) {                                                                \
        callback.on_##NAME(trainer, info);                                                         \
      } else if constexpr (exists<T>) {                                                            \
        callback.on_##NAME(trainer);                                                               \
      }                                                                                            \
    }                                                                                              \
  };
ATHANOR_HOOK(fit_begin)
ATHANOR_HOOK(fit_closing)
ATHANOR_HOOK(fit_end)
ATHANOR_HOOK(epoch_begin)
ATHANOR_HOOK(epoch_end)
ATHANOR_HOOK(train_begin)
ATHANOR_HOOK(train_end)
ATHANOR_HOOK(train_batch_begin)
ATHANOR_HOOK(train_batch_end)
ATHANOR_HOOK(forward_begin)
ATHANOR_HOOK(forward_end)
ATHANOR_HOOK(backward_begin)
ATHANOR_HOOK(backward_end)
ATHANOR_HOOK(optimizer_begin)
ATHANOR_HOOK(optimizer_end)
ATHANOR_HOOK(step_end)
ATHANOR_HOOK(validation_begin)
ATHANOR_HOOK(validation_end)
ATHANOR_HOOK(validation_batch_begin)
ATHANOR_HOOK(validation_batch_end)
ATHANOR_HOOK(check_begin)
ATHANOR_HOOK(check)
ATHANOR_HOOK(check_end)
ATHANOR_HOOK(test_begin)
ATHANOR_HOOK(test_end)
ATHANOR_HOOK(test_batch_begin)
ATHANOR_HOOK(test_batch_end)
ATHANOR_HOOK(predict_begin)
ATHANOR_HOOK(predict_end)
ATHANOR_HOOK(predict_batch_begin)
ATHANOR_HOOK(predict_batch_end)
ATHANOR_HOOK(save)
ATHANOR_HOOK(load)
ATHANOR_HOOK(exception)
#undef ATHANOR_HOOK

template <class T, size_t... I>
constexpr bool has_any_hook(std::index_sequence<I...>) {
  return (HookOf<static_cast<Moment>(I)>::template exists<T> || ...);
}
template <class T>
inline constexpr bool any_hook = has_any_hook<T>(std::make_index_sequence<moment_count>{});

/// A callback that decides at run time which moments it wants.
template <class T>
concept HookForAll = requires(T& callback, Moment moment, Trainer& trainer, MomentInfo& info) {
  { callback.watches(moment) } -> std::convertible_to<bool>;
  callback.on(trainer, info);
};

}  // namespace detail

/// A type with at least one hook: `void on_MOMENT(Trainer&)` or `void on_MOMENT(Trainer&, MomentInfo&)`, called on the
/// training thread; or with `bool watches(Moment) const` and `void on(Trainer&, MomentInfo&)` for all of them. A hook
/// costs its time at each of its moments, and nothing at the others.
///
/// A callback with `void state(State&)` is saved and loaded with the run; one that saves the run in `on_epoch_end`
/// stands behind those whose state it saves. Two callbacks of one type are refused unless the type says `static
/// constexpr bool several = true`, or they watch different things and say so by `std::string key() const`. What a hook
/// throws ends the run.
template <class T>
concept CallbackClass = detail::any_hook<T> || detail::HookForAll<T>;

/// Any callback under one type. Give an object to hand it over, or a shared_ptr to read its results afterwards.
class Callback {
 public:
  template <class T>
  requires(!std::same_as<std::remove_cvref_t<T>, Callback>) Callback(T callback)
      : Callback(std::make_shared<T>(std::move(callback))) {}

  template <class T>
  Callback(std::shared_ptr<T> callback) {
    static_assert(
        CallbackClass<T>,
        "athanor: a callback has at least one public hook, such as on_fit_begin, on_step_end, on_epoch_end or "
        "on_fit_end, each taking athanor::Trainer& (athanor/train/callback.hpp lists them)");
    if constexpr (CallbackClass<T>) held_ = std::make_shared<Of<T>>(std::move(callback));
  }

  void call(Trainer& trainer, MomentInfo& info) const { held_->call(trainer, info); }
  [[nodiscard]] bool watches(Moment moment) const noexcept { return held_->watches(moment); }
  void state(State& state) { held_->state(state); }
  /// What makes it one of a kind; empty when there may be several.
  [[nodiscard]] std::string key() const { return held_->key(); }
  /// Whether both are the same object.
  friend bool operator==(const Callback& a, const Callback& b) noexcept { return a.held_ == b.held_; }

 private:
  struct Held {
    virtual ~Held() = default;
    virtual void call(Trainer& trainer, MomentInfo& info) = 0;
    [[nodiscard]] virtual bool watches(Moment moment) const noexcept = 0;
    [[nodiscard]] virtual std::string key() const = 0;
    virtual void state(State&) = 0;
  };
  template <class T>
  struct Of;

  std::shared_ptr<Held> held_;
};

template <class T>
struct Callback::Of final : Held {
  using Table = std::array<void (*)(T&, Trainer&, MomentInfo&), moment_count>;

  explicit Of(std::shared_ptr<T> callback) : callback(std::move(callback)) {}
  void call(Trainer& trainer, MomentInfo& info) override {
    if constexpr (detail::HookForAll<T>) {
      callback->on(trainer, info);
    } else {
      table[static_cast<size_t>(info.moment)](*callback, trainer, info);
    }
  }
  bool watches(Moment moment) const noexcept override {
    if constexpr (detail::HookForAll<T>) {
      return callback->watches(moment);
    } else {
      return table[static_cast<size_t>(moment)] != nullptr;
    }
  }
  std::string key() const override {
    if constexpr (requires { callback->key(); }) {
      return callback->key();
    } else if constexpr (requires { T::several; }) {
      return {};
    } else {
      return std::string(typeid(T).name());
    }
  }
  void state(State& state) override {
    if constexpr (Stateful<T>) callback->state(state);
  }

  template <size_t... I>
  static constexpr Table make_table(std::index_sequence<I...>) {
    return {(detail::HookOf<static_cast<Moment>(I)>::template exists<T>
                 ? &detail::HookOf<static_cast<Moment>(I)>::template call<T>
                 : nullptr)...};
  }
  static constexpr Table table = make_table(std::make_index_sequence<moment_count>{});
  std::shared_ptr<T> callback;
};

using Callbacks = std::vector<Callback>;

/// The name of the hook: `on_fit_begin`.
[[nodiscard]] std::string_view hook_name(Moment moment) noexcept;

/// Callbacks sorted by the moments that they watch, so that a moment that nobody watches costs one comparison.
class Moments {
 public:
  /// Throws Error when there are two of one kind. Binding the same callbacks again changes nothing, so that it may be
  /// done within a moment.
  void bind(const Callbacks& callbacks);
  [[nodiscard]] bool watched(Moment moment) const noexcept { return !lists_[static_cast<size_t>(moment)].empty(); }
  void tell(Moment moment, Trainer& trainer, MomentInfo& info) const;
  void tell(Moment moment, Trainer& trainer) const;

 private:
  std::array<std::vector<Callback>, moment_count> lists_;
};

/// Calls `action` in the first moment after each multiple of `interval` has passed, counted from the beginning of the
/// run: `every(500_steps, …)`, `every(0.5_epochs, …)`, `every(10_minutes, …)`.
class Every {
 public:
  static constexpr bool several = true;
  Every(Duration interval, std::function<void(Trainer&)> action);
  void on_step_end(Trainer& trainer);

 private:
  Duration interval_;
  std::function<void(Trainer&)> action_;
};
[[nodiscard]] inline Every every(Duration interval, std::function<void(Trainer&)> action) {
  return {interval, std::move(action)};
}

/// A callback out of one function: `At(Moment::train_end, [](Trainer& trainer, MomentInfo&) { … })`.
class At {
 public:
  static constexpr bool several = true;
  using Action = std::function<void(Trainer&, MomentInfo&)>;
  At(Moment moment, Action action);
  [[nodiscard]] bool watches(Moment moment) const noexcept { return moment == moment_; }
  void on(Trainer& trainer, MomentInfo& info) { action_(trainer, info); }

 private:
  Moment moment_;
  Action action_;
};

}  // namespace athanor
