// SPDX-License-Identifier: Apache-2.0
// The loss scale beside the real torch.amp.GradScaler of Python, run by loss_scaler_peer.py.
#include "athanor/optim/loss_scaler.hpp"

#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "tests/core/error_of.hpp"
#include "tests/optim/python_peer.hpp"

namespace athanor::loss_scaler_test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct LossScalerScript {
  static constexpr const char* name = "loss_scaler_peer.py";
};
using LossScalerPython = PythonPeer<LossScalerScript>;

constexpr size_t steps = 200;

double growth_tracker(LossScaler& scaler) { return save_state(scaler)["growth_tracker"].tensor().item<double>(); }

TEST_F(LossScalerPython, EveryScaleIsThatOfPython) {
  const std::vector<std::pair<std::string, LossScalerOptions>> cases{
      {"often", {.initial_scale = 1024, .growth_interval = 5}},
      {"odd_factors", {.initial_scale = 3, .growth_factor = 1.3, .backoff_factor = 0.7, .growth_interval = 3}},
      {"to_the_top", {.initial_scale = std::ldexp(1.0, 120), .growth_interval = 2}},
      {"defaults", {}},
  };
  for (const auto& [name, options] : cases) {
    LossScaler scaler(options);
    const std::vector<double> theirs = read(name);
    ASSERT_EQ(theirs.size(), 3 * steps);
    for (size_t step = 0; step < steps; ++step) {
      // The sum of three optimizers, of which two have found something.
      scaler.update(at::full({}, 2 * theirs[3 * step], at::kFloat));
      ASSERT_EQ(scaler.scale().item<double>(), theirs[3 * step + 1]) << name << ", step " << step;
      ASSERT_EQ(growth_tracker(scaler), theirs[3 * step + 2]) << name << ", step " << step;
    }
  }
}

TEST(LossScalerTest, ASavedStateGoesOn) {
  LossScaler scaler({.growth_interval = 3});
  const void* address = scaler.scale().const_data_ptr();
  scaler.update(at::ones({}));
  scaler.update(at::zeros({}));
  scaler.update(at::zeros({}));
  EXPECT_THAT(list_state(save_state(scaler)), ElementsAre("scale  float32 ()", "growth_tracker  int32 ()"));
  LossScaler fresh({.growth_interval = 3});
  load_state(fresh, save_state(scaler));
  EXPECT_EQ(fresh.scale().item<double>(), 32768);
  fresh.update(at::zeros({}));
  scaler.update(at::zeros({}));
  EXPECT_EQ(fresh.scale().item<double>(), 65536);
  EXPECT_THAT(compare_states(save_state(fresh), save_state(scaler)), IsEmpty());
  EXPECT_EQ(scaler.scale().const_data_ptr(), address);
}

TEST(LossScalerTest, OptionsOutOfRangeAreRefusedWithTheirName) {
  auto refused = [](const LossScalerOptions& options, const std::string& option, const std::string& got) {
    const auto parts = error_of([&] { LossScaler scaler(options); });
    EXPECT_EQ(parts.what, "an option of a loss scaler is out of range");
    EXPECT_EQ(parts.where, "LossScalerOptions::" + option);
    EXPECT_EQ(parts.got, got);
    EXPECT_THAT(parts.expected, ::testing::Not(IsEmpty()));
  };
  refused({.initial_scale = 0}, "initial_scale", "0");
  refused({.initial_scale = 1e39}, "initial_scale", "1.000e+39");
  refused({.growth_factor = 1}, "growth_factor", "1");
  refused({.backoff_factor = 0}, "backoff_factor", "0");
  refused({.backoff_factor = 1}, "backoff_factor", "1");
  refused({.growth_interval = 0}, "growth_interval", "0");
}

TEST(LossScalerTest, WhatIsNoScalarOfFloatIsRefused) {
  LossScaler scaler;
  const auto parts = error_of([&] { scaler.update(at::zeros({2})); });
  EXPECT_EQ(parts.got, "float32 (2)");
  EXPECT_EQ(parts.expected, "float32 ()");
  EXPECT_EQ(error_of([&] { scaler.update(at::zeros({}, at::kDouble)); }).got, "float64 ()");
  EXPECT_EQ(error_of([&] { scaler.update({}); }).got, "undefined");
  EXPECT_EQ(scaler.scale().item<double>(), 65536);
}

}  // namespace
}  // namespace athanor::loss_scaler_test
