// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/run_control.hpp"

#include <atomic>
#include <map>
#include <mutex>

#include "athanor/train/trainer.hpp"

namespace athanor {
namespace {

/// Who saves on demand, and who was asked to.
class SaveDesk {
 public:
  void offer(const Trainer* trainer) {
    const std::lock_guard lock(mutex_);
    asked_.try_emplace(trainer, false);
  }
  void withdraw(const Trainer* trainer) {
    const std::lock_guard lock(mutex_);
    const auto found = asked_.find(trainer);
    if (found == asked_.end()) return;
    if (found->second) pending_ -= 1;
    asked_.erase(found);
  }
  bool ask(const Trainer* trainer) {
    const std::lock_guard lock(mutex_);
    const auto found = asked_.find(trainer);
    if (found == asked_.end()) return false;
    if (!std::exchange(found->second, true)) pending_ += 1;
    return true;
  }
  bool take(const Trainer* trainer) {
    if (pending_.load(std::memory_order_relaxed) == 0) return false;
    const std::lock_guard lock(mutex_);
    const auto found = asked_.find(trainer);
    if (found == asked_.end() || !std::exchange(found->second, false)) return false;
    pending_ -= 1;
    return true;
  }

 private:
  std::mutex mutex_;
  std::map<const Trainer*, bool> asked_;
  std::atomic<int> pending_ = 0;
};

SaveDesk& save_desk() {
  static SaveDesk desk;
  return desk;
}

class TrainerControl : public RunControl {
 public:
  explicit TrainerControl(Trainer& trainer) : trainer_(trainer) {}
  bool request_stop(const std::string& reason) noexcept override {
    trainer_.request_stop(reason);
    return true;
  }
  bool request_save() noexcept override { return athanor::request_save(trainer_); }
  void message(std::string text) override { trainer_.message(std::move(text)); }
  [[nodiscard]] const StepTimes* step_times() const noexcept override { return &trainer_.step_times(); }

 private:
  Trainer& trainer_;
};

}  // namespace

RunControl::~RunControl() = default;
Steering::~Steering() = default;

void hand_over(const Listeners& listeners, const std::shared_ptr<RunControl>& control) {
  for (const auto& listener : listeners) {
    auto* steering = dynamic_cast<Steering*>(listener.get());
    if (steering == nullptr) continue;
    try {
      steering->take_control(control);
    } catch (const std::exception& error) {
      control->message(listener->name() + ": " + error.what());
    }
  }
}

void hand_over(const Listeners& listeners, Trainer& trainer) {
  if (!listeners.empty()) hand_over(listeners, std::make_shared<TrainerControl>(trainer));
}

void offer_saving(const Trainer& trainer) { save_desk().offer(&trainer); }
void withdraw_saving(const Trainer& trainer) noexcept { save_desk().withdraw(&trainer); }
bool take_save_request(const Trainer& trainer) noexcept { return save_desk().take(&trainer); }
bool request_save(const Trainer& trainer) noexcept { return save_desk().ask(&trainer); }

}  // namespace athanor
