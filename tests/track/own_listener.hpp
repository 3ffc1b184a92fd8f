// SPDX-License-Identifier: Apache-2.0
// The listener of docs/tracking.md, compiled and tried.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "athanor/train/events.hpp"

namespace athanor::testing {

// begin
/// Sends values to a service. What `post` throws switches it off, with a warning; training goes on.
class MyService : public athanor::Listener {
 public:
  explicit MyService(std::function<void(const std::string&)> post) : post_(std::move(post)) {}
  std::string name() const override { return "my service"; }

  void on_step(const athanor::events::Step& step) override { send(step.step, step.values); }
  void on_epoch_end(const athanor::events::EpochEnd& end) override { send(end.epoch.steps, end.epoch.values); }

 private:
  void send(int64_t step, const athanor::Values& values) {
    std::string body = "step=" + std::to_string(step);
    for (const auto& [name, value] : values) body += "&" + name + "=" + std::to_string(value);
    post_(body);
  }

  std::function<void(const std::string&)> post_;
};
// end

}  // namespace athanor::testing
