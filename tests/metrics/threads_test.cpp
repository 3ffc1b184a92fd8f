// SPDX-License-Identifier: Apache-2.0
// Metrics that share their work among threads give the same bits with one and with three.
#include <ATen/ops/cat.h>
#include <ATen/ops/logical_xor.h>
#include <gtest/gtest.h>

#include "athanor/core/host.hpp"
#include "athanor/metrics/curves.hpp"
#include "athanor/metrics/detection.hpp"
#include "athanor/metrics/image_quality.hpp"
#include "athanor/metrics/metric.hpp"
#include "tests/metrics/metrics_testing.hpp"

namespace athanor::metrics::threads_test {
namespace {

using namespace athanor::metrics::testing;

template <class Calculate>
void expect_same_bits(const Calculate& calculate) {
  std::vector<Tree> results;
  for (const int threads : {1, 3}) {
    const HostGuard guard({.keep_freed_memory = false, .threads = threads});
    results.push_back(Tree(calculate()));
  }
  EXPECT_TRUE(compare_states(results[0], results[1]).empty()) << results[0].describe() << "\n" << results[1].describe();
}

TEST(MetricThreads, CurvesOfManyScores) {
  std::mt19937 random(5);
  const at::Tensor scores = random_normal(random, {400'000}).to(at::kFloat);
  const at::Tensor target = random_labels(random, {400'000}, 2);
  expect_same_bits([&] { return auroc(scores, target); });
  expect_same_bits([&] { return auroc(scores.to(at::kDouble), target); });
  expect_same_bits([&] { return average_precision(scores, target); });
  const at::Tensor logits = random_normal(random, {30'000, 7}).to(at::kFloat);
  const at::Tensor classes = random_labels(random, {30'000}, 7);
  expect_same_bits([&] { return auroc(logits, classes); });
}

TEST(MetricThreads, ImageWindows) {
  std::mt19937 random(6);
  const at::Tensor images = random_normal(random, {5, 3, 40, 33}).sigmoid();
  const at::Tensor others = (images + 0.1 * random_normal(random, {5, 3, 40, 33})).clamp(0, 1);
  expect_same_bits([&] { return ssim(images, others, {.data_range = 1.0}); });
}

/// A batch of images with six objects each, as boxes or as masks.
struct Detections {
  Tree::List predictions, targets;

  Detections(std::mt19937& random, int images, bool masks) {
    for (int i = 0; i < images; ++i) {
      const at::Tensor corners = random_normal(random, {6, 2}).abs() * 20;
      const at::Tensor boxes = at::cat({corners, corners + 5 + random_normal(random, {6, 2}).abs() * 20}, 1);
      const at::Tensor pixels = random_normal(random, {6, 30, 20}).gt(0.3);
      const at::Tensor kinds = random_labels(random, {6}, 3);
      Tree prediction{{"scores", random_normal(random, {6}).sigmoid()}, {"labels", kinds}};
      Tree target{{"labels", kinds}};
      const char* what = masks ? "masks" : "boxes";
      prediction.at_or_insert(what) = masks ? pixels.logical_xor(random_normal(random, {6, 30, 20}).gt(1)) : boxes + 1;
      target.at_or_insert(what) = masks ? pixels : boxes;
      predictions.push_back(std::move(prediction));
      targets.push_back(std::move(target));
    }
  }
};

TEST(MetricThreads, DetectionOfBoxesAndMasks) {
  for (const bool masks : {false, true}) {
    std::mt19937 random(7);
    const Detections batch(random, 70, masks);
    const DetectionOptions options{.of = masks ? DetectionOf::masks : DetectionOf::boxes, .per_class = true};
    expect_same_bits([&] {
      MeanAveragePrecision metric(options);
      metric.update(Tree::list(batch.predictions), Tree::list(batch.targets));
      return metric.compute();
    });
  }
}

// The first image with a mistake is named, whichever thread comes to its own first.
TEST(MetricThreads, AMistakeIsThatOfTheFirstImage) {
  std::mt19937 random(8);
  Detections batch(random, 60, false);
  for (const size_t image : {size_t{11}, size_t{13}, size_t{33}, size_t{50}})
    batch.targets[image].at_or_insert("labels") = labels({1});
  const HostGuard guard({.keep_freed_memory = false, .threads = 3});
  for (int round = 0; round < 20; ++round) {
    MeanAveragePrecision metric;
    const std::string text = message([&] { metric.update(Tree::list(batch.predictions), Tree::list(batch.targets)); });
    EXPECT_NE(text.find("image 11"), std::string::npos) << text;
    EXPECT_TRUE(metric.empty());
  }
}

}  // namespace
}  // namespace athanor::metrics::threads_test
