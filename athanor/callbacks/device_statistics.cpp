// SPDX-License-Identifier: Apache-2.0
#include "athanor/callbacks/device_statistics.hpp"

#include <sys/resource.h>

#include <chrono>

#include "athanor/core/device_memory.hpp"
#include "athanor/core/error.hpp"
#include "athanor/core/memory.hpp"

namespace athanor {
namespace {

double cpu_seconds_of_process() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double megabytes(int64_t bytes) { return static_cast<double>(bytes) * 1e-6; }

}  // namespace

DeviceStatistics::DeviceStatistics(DeviceStatisticsOptions options) : options_(options) {
  if (options_.every.count() > 0) return;
  throw Error({.what = "the interval of the device statistics is nothing",
               .where = "DeviceStatisticsOptions::every",
               .got = options_.every.describe(),
               .expected = "more than nothing"});
}

void DeviceStatistics::on_fit_begin(Trainer& trainer) {
  looked_ = trainer.position().elapsed();
  wall_seconds_ = steady_seconds();
  cpu_seconds_ = cpu_seconds_of_process();
}

void DeviceStatistics::on_train_batch_end(Trainer& trainer) {
  const Elapsed now = trainer.position().elapsed();
  if (!options_.every.passed(looked_, now)) return;
  looked_ = now;
  const LogOptions shown{.reduce = Reduce::maximum, .per_step = true, .bar = false};
  trainer.log("memory_mb", megabytes(process_memory().resident_bytes), shown);
  const double wall = steady_seconds(), cpu = cpu_seconds_of_process();
  if (wall > wall_seconds_) trainer.log("cpu_cores", (cpu - cpu_seconds_) / (wall - wall_seconds_), shown);
  wall_seconds_ = wall;
  cpu_seconds_ = cpu;
  if (const auto memory = device_memory(trainer.device())) {
    trainer.log("device_memory_mb", megabytes(memory->allocated_bytes), shown);
    trainer.log("device_memory_peak_mb", megabytes(memory->peak_bytes), shown);
    const auto free = static_cast<double>(memory->free_bytes), total = static_cast<double>(memory->total_bytes);
    if (total > 0) trainer.log("device_memory_used", 1 - free / total, shown);
  }
}

}  // namespace athanor
