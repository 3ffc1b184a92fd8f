// SPDX-License-Identifier: Apache-2.0
#include "athanor/callbacks/device_statistics.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "athanor/core/device_memory.hpp"
#include "athanor/core/memory.hpp"
#include "tests/core/error_of.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::device_statistics_test {
namespace {

using namespace athanor::literals;

TEST(DeviceStatistics, AreThoseOfTheProcess) {
  Classifier task;
  Trainer trainer(quiet(2_epochs, {DeviceStatistics({.every = 1_steps})}));
  const double before = static_cast<double>(process_memory().resident_bytes) * 1e-6;
  const History history = trainer.fit(task, data_of(clouds(64)));
  const double peak = static_cast<double>(process_memory().peak_bytes) * 1e-6;
  for (const History::Epoch& epoch : history.epochs()) {
    EXPECT_GT(epoch.values["train_memory_mb"], before / 2);
    EXPECT_LE(epoch.values["train_memory_mb"], peak + 1);  // the kernel counts the peak a few pages late
    EXPECT_GT(epoch.values["train_cpu_cores"], 0);
  }
}

/// One thread that computes keeps one core busy, whatever else the machine does.
TEST(DeviceStatistics, CoresAreCpuTimeByWallTime) {
  struct Busy : Classifier {
    StepOutput training_step(const Batch& batch, StepContext& context) override {
      const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(5);
      while (std::chrono::steady_clock::now() < end) {
      }
      return Classifier::training_step(batch, context);
    }
  } task;
  TrainerOptions options = quiet(1_epochs, {DeviceStatistics({.every = 1_steps})});
  options.host.threads = 1;
  Trainer trainer(options);
  const History history = trainer.fit(task, data_of(clouds(256)));
  EXPECT_LT(history.epochs().front().values["train_cpu_cores"], 2.0);
  EXPECT_GT(history.epochs().front().values["train_cpu_cores"], 0.2);
}

TEST(DeviceStatistics, AreLoggedAtTheIntervalOnly) {
  Classifier task;
  Trainer trainer(quiet(1_epochs, {DeviceStatistics({.every = 1000_steps})}));
  EXPECT_EQ(trainer.fit(task, data_of(clouds(64))).epochs().front().values.find("train_memory_mb"), std::nullopt);
  EXPECT_EQ(error_of([] { return DeviceStatistics({.every = 0_steps}); }).where, "DeviceStatisticsOptions::every");
}

TEST(DeviceMemory, IsUnsetForTheCpu) { EXPECT_EQ(device_memory(at::kCPU).has_value(), false); }

TEST(DeviceMemory, CountsTensorsOfTheAccelerator) {
  if (!torch::cuda::is_available()) GTEST_SKIP() << "needs CUDA";
  const at::Device device(at::kCUDA, 0);
  const auto before = device_memory(device);
  const torch::Tensor tensor = torch::zeros({1 << 20}, device);
  const auto after = device_memory(device);
  EXPECT_GE(after->allocated_bytes - before->allocated_bytes, 4 << 20);
  EXPECT_GE(after->peak_bytes, after->allocated_bytes);
  EXPECT_GT(after->total_bytes, after->free_bytes);
}

}  // namespace
}  // namespace athanor::testing::device_statistics_test
