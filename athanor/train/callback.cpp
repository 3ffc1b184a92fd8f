// SPDX-License-Identifier: Apache-2.0
// Moments, and the callbacks that are made out of functions.
#include "athanor/train/callback.hpp"

#include <c10/util/Type.h>

#include <algorithm>
#include <set>

#include "athanor/core/error.hpp"
#include "athanor/train/trainer.hpp"

namespace athanor {
namespace {

template <size_t... I>
constexpr std::array<const char*, moment_count> names_of(std::index_sequence<I...>) {
  return {detail::HookOf<static_cast<Moment>(I)>::name...};
}
constexpr auto names = names_of(std::make_index_sequence<moment_count>{});

}  // namespace

std::string_view hook_name(Moment moment) noexcept { return names[static_cast<size_t>(moment)]; }

void Moments::bind(const Callbacks& callbacks) {
  std::set<std::string> keys;
  for (const Callback& callback : callbacks) {
    const std::string key = callback.key();
    if (!key.empty() && !keys.insert(key).second) {
      throw Error({.what = "two callbacks of one kind",
                   .where = "callbacks",
                   .got = c10::demangle(key.c_str()),
                   .expected = "one of a kind",
                   .todo = "leave one out; a type of which there may be several says static constexpr bool several = "
                           "true"});
    }
  }
  for (size_t i = 0; i < moment_count; ++i) {
    std::vector<Callback> list;
    std::copy_if(callbacks.begin(), callbacks.end(), std::back_inserter(list),
                 [&](const Callback& callback) { return callback.watches(static_cast<Moment>(i)); });
    if (list != lists_[i]) lists_[i] = std::move(list);
  }
}

void Moments::tell(Moment moment, Trainer& trainer, MomentInfo& info) const {
  const auto& list = lists_[static_cast<size_t>(moment)];
  if (list.empty()) return;
  info.moment = moment;
  for (const Callback& callback : list) callback.call(trainer, info);
}

void Moments::tell(Moment moment, Trainer& trainer) const {
  if (!watched(moment)) return;
  MomentInfo info;
  tell(moment, trainer, info);
}

Every::Every(Duration interval, std::function<void(Trainer&)> action)
    : interval_(interval), action_(std::move(action)) {
  if (interval_.count() > 0) return;
  throw Error({.what = "an interval of nothing",
               .where = "every",
               .got = interval_.describe(),
               .expected = "more than 0 steps, epochs, samples or seconds"});
}

void Every::on_step_end(Trainer& trainer) {
  if (interval_.passed(trainer.elapsed_before_update(), trainer.position().elapsed())) action_(trainer);
}

At::At(Moment moment, Action action) : moment_(moment), action_(std::move(action)) {}

}  // namespace athanor
