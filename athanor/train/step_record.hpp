// SPDX-License-Identifier: Apache-2.0
// What a step said, held back until it counts.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "athanor/train/meter.hpp"
#include "athanor/train/step.hpp"

namespace athanor {

/// The values of one micro-batch. They reach the Meter when the whole update is known to be good: one that is run again
/// after running out of memory, or left out because it is not finite, leaves no trace in the means.
class StepRecord {
 public:
  void begin(double samples) {
    samples_ = samples;
    logs_.clear();
  }
  void log(std::string_view name, std::variant<at::Tensor, double, Accumulator> value, const LogOptions& options) {
    logs_.push_back({std::string(name), std::move(value), options});
  }
  /// Adds what was logged, the losses and scores of `output`, and, when `measured`, the metrics. `loss_name` is `loss`,
  /// or `loss_OPTIMIZER` when there are several.
  void commit(Meter& meter, const StepOutput& output, const Batch& batch, std::string_view loss_name,
              bool measured) const;

  struct Log {
    std::string name;
    std::variant<at::Tensor, double, Accumulator> value;
    LogOptions options;
  };
  [[nodiscard]] const std::vector<Log>& logs() const noexcept { return logs_; }

 private:
  double samples_ = 0;
  std::vector<Log> logs_;
};

}  // namespace athanor
