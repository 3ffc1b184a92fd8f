// SPDX-License-Identifier: Apache-2.0
// What lies between backward and step: non-finite gradients found, factors in the divisor, nothing waited for.
#include "athanor/optim/clip.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/sparse_coo_tensor.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "athanor/core/host.hpp"
#include "athanor/optim/adam.hpp"
#include "tests/core/error_of.hpp"

namespace athanor::clip_test {
namespace {

using ::testing::HasSubstr;
using Prepare = PreparedStep(const Parameters&, const std::optional<Clip>&, const at::Tensor&, bool);

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr Prepare* both[] = {&prepare_step, &prepare_step_by_operators};

Parameters with_gradients(const std::vector<at::Tensor>& gradients) {
  Parameters parameters;
  for (const at::Tensor& gradient : gradients) {
    const at::Tensor tensor = at::zeros(gradient.sizes(), gradient.options().layout(at::kStrided)).requires_grad_();
    tensor.mutable_grad() = gradient;
    parameters.push_back({"layer." + std::to_string(parameters.size()), tensor});
  }
  return parameters;
}

TEST(ClipTest, OptionsOutOfRangeAreRefusedWithTheirName) {
  auto refused = [](const Clip& clip, const std::string& option, const std::string& got) {
    const auto parts = error_of([&] { return prepare_step({}, clip, {}, false); });
    EXPECT_EQ(parts.what, "an option of clipping is out of range");
    EXPECT_EQ(parts.where, "prepare_step, " + option);
    EXPECT_EQ(parts.got, got);
    EXPECT_EQ(error_of([&] { check_clip(clip, "generator"); }).where, "generator, " + option);
  };
  refused({.norm = -1}, "norm", "-1");
  refused({.norm = std::nan("")}, "norm", "nan");
  refused({.value = -0.5}, "value", "-0.5000");
  refused({.norm = 1, .norm_type = 3}, "norm_type", "3");
  refused({.norm = 1, .norm_type = -infinity}, "norm_type", "-inf");
}

TEST(ClipTest, ASparseGradientCountsByTheSumOfItsRows) {
  for (Prepare* prepare : both) {
    // Row 1 twice: 1 + 2, row 2 once: 4.
    const at::Tensor rows = at::arange(1, 4).remainder(2).add(1).reshape({1, 3});  // 2, 1, 2
    const at::Tensor sparse = at::sparse_coo_tensor(rows, at::arange(1, 4).to(at::kFloat), {3});
    const Parameters parameters = with_gradients({at::zeros({2}), sparse});
    const PreparedStep prepared = prepare(parameters, Clip{.norm = 1}, {}, true);
    EXPECT_FLOAT_EQ(prepared.norm.item<float>(), std::sqrt(4.0F * 4.0F + 2.0F * 2.0F));
    EXPECT_EQ(prepared.scale.found_inf.item<float>(), 0);
    EXPECT_TRUE(parameters[1].tensor.grad().is_coalesced());
  }
}

TEST(ClipTest, ASparseGradientIsCheckedAndClippedByValue) {
  for (Prepare* prepare : both) {
    const at::Tensor rows = at::arange(2).reshape({1, 2});
    Parameters parameters = with_gradients({at::sparse_coo_tensor(rows, at::full({2}, infinity), {3})});
    EXPECT_EQ(prepare(parameters, {}, {}, true).scale.found_inf.item<float>(), 1);
    parameters = with_gradients({at::sparse_coo_tensor(rows, at::full({2}, -7.0), {3})});
    prepare(parameters, Clip{.value = 2}, {}, false);
    EXPECT_EQ(parameters[0].tensor.grad().to_dense().sum().item<float>(), -4);
  }
}

TEST(ClipTest, AGradientOfAnotherLayoutIsRefusedByName) {
  for (Prepare* prepare : both) {
    const at::Tensor rows = at::eye(3).to_sparse_csr();
    const auto parts = error_of([&] {
      return prepare(with_gradients({at::ones({2}), rows}), Clip{.norm = 1}, {}, true);
    });
    EXPECT_EQ(parts.what, "a gradient of this layout can't be clipped or checked");
    EXPECT_EQ(parts.where, "layer.1");
  }
}

TEST(ClipTest, ALossScaleThatIsNoScalarOfFloatIsRefused) {
  for (Prepare* prepare : both) {
    EXPECT_EQ(error_of([&] { return prepare({}, {}, at::ones({2}), false); }).got, "float32 (2)");
    EXPECT_EQ(error_of([&] { return prepare({}, {}, at::ones({}, at::kDouble), false); }).expected, "float32 ()");
  }
}

TEST(ClipTest, WithNothingToDoNothingIsDone) {
  const Parameters parameters = with_gradients({at::full({2}, infinity)});
  const PreparedStep nothing = prepare_step(parameters, {}, {}, false);
  EXPECT_FALSE(nothing.norm.defined());
  EXPECT_FALSE(nothing.scale.divisor.defined());
  EXPECT_FALSE(nothing.scale.found_inf.defined());
  const at::Tensor loss_scale = at::full({}, 8.0);
  EXPECT_TRUE(prepare_step(parameters, {}, loss_scale, false).scale.divisor.is_same(loss_scale));
}

TEST(ClipTest, WithoutGradientsTheNormIsZero) {
  for (Prepare* prepare : both) {
    for (const Parameters& parameters :
         {Parameters(), Parameters{{"a", at::ones({2})}}, with_gradients({at::zeros({0, 3})})}) {
      const PreparedStep prepared = prepare(parameters, Clip{.norm = 1, .value = 1}, {}, true);
      EXPECT_EQ(prepared.norm.item<float>(), 0);
      EXPECT_EQ(prepared.scale.found_inf.item<float>(), 0);
    }
  }
}

TEST(ClipTest, NonFiniteGradientsAreFoundInEveryKindOfGradient) {
  const std::vector<std::optional<Clip>> clips{std::nullopt, Clip{.norm = 1}, Clip{.norm = 1, .norm_type = 1},
                                               Clip{.norm = 1, .norm_type = infinity}, Clip{.value = 1}};
  for (Prepare* prepare : both) {
    for (const auto& clip : clips) {
      for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kBFloat16, at::kHalf}) {
        for (const bool strided : {false, true}) {
          for (const double wrong : {std::nan(""), infinity, -infinity}) {
            const at::Tensor whole = at::ones({40, 50}, dtype);
            const at::Tensor gradient = strided ? whole.slice(1, 0, 50, 7) : whole;
            const Parameters parameters = with_gradients({at::ones({3}), gradient, at::ones({4})});
            EXPECT_EQ(prepare(parameters, clip, {}, true).scale.found_inf.item<float>(), 0) << dtype;
            gradient[17][1].fill_(wrong);
            const PreparedStep prepared = prepare(parameters, clip, {}, true);
            EXPECT_EQ(prepared.scale.found_inf.item<float>(), 1) << dtype << wrong << strided;
            EXPECT_FALSE(prepared.norm.defined() && std::isfinite(prepared.norm.item<float>()));
          }
        }
      }
    }
  }
}

TEST(ClipTest, ANonFiniteNormIsFoundWithoutBeingAskedFor) {
  for (Prepare* prepare : both) {
    const PreparedStep prepared =
        prepare(with_gradients({at::full({3}, std::nan(""))}), Clip{.norm = 1}, {}, /*check_finite=*/false);
    EXPECT_EQ(prepared.scale.found_inf.item<float>(), 1);
  }
}

TEST(ClipTest, LargeGradientsAreFinite) {
  for (Prepare* prepare : both) {  // their squares are no numbers of float32
    const PreparedStep prepared = prepare(with_gradients({at::full({2000}, -3e38)}), {}, {}, true);
    EXPECT_EQ(prepared.scale.found_inf.item<float>(), 0);
  }
  const PreparedStep prepared = prepare_step(with_gradients({at::full({2500}, 1e30)}), Clip{.norm = 1}, {}, true);
  EXPECT_FLOAT_EQ(prepared.norm.item<float>(), 5e31F);
  EXPECT_FLOAT_EQ(prepared.scale.divisor.item<float>(), 5e31F);
}

TEST(ClipTest, ADivisorOfOneIsLeftOut) {
  const Parameters parameters = with_gradients({at::ones({4})});
  EXPECT_FALSE(prepare_step(parameters, Clip{.norm = 3}, {}, true).scale.divisor.defined());
  const at::Tensor loss_scale = at::full({}, 8.0);
  EXPECT_TRUE(prepare_step(parameters, Clip{.norm = 3}, loss_scale, true).scale.divisor.is_same(loss_scale));
}

TEST(ClipTest, TheGradientsAreNotWrittenToByNorm) {
  for (Prepare* prepare : both) {
    const Parameters parameters = with_gradients({at::full({4}, 3.0)});
    const PreparedStep prepared = prepare(parameters, Clip{.norm = 2}, at::full({}, 0.5), true);
    EXPECT_TRUE(at::equal(parameters[0].tensor.grad(), at::full({4}, 3.0)));
    EXPECT_FLOAT_EQ(prepared.norm.item<float>(), 12);            // 6 / 0.5
    EXPECT_NEAR(prepared.scale.divisor.item<float>(), 3, 1e-6);  // 0.5 x 12 / 2
  }
}

TEST(ClipTest, ByNormFirstThenByValue) {
  for (Prepare* prepare : both) {
    const Parameters parameters = with_gradients({at::full({1}, 3.0), at::full({1}, -4.0)});
    const PreparedStep prepared = prepare(parameters, Clip{.norm = 1, .value = 0.7}, {}, true);
    const double divisor = prepared.scale.divisor.item<float>();
    EXPECT_NEAR(parameters[0].tensor.grad().item<double>() / divisor, 0.6, 1e-6);
    EXPECT_NEAR(parameters[1].tensor.grad().item<double>() / divisor, -0.7, 1e-6);
  }
}

TEST(ClipTest, AStepTakesItAllAtOnce) {
  const at::Tensor clipped = at::ones({50}).requires_grad_();
  const at::Tensor by_hand = at::ones({50}).requires_grad_();
  const auto one = optim::AdamW({.lr = 0.1}).on(std::vector<at::Tensor>{clipped});
  const auto other = optim::AdamW({.lr = 0.1}).on(std::vector<at::Tensor>{by_hand});
  for (int step = 0; step < 3; ++step) {
    const at::Tensor gradient = at::randn({50}) * 10;
    clipped.mutable_grad() = gradient * 256;
    by_hand.mutable_grad() = gradient * (0.5 / (gradient.norm().item<double>() + 1e-6));
    one->step(prepare_step(one->parameters(), Clip{.norm = 0.5}, at::full({}, 256.0), true).scale);
    other->step();
    // A gradient is rounded three times in another order, and a step of Adam moves by 0.1 times its relative error.
    EXPECT_LT((clipped - by_hand).abs().max().item<double>(), 1e-6);
    EXPECT_NEAR(clipped.grad().norm().item<double>(), 0.5, 1e-6);  // written back
  }
}

TEST(ClipTest, OneNumberThatIsNotFiniteIsFoundWhereverItLies) {
  const at::Tensor large = at::randn({300'001}), small = at::randn({77}, at::kDouble),
                   half = at::randn({5}).to(at::kHalf);
  const Parameters parameters = with_gradients({small, large, half, at::zeros({0})});
  for (const int threads : {1, 3}) {
    const HostGuard guard({.keep_freed_memory = false, .threads = threads});
    EXPECT_TRUE(gradients_are_finite(parameters));
    for (const auto& [gradient, place] : {std::pair(large, 0), std::pair(large, 123'456), std::pair(large, 300'000),
                                          std::pair(small, 76), std::pair(half, 4)}) {
      for (const double bad : {infinity, -infinity, std::numeric_limits<double>::quiet_NaN()}) {
        const at::Tensor number = gradient[place];
        const double before = number.item<double>();
        number.fill_(bad);
        EXPECT_FALSE(gradients_are_finite(parameters)) << place;
        EXPECT_EQ(prepare_step(parameters, {}, {}, true).scale.found_inf.item<float>(), 1) << place;
        number.fill_(before);
      }
    }
    EXPECT_TRUE(gradients_are_finite(parameters));
  }
  EXPECT_TRUE(gradients_are_finite({}));
}

TEST(ClipTest, TheNormIsTheSameForAnyNumberOfThreadsAndAtLeastAsExactAsThatOfLibTorch) {
  const at::Tensor large = at::randn({3'000'000});
  const at::Tensor small = at::randn({77}, at::kDouble);
  const Parameters parameters = with_gradients({large, small, large.slice(0, 0, 1'000'000)});
  std::vector<float> norms;
  for (const int threads : {1, 2, 3}) {
    const HostGuard guard({.keep_freed_memory = false, .threads = threads});
    norms.push_back(prepare_step(parameters, Clip{.norm = 1}, {}, true).norm.item<float>());
  }
  EXPECT_EQ(norms[0], norms[1]);
  EXPECT_EQ(norms[0], norms[2]);
  const at::Tensor exact_squares = large.to(at::kDouble).square().sum() + small.square().sum() +
                                   large.slice(0, 0, 1'000'000).to(at::kDouble).square().sum();
  const double exact = std::sqrt(exact_squares.item<double>());
  // The last rounding to float32 by half a unit, the sum by 1e-8 at most.
  const double error = std::abs(norms[0] - exact) / exact;
  EXPECT_LE(error, 1.0 / (1 << 24) + 1e-8);
  const double theirs = prepare_step_by_operators(parameters, Clip{.norm = 1}, {}, true).norm.item<double>();
  EXPECT_LE(error, std::abs(theirs - exact) / exact + 1.0 / (1 << 24));
}

}  // namespace
}  // namespace athanor::clip_test
