// SPDX-License-Identifier: Apache-2.0
// The one loop of the library: it says when.
#pragma once

#include <chrono>

#include "athanor/train/trainer.hpp"

namespace athanor {

/// A stopwatch that lets something happen at most ten times a second.
class Ticker {
 public:
  [[nodiscard]] bool due() noexcept;

 private:
  std::chrono::steady_clock::time_point next_ = std::chrono::steady_clock::now() + std::chrono::milliseconds(100);
};

/// One call of `fit`.
class Loop {
 public:
  Loop(Trainer& trainer, Loader train, std::optional<Loader> validation, std::string validation_name);
  History run(const std::vector<std::string>& notes);

 private:
  void begin(const std::vector<std::string>& notes);
  [[nodiscard]] bool finished() const;
  void begin_epoch();
  void train();
  void end_epoch();
  void end();
  void show_progress(bool at_once);

  Trainer& trainer_;
  Loader train_;
  std::optional<Loader> validation_;
  std::string validation_name_;
  int64_t batches_;
  Update update_;
  Ticker ticker_;
  std::chrono::steady_clock::time_point begun_;
  std::chrono::steady_clock::time_point epoch_begun_;
  double seconds_before_ = 0;
};

}  // namespace athanor
