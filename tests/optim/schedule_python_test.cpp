// SPDX-License-Identifier: Apache-2.0
// Our schedules beside the real torch.optim.lr_scheduler of Python over 1,000 updates, run by schedule_peer.py.
#include <ATen/ops/ones.h>
#include <gtest/gtest.h>

#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "athanor/optim/schedules.hpp"
#include "athanor/optim/sgd.hpp"
#include "tests/optim/python_peer.hpp"

namespace athanor::schedule_python_test {
namespace {

using namespace literals;

struct ScheduleScript {
  static constexpr const char* name = "schedule_peer.py";
};
using SchedulePython = PythonPeer<ScheduleScript>;

constexpr int64_t steps = 1000;
constexpr int64_t steps_per_epoch = 40;

/// Python's cosine by epochs stays where it is within an epoch.
Schedule whole_epochs(const Schedule& schedule) {
  struct WholeEpochs {
    Schedule inner;
    Cadence cadence = Cadence::epoch;
    double factor(const ScheduleTime& time) const { return inner.factor({.epochs = time.epochs}); }
  };
  return WholeEpochs{schedule};
}

/// StepLR that makes way for the next of a sequence.
struct StepFor500 {
  static constexpr Cadence cadence = Cadence::step;
  double factor(const ScheduleTime& time) const { return std::pow(0.5, static_cast<double>(time.updates / 150)); }
  std::optional<Duration> length() const { return 500_steps; }
};

// Python computes cosine, step and line by a recursion from the rate before: one rounding of 1e-16 in each of 1,000
// steps. Near its end a cosine goes to 0 while the roundings stay those of the first rate.
TEST_F(SchedulePython, TheRatesAreThoseOfPython) {
  const std::vector<std::pair<std::string, Schedule>> cases{
      {"lambda", schedules::lambda([](int64_t u) { return 1 / (1 + 0.01 * static_cast<double>(u)); }, Cadence::step)},
      {"lambda_epochs",
       schedules::lambda([](int64_t e) { return std::pow(0.9, static_cast<double>(e)); }, Cadence::epoch)},
      {"warmup", schedules::linear_warmup(300_steps, 0.1)},
      {"cosine", schedules::cosine()},
      {"cosine_epochs", whole_epochs(schedules::cosine(0, 25_epochs))},
      {"step", schedules::step(130_steps, 0.5)},
      {"step_epochs", schedules::step(7_epochs)},
      {"sequence", schedules::sequence({schedules::linear_warmup(100_steps, 0.25), StepFor500{}, schedules::cosine()})},
  };
  for (const auto& [name, original] : cases) {
    Schedule schedule = original;
    const auto optimizer = optim::SGD({.lr = 0.1})
                               .on({{{{"a", at::ones({1}).requires_grad_()}}, {}},
                                    {{{"b", at::ones({1}).requires_grad_()}}, {.lr = 0.003}}});
    const std::vector<double> theirs = read(name);
    ASSERT_EQ(theirs.size(), 2 * steps);
    double epochs = 0;
    for (int64_t update = 0; update < steps; ++update) {
      schedule.step(*optimizer, {.updates = update, .epochs = epochs, .total_updates = steps, .total_epochs = 25});
      epochs += 1.0 / steps_per_epoch;
      for (size_t group = 0; group < 2; ++group) {
        const double base = group == 0 ? 0.1 : 0.003;
        ASSERT_NEAR(optimizer->lr(group), theirs[static_cast<size_t>(2 * update) + group], base * 1e-13)
            << name << ", update " << update;
      }
    }
  }
}

}  // namespace
}  // namespace athanor::schedule_python_test
