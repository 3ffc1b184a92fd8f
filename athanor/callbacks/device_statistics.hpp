// SPDX-License-Identifier: Apache-2.0
// What training takes of the machine: memory, cores.
//
//     .callbacks = {athanor::DeviceStatistics()}      // train_memory_mb, train_cpu_cores, …
#pragma once

#include "athanor/core/duration.hpp"
#include "athanor/train/trainer.hpp"

namespace athanor {

struct DeviceStatisticsOptions {
  /// How often it looks. Looking costs some 30 us.
  Duration every = Duration::steps(50);
};

/// Logs values of the process and of the device that is trained on, each as a value of the step for trackers and, as
/// its maximum, of the epoch:
///
/// | name                     | what                                                                          |
/// |--------------------------|-------------------------------------------------------------------------------|
/// | `memory_mb`              | resident memory of the process, in 10^6 bytes                                 |
/// | `cpu_cores`              | cores that the process kept busy since it looked last; 1.5 is one and a half  |
/// | `device_memory_mb`       | in tensors on the device; with an accelerator only, as the two that follow    |
/// | `device_memory_peak_mb`  | the most of that so far                                                       |
/// | `device_memory_used`     | the used part of the device's memory, by all processes, from 0 to 1           |
///
/// Doesn't wait for the device. Times and memory are no part of the run's state.
class DeviceStatistics {
 public:
  /// Throws Error for an interval that is not positive.
  explicit DeviceStatistics(DeviceStatisticsOptions options = {});
  void on_fit_begin(Trainer& trainer);
  void on_train_batch_end(Trainer& trainer);

 private:
  DeviceStatisticsOptions options_;
  Elapsed looked_;
  double wall_seconds_ = 0;
  double cpu_seconds_ = 0;
};

}  // namespace athanor
