// SPDX-License-Identifier: Apache-2.0
// PSNR, SSIM and multi-scale SSIM: values known without calculating, ranges, both ways of calculation, what is refused.
#include "athanor/metrics/image_quality.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "athanor/metrics/image_windows.hpp"
#include "athanor/metrics/metric.hpp"
#include "tests/metrics/metrics_testing.hpp"

namespace athanor::metrics::image_quality_test {
namespace {

using namespace athanor::metrics::testing;
using ::testing::HasSubstr;

const MsSsimOptions two_scales = {.data_range = 1.0, .sigma = {0.5, 0.5}, .betas = {0.4, 0.6}};

Metrics all() {
  return {psnr({.data_range = 1.0}),
          {"psnr_image", psnr({.data_range = 1.0, .of = PsnrOf::image})},
          ssim({.data_range = 1.0}),
          ms_ssim(two_scales)};
}

at::Tensor random_images(std::mt19937& random, const std::vector<int64_t>& shape) {
  return random_normal(random, shape).sigmoid();
}

TEST(ImageQuality, EqualsWhatIsKnown) {
  const at::Tensor zeros = at::zeros({2, 1, 16, 16}), tenth = zeros + 0.1;
  EXPECT_NEAR(psnr(tenth, zeros, {.data_range = 1.0}), 20, 1e-6);  // 0.1 is a float32
  EXPECT_EQ(psnr(zeros, zeros, {.data_range = 1.0}), std::numeric_limits<double>::infinity());
  EXPECT_NEAR(ssim(tenth, tenth, {.data_range = 1.0}), 1, 1e-12);
  EXPECT_NEAR(ms_ssim(tenth, tenth, two_scales), 1, 1e-12);
  // Two constants: only brightness differs, (2 a b + c1) / (a^2 + b^2 + c1) with c1 = 1e-4 and a = 0.
  EXPECT_NEAR(ssim(tenth.to(at::kDouble), zeros, {.data_range = 1.0}), 1e-4 / (1e-2 + 1e-4), 1e-8);
}

// The defect "range of the batch": the value of a split may not depend on it, and uint8 has its range by itself.
TEST(ImageQuality, TheRangeIsSaidOrKnownNeverLookedFor) {
  std::mt19937 random(3);
  const at::Tensor images = random_images(random, {2, 1, 20, 20}), other = random_images(random, {2, 1, 20, 20});
  for (Metric metric : {Metric(psnr()), Metric(ssim()), Metric(ms_ssim({.sigma = {0.5, 0.5}, .betas = {1}}))}) {
    EXPECT_THAT(message([&] { metric.update(images, other, 2); }), HasSubstr("range of the values")) << metric.name();
    EXPECT_THAT(message([&] { metric.update(images, other, 2); }), HasSubstr("float64")) << metric.name();
    EXPECT_TRUE(metric.empty());
    const at::Tensor bytes = (images * 255).to(at::kByte), other_bytes = (other * 255).to(at::kByte);
    EXPECT_THAT(message([&] { metric.update(bytes, other, 2); }), HasSubstr("uint8, target float64")) << metric.name();
    metric.update(bytes, other_bytes, 2);
    EXPECT_TRUE(std::isfinite(metric.compute().real()));
  }
  EXPECT_EQ(ssim((images * 255).to(at::kByte), (other * 255).to(at::kByte)),
            ssim((images * 255).to(at::kByte), (other * 255).to(at::kByte), {.data_range = 255.0}));
}

TEST(ImageQuality, OperatorsForDevicesGiveTheSame) {
  std::mt19937 random(4);
  for (const auto& weights : {std::pair(detail::gaussian_weights(1.5), detail::gaussian_weights(0.6)),
                              std::pair(detail::uniform_weights(5), detail::uniform_weights(3))}) {
    const detail::SimilarityRules rules{.window = {weights.first, weights.second}, .c1 = 1e-4, .c2 = 9e-4, .scales = 2};
    const at::Tensor p = random_images(random, {3, 2, 27, 34}), t = random_images(random, {3, 2, 27, 34});
    const at::Tensor ours = detail::similarity_on_host(p, t, rules);
    // Sums of up to 121 products of numbers up to 1 in another order, divided by at least c2: 121 * 2^-53 / 9e-4.
    EXPECT_TRUE(ours.allclose(detail::similarity_by_operators(p, t, rules), 0, 1e-10));
  }
}

// A meta tensor has no values: reading one back throws.
TEST(ImageQuality, ReadsNothingBackFromADevice) {
  const at::Tensor images = at::empty({2, 3, 24, 24}, at::TensorOptions().dtype(at::kFloat).device(at::kMeta));
  for (Metric metric : all()) EXPECT_NO_THROW(metric.update(images, images, 2)) << metric.name();
}

TEST(ImageQuality, PartsAndSavedStatesComeToTheWhole) {
  std::mt19937 random(6);
  const at::Tensor p = random_images(random, {7, 1, 12, 14}), t = random_images(random, {7, 1, 12, 14});
  for (const Metric& empty : all()) {
    Metric whole = empty, first = empty, second = empty, loaded = empty;
    whole.update(p, t, 7);
    first.update(p.slice(0, 0, 2), t.slice(0, 0, 2), 2);
    second.update(p.slice(0, 2, 7), t.slice(0, 2, 7), 5);
    load_state(loaded, save_state(second));
    loaded.merge(first);
    EXPECT_NEAR(loaded.compute().real(), whole.compute().real(), 1e-12) << empty.name();
    EXPECT_EQ(empty.direction(), Direction::up);
    loaded.reset();
    EXPECT_TRUE(loaded.empty());
  }
}

TEST(ImageQuality, NanShows) {
  at::Tensor images = at::zeros({1, 1, 16, 16});
  images[0][0][3][4] = std::numeric_limits<float>::quiet_NaN();
  for (Metric metric : all()) {
    metric.update(images, at::zeros({1, 1, 16, 16}), 1);
    EXPECT_TRUE(std::isnan(metric.compute().real())) << metric.name();
  }
}

TEST(ImageQuality, RefusesWhatCanNotBeRight) {
  const at::Tensor images = at::zeros({1, 1, 16, 16});
  for (Metric metric : all()) {
    EXPECT_THAT(message([&] { (void)metric.compute(); }), HasSubstr("before anything was seen")) << metric.name();
    const std::string text = message([&] { metric.update(images, at::zeros({1, 1, 16, 15}), 1); });
    EXPECT_THAT(text, HasSubstr("(1, 1, 16, 16)")) << metric.name();
    EXPECT_THAT(text, HasSubstr("(1, 1, 16, 15)")) << metric.name();
    EXPECT_TRUE(metric.empty()) << metric.name();
  }
  EXPECT_THAT(message([&] { (void)ssim(images[0], images[0], {.data_range = 1.0}); }), HasSubstr("(N, C, H, W)"));
  const at::Tensor tiny = at::zeros({1, 1, 5, 40});
  EXPECT_THAT(message([&] { (void)ssim(tiny, tiny, {.data_range = 1.0}); }), HasSubstr("5 x 40 pixels"));
  EXPECT_THAT(message([&] { (void)ssim(tiny, tiny, {.data_range = 1.0}); }), HasSubstr("at least 6 x 6"));
  const at::Tensor small = at::zeros({1, 1, 180, 175});
  EXPECT_THAT(message([&] { (void)ms_ssim(small, small, {.data_range = 1.0}); }), HasSubstr("180 x 175 pixels"));
  EXPECT_THAT(message([&] { (void)ms_ssim(small, small, {.data_range = 1.0}); }), HasSubstr("at least 176 x 176"));

  EXPECT_THAT(message([] { (void)psnr({.data_range = -1.0}); }), HasSubstr("-1"));
  EXPECT_THAT(message([] { (void)psnr({.clamp = {{1, 0}}}); }), HasSubstr("1 to 0"));
  EXPECT_THAT(message([] { (void)psnr({.base = 1}); }), HasSubstr("base"));
  EXPECT_THAT(message([] { (void)psnr({.reduction = ImageReduction::sum}); }), HasSubstr("PsnrOf::image"));
  EXPECT_THAT(message([] { (void)ssim({.sigma = {0, 1}}); }), HasSubstr("sigma"));
  EXPECT_THAT(message([] { (void)ssim({.kernel_size = {4, 3}}); }), HasSubstr("kernel_size"));
  EXPECT_THAT(message([] { (void)ssim({.k1 = -1}); }), HasSubstr("k1"));
  EXPECT_THAT(message([] { (void)ms_ssim({.betas = {}}); }), HasSubstr("betas"));
  EXPECT_THAT(message([] { psnr().merge(psnr({.base = 2})); }), HasSubstr("different options"));
  EXPECT_THAT(message([] { ssim().merge(ssim({.k2 = 0.1})); }), HasSubstr("different options"));
  EXPECT_THAT(message([] { ms_ssim().merge(ms_ssim({.betas = {1}})); }), HasSubstr("different options"));
}

}  // namespace
}  // namespace athanor::metrics::image_quality_test
