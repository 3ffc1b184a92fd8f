// SPDX-License-Identifier: Apache-2.0
// LBFGS: its line search, its history, and what it does when the loss is not finite.
#include "athanor/optim/lbfgs.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

#include "athanor/core/host.hpp"
#include "athanor/optim/lbfgs_history.hpp"
#include "athanor/optim/strong_wolfe.hpp"
#include "tests/core/error_of.hpp"

namespace athanor::testing::lbfgs_test {
namespace {

using optim::LBFGS;
using optim::LineSearch;
using optim::detail::LBFGSHistory;
using optim::detail::LinePoint;

at::Tensor start() { return at::full({2}, -1.2, at::kDouble).requires_grad_(); }

/// Rosenbrock's valley; its lowest point is (1, 1).
at::Tensor rosenbrock(const at::Tensor& x) {
  const at::NoGradGuard no_grad;
  const double a = x[0].item<double>(), b = x[1].item<double>();
  x.mutable_grad() = at::zeros({2}, at::kDouble);
  x.mutable_grad()[0] = -400 * a * (b - a * a) - 2 * (1 - a);
  x.mutable_grad()[1] = 200 * (b - a * a);
  return at::full({}, 100 * (b - a * a) * (b - a * a) + (1 - a) * (1 - a), at::kDouble);
}

// Without a tolerance of the change a step ends where no number of the gradient is above 1e-7. There the smallest
// curvature is 0.399, so that the end is at most sqrt(2) * 1e-7 / 0.399 = 3.6e-7 away.
TEST(Lbfgs, FindsTheEndOfAValley) {
  const at::Tensor x = start();
  const auto optimizer =
      LBFGS({.max_iter = 60, .tolerance_change = 0, .line_search_fn = LineSearch::strong_wolfe}).on(std::vector{x});
  EXPECT_TRUE(optimizer->needs_closure());
  optimizer->step([&] { return rosenbrock(x); });
  EXPECT_NEAR(x[0].item<double>(), 1, 3.6e-7);
  EXPECT_NEAR(x[1].item<double>(), 1, 3.6e-7);
}

// torch.optim.LBFGS of 2.13 gives these numbers after 28 iterations and 34 evaluations, where the loss changes by less
// than 1e-9. Ours rounds elsewhere; one unit of 1e-16 in the last gradients, 1e-5 in size, is multiplied by at most the
// condition 2508 of the valley in each of a few iterations.
TEST(Lbfgs, GoesPythonsWayThroughAValley) {
  const at::Tensor x = start();
  const auto optimizer =
      LBFGS({.max_iter = 60, .line_search_fn = LineSearch::strong_wolfe}).on(ParameterGroups{{{{"x", x}}, {}}});
  optimizer->step([&] { return rosenbrock(x); });
  EXPECT_NEAR(x[0].item<double>(), 0.9999991936941391, 1e-9);
  EXPECT_NEAR(x[1].item<double>(), 0.9999983530791446, 1e-9);
  const Tree saved = save_state(*optimizer);
  EXPECT_EQ(saved["x"]["n_iter"].integer(), 28);
  EXPECT_EQ(saved["x"]["func_evals"].integer(), 34);
}

TEST(Lbfgs, GroupsDtypesAndMissingClosuresAreRefused) {
  const at::Tensor x = start(), y = at::ones({2}).requires_grad_();
  auto parts = error_of([&] { return LBFGS().on({{{{"x", x}}, {}}, {{{"y", y}}, {}}}); });
  EXPECT_EQ(parts.what, "LBFGS has one group of parameters");
  EXPECT_EQ(parts.got, "2 groups");
  parts = error_of([&] { return LBFGS().on({{{{"x", x}, {"y", y}}, {}}}); });
  EXPECT_EQ(parts.what, "the parameters of LBFGS differ in device or dtype");
  EXPECT_EQ(parts.got, "float32 (2)");
  const auto optimizer = LBFGS().on({{{{"x", x}}, {.lr = 0.5}}});
  EXPECT_EQ(optimizer->lr(), 0.5);
  EXPECT_EQ(error_of([&] { optimizer->step(); }).expected, "step(closure)");
  EXPECT_EQ(error_of([&] { optimizer->set(Optimizer::Field::momentum, 0, 1); }).got, "momentum");
  EXPECT_EQ(error_of([&] { optimizer->set_lr(1, 0.1); }).what, "an optimizer has no group of that number");
  EXPECT_EQ(optimizer->get(Optimizer::Field::weight_decay), std::nullopt);
}

class LbfgsNotFinite : public ::testing::TestWithParam<LineSearch> {};
INSTANTIATE_TEST_SUITE_P(Lbfgs, LbfgsNotFinite, ::testing::Values(LineSearch::none, LineSearch::strong_wolfe));

TEST_P(LbfgsNotFinite, AFirstEvaluationThatIsNotFiniteChangesNothing) {
  const at::Tensor x = start();
  const auto optimizer = LBFGS({.lr = 0.01, .max_iter = 3, .line_search_fn = GetParam()}).on(std::vector{x});
  optimizer->step([&] { return rosenbrock(x); });
  const Tree before = save_state(*optimizer);
  const at::Tensor values = x.detach().clone();
  for (const bool in_loss : {true, false}) {
    const at::Tensor loss = optimizer->step([&] {
      const at::Tensor evaluated = rosenbrock(x);
      if (in_loss) return at::full({}, std::nan(""), at::kDouble);
      x.mutable_grad()[1] = std::numeric_limits<double>::infinity();
      return evaluated;
    });
    EXPECT_TRUE(std::isnan(loss.item<double>()));
    EXPECT_TRUE(at::equal(x, values));
    EXPECT_THAT(compare_states(before, save_state(*optimizer)), ::testing::IsEmpty());
  }
}

TEST_P(LbfgsNotFinite, AnErrorInTheLossPutsEverythingBack) {
  const at::Tensor x = start();
  const auto optimizer = LBFGS({.lr = 0.01, .max_iter = 4, .line_search_fn = GetParam()}).on(std::vector{x});
  optimizer->step([&] { return rosenbrock(x); });
  const Tree before = save_state(*optimizer);
  const at::Tensor values = x.detach().clone();
  int calls = 0;
  EXPECT_THROW(optimizer->step([&] {
    if (++calls == 3) throw std::runtime_error("the data is gone");
    return rosenbrock(x);
  }),
               std::runtime_error);
  EXPECT_TRUE(at::equal(x, values));
  EXPECT_THAT(compare_states(before, save_state(*optimizer)), ::testing::IsEmpty());
}

TEST(Lbfgs, ALaterEvaluationWithoutASearchThatIsNotFinitePutsEverythingBack) {
  const at::Tensor x = start();
  const auto optimizer = LBFGS({.lr = 0.01, .max_iter = 4}).on(std::vector{x});
  int calls = 0;
  const at::Tensor loss = optimizer->step([&] {
    const at::Tensor evaluated = rosenbrock(x);
    return ++calls == 3 ? at::full({}, std::nan(""), at::kDouble) : evaluated;
  });
  EXPECT_TRUE(std::isnan(loss.item<double>()));
  EXPECT_TRUE(at::equal(x, start()));
}

// -log is not a number beyond 1, where the first trials end. The curvature at the end is 16: a gradient of 1e-7 is
// 6.3e-9 away. The loss there is rounded to 1.1e-16, so that it does not tell points apart that are
// sqrt(2 * 1.1e-16 / 16) = 3.7e-9 away.
TEST(Lbfgs, ATrialThatIsNotFiniteIsTooFar) {
  const at::Tensor x = at::full({1}, 0.1, at::kDouble).requires_grad_();
  const auto optimizer =
      LBFGS({.lr = 50, .max_iter = 30, .tolerance_change = 0, .line_search_fn = LineSearch::strong_wolfe})
          .on(std::vector{x});
  const auto barrier = [&] {
    const at::NoGradGuard no_grad;
    const double a = x.item<double>();
    x.mutable_grad() = at::full({1}, 1 / (1 - a) - 4, at::kDouble);  // the lowest point is 3/4
    return at::full({}, -std::log(1 - a) - 4 * a, at::kDouble);
  };
  for (int step = 0; step < 5; ++step) EXPECT_TRUE(std::isfinite(optimizer->step(barrier).item<double>()));
  EXPECT_NEAR(x.item<double>(), 0.75, 1e-8);
}

TEST(Lbfgs, ALineSearchEndsWhereTheStrongWolfeConditionsHold) {
  for (const double first : {1e-3, 0.1, 1.0, 7.0, 100.0}) {
    int64_t calls = 0;
    const auto line = [&](double t) {
      ++calls;
      return LinePoint{.t = t, .loss = std::cosh(t - 2) + 0.1 * t, .gradient = {}, .slope = std::sinh(t - 2) + 0.1};
    };
    const LinePoint begin = line(0);
    calls = 0;
    const auto found = optim::detail::strong_wolfe(line, begin, first, 1, 1e-12, 50);
    EXPECT_EQ(found.evaluations, calls);
    EXPECT_LE(found.point.loss, begin.loss + 1e-4 * found.point.t * begin.slope) << first;
    EXPECT_LE(std::abs(found.point.slope), -0.9 * begin.slope) << first;
  }
}

TEST(Lbfgs, TheCubicThroughTwoPointsHasItsMinimumThere) {
  const auto cubic = [](double t) {
    return LinePoint{.t = t, .loss = t * t * t - 3 * t, .gradient = {}, .slope = 3 * t * t - 3};  // minimum at 1
  };
  EXPECT_NEAR(optim::detail::cubic_minimum(cubic(0), cubic(3), 0, 3), 1, 1e-12);
  EXPECT_NEAR(optim::detail::cubic_minimum(cubic(3), cubic(0), 0, 3), 1, 1e-12);
  EXPECT_EQ(optim::detail::cubic_minimum(cubic(0), cubic(3), 1.5, 3), 1.5);
  LinePoint infinite = cubic(3);
  infinite.loss = std::numeric_limits<double>::infinity();
  EXPECT_EQ(optim::detail::cubic_minimum(cubic(0), infinite, 0, 3), 1.5);
}

// The two loops, vector by vector in float64, are the truth. float32 sums of products of n numbers in blocks are off by
// about 1e-6 of the lengths, and the history multiplies that by its condition, here up to a hundred.
TEST(Lbfgs, ADirectionFromInnerProductsIsThatOfTheTwoLoops) {
  for (const auto& [dtype, tolerance] : {std::pair(at::kDouble, 1e-11), std::pair(at::kFloat, 1e-4)}) {
    for (const int threads : {1, 3}) {
      const HostGuard guard({.keep_freed_memory = false, .threads = threads});
      LBFGSHistory history, exact;
      const int64_t size = 50003;  // enough for three threads
      const at::Tensor slopes = at::randn({size}, at::kDouble).abs() + 0.1;
      at::Tensor x = at::randn({size}, at::kDouble), gradient = slopes * x;
      for (int step = 0; step < 9; ++step) {
        const at::Tensor d = at::randn({size}, at::kDouble);
        const at::Tensor next = slopes * (x + d * 0.5);
        history.add(next.to(dtype), gradient.to(dtype), d.to(dtype), 0.5, 5);
        exact.add(next, gradient, d, 0.5, 5);
        x = x + d * 0.5;
        gradient = next;
        const auto ours = history.direction(gradient.to(dtype));
        const auto theirs = exact.direction_by_operators(gradient);
        EXPECT_EQ(history.ro.size(), static_cast<size_t>(std::min(step + 1, 5)));
        const double length = theirs.d.norm().item<double>();
        EXPECT_LE((ours.d.to(at::kDouble) - theirs.d).norm().item<double>() / length, tolerance);
        EXPECT_LE(std::abs(ours.slope / theirs.slope - 1), tolerance);
        EXPECT_NEAR(ours.largest, theirs.largest, tolerance * theirs.largest);
      }
    }
  }
}

TEST(Lbfgs, ASavedStateGoesOnToTheSameBits) {
  for (const int64_t saved_after : {0, 1, 3, 6}) {
    const auto recipe = LBFGS({.max_iter = 3, .history_size = 4, .line_search_fn = LineSearch::strong_wolfe});
    const at::Tensor x = start(), y = start();
    const auto whole = recipe.on(std::vector{x});
    auto parts = recipe.on(std::vector{y});
    for (int64_t step = 0; step < 9; ++step) {
      if (step == saved_after) {
        const Tree saved = save_state(*parts);
        parts = recipe.on(std::vector{y});
        load_state(*parts, saved);
        EXPECT_THAT(compare_states(saved, save_state(*parts)), ::testing::IsEmpty());
      }
      whole->step([&] { return rosenbrock(x); });
      parts->step([&] { return rosenbrock(y); });
      ASSERT_TRUE(at::equal(x, y)) << step;
    }
    EXPECT_THAT(compare_states(save_state(*whole), save_state(*parts)), ::testing::IsEmpty());
  }
}

TEST(Lbfgs, TheStateHasPythonsNames) {
  const at::Tensor x = start();
  const auto optimizer = LBFGS({.max_iter = 4}).on(ParameterGroups{{{{"layer.weight", x}}, {}}});
  optimizer->step([&] { return rosenbrock(x); });
  const std::vector<std::string> listed = list_state(save_state(*optimizer));
  for (const char* name : {"func_evals", "n_iter", "d", "t", "old_dirs.0", "old_stps.0", "ro.0", "H_diag",
                           "prev_flat_grad", "prev_loss"}) {
    EXPECT_THAT(listed, ::testing::Contains(::testing::StartsWith("layer.weight." + std::string(name) + "  ")));
  }
}

}  // namespace
}  // namespace athanor::testing::lbfgs_test
