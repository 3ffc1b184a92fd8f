// SPDX-License-Identifier: Apache-2.0
// A run told to a tracker of MLflow, and what the real one reads of it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "athanor/train/listener_group.hpp"
#include "tests/track/tracking.hpp"

namespace athanor::testing {

/// What the real MLflow reads of a ScriptedRun from a folder and from its server, but for names and the resumed
/// session.
inline const std::vector<std::string> read_metrics = {
    "0 metric best/val_loss 120:0.375",   "0 metric clean_loss 60:nan 120:nan",  "0 metric lr 60:0.001 120:0.001",
    "0 metric step/loss 50:1 100:0.5",    "0 metric step/lr 50:0.001 100:0.001", "0 metric train_loss 60:0.5 120:0.25",
    "0 metric val_loss 60:0.75 120:0.375"};

struct Warnings : Listener {
  void on_message(const events::Message& message) override {
    if (message.text.starts_with("größe")) return;  // the script's own
    texts.push_back(message.text);
  }
  std::vector<std::string> texts;
};

/// What the others are warned of.
inline std::vector<std::string> tell(const std::shared_ptr<Listener>& tracker, ScriptedRun run) {
  const auto warnings = std::make_shared<Warnings>();
  ListenerGroup group({warnings, tracker});
  run.tell(group);
  return warnings->texts;
}

}  // namespace athanor::testing
