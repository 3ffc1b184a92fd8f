// SPDX-License-Identifier: Apache-2.0
// What every metric refuses: a value before any update, shapes that do not fit, labels out of range, NaN scores.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "athanor/metrics/metrics.hpp"
#include "tests/metrics/metrics_testing.hpp"

namespace athanor::metrics::refusals_test {
namespace {

using namespace athanor::metrics::testing;
using ::testing::AnyOf;
using ::testing::HasSubstr;

Metrics of_classes() {
  return {accuracy(),
          {"top2", accuracy({.top_k = 2})},
          {"acc_macro", accuracy({.average = Average::macro})},
          hamming_distance(),
          balanced_accuracy(),
          precision(),
          recall(),
          specificity(),
          f1(),
          f_beta(2),
          jaccard(),
          dice(),
          cohen_kappa(),
          matthews(),
          confusion_matrix(),
          auroc(),
          {"auroc_bins", auroc({.bins = 10})},
          average_precision(),
          kolmogorov_smirnov(),
          roc_curve(),
          precision_recall_curve(),
          log_loss(),
          calibration_error(),
          segmentation_iou(),
          {"images", segmentation_iou({.of = OverlapOf::image})},
          segmentation_dice(),
          {"formula", 1 - accuracy()},
          running(accuracy(), 3)};
}

Metrics of_values() {
  return {mae(),     mse(),         rmse(),     mape(),   smape(), quantile_loss(), r2(), explained_variance(),
          pearson(), concordance(), spearman(), kendall()};
}

Metrics all() {
  Metrics metrics = of_classes();
  const Metrics more = of_values();
  metrics.insert(metrics.end(), more.begin(), more.end());
  for (Metric each :
       {Metric(cosine_similarity()), Metric(mean()), Metric(metrics::sum()), Metric(minimum()), Metric(maximum())}) {
    metrics.push_back(std::move(each));
  }
  return metrics;
}

TEST(Refusals, NoValueBeforeAnyUpdate) {
  for (const Metric& metric : all()) {
    EXPECT_THAT(message([&] { (void)metric.compute(); }),
                AnyOf(HasSubstr("before anything was seen"), HasSubstr("0 samples")))
        << metric.name();
    EXPECT_TRUE(metric.empty()) << metric.name();
  }
}

TEST(Refusals, NoValueAfterReset) {
  const at::Tensor scores = floats({1, 0, 0, 2, 1, 2}, {2, 3});
  for (Metric metric : of_classes()) {
    metric.update(scores, labels({0, 1}), 2);
    EXPECT_NO_THROW((void)metric.compute()) << metric.name();
    metric.reset();
    EXPECT_TRUE(metric.empty()) << metric.name();
    EXPECT_THROW((void)metric.compute(), Error) << metric.name();
  }
  for (Metric metric : of_values()) {
    metric.update(doubles({1, 2, 4}), doubles({1, 3, 3}), 3);
    EXPECT_FALSE(metric.empty()) << metric.name();
    EXPECT_NO_THROW((void)metric.compute()) << metric.name();
    metric.reset();
    EXPECT_THROW((void)metric.compute(), Error) << metric.name();
  }
}

TEST(Refusals, NothingButIgnoredTargets) {
  const std::optional<int64_t> none = -1;
  const at::Tensor scores = floats({1, 0, 0, 2}, {2, 2});
  for (Metric metric :
       {Metric(accuracy({.ignore_index = none})), Metric(recall({.ignore_index = none})),
        Metric(cohen_kappa({.ignore_index = none})), Metric(matthews({.ignore_index = none})),
        Metric(balanced_accuracy({.ignore_index = none})), Metric(auroc({.ignore_index = none})),
        Metric(auroc({.average = Average::micro, .ignore_index = none})),
        Metric(auroc({.ignore_index = none, .bins = 4})), Metric(log_loss({.ignore_index = none})),
        Metric(calibration_error({.ignore_index = none})), Metric(segmentation_iou({.ignore_index = none})),
        Metric(segmentation_iou({.of = OverlapOf::image, .ignore_index = none}))}) {
    metric.update(scores, labels({-1, -1}), 2);
    EXPECT_THAT(message([&] { (void)metric.compute(); }),
                AnyOf(HasSubstr("only targets that it ignores"), HasSubstr("no image")))
        << metric.name();
  }
}

TEST(Refusals, ShapesThatDoNotFit) {
  for (Metric metric : of_classes()) {
    EXPECT_THAT(message([&] {
                  metric.update(floats({1, 0, 0, 2, 1, 2}, {2, 3}), labels({0, 1, 2}), 2);
                }),
                HasSubstr("predictions float32 (2, 3), target int64 (3)"))
        << metric.name();
  }
  for (Metric metric : of_values()) {
    EXPECT_THAT(message([&] {
                  metric.update(floats({1, 2, 3}), floats({1, 2}), 3);
                }),
                HasSubstr("predictions float32 (3), target float32 (2)"))
        << metric.name();
  }
  Metric cosine = cosine_similarity();
  EXPECT_THAT(message([&] {
                cosine.update(floats({1, 2}), floats({1, 2}), 2);
              }),
              HasSubstr("a vector for each sample"));
}

TEST(Refusals, LabelsOutOfRangeAreNamedAndNotCounted) {
  const at::Tensor scores = floats({1, 0, 0, 2, 1, 2}, {2, 3});
  for (Metric metric : of_classes()) {
    Metric other = metric;
    for (Metric* each : {&metric, &other}) each->update(scores, labels({0, 1}), 2);
    const std::string text = message([&] { metric.update(scores, labels({0, 3}), 2); });
    EXPECT_THAT(text, HasSubstr("got:      3")) << metric.name();
    EXPECT_THAT(text, HasSubstr("row 1 of the batch")) << metric.name();
    EXPECT_THAT(text, HasSubstr("0 to 2")) << metric.name();
    EXPECT_TRUE(compare_states(save_state(metric), save_state(other)).empty()) << metric.name() << " counted it";
  }
}

TEST(Refusals, NanScoresAreNamedAndNotCounted) {
  const at::Tensor scores = floats({1, 0, 0, 2, 1, 2}, {2, 3});
  const at::Tensor broken = floats({1, 0, 0, 2, std::numeric_limits<float>::quiet_NaN(), 2}, {2, 3});
  for (Metric metric : of_classes()) {
    Metric other = metric;
    for (Metric* each : {&metric, &other}) each->update(scores, labels({0, 1}), 2);
    EXPECT_THAT(message([&] {
                  metric.update(broken, labels({0, 1}), 2);
                }),
                HasSubstr("2.000000, nan, 2.000000"))
        << metric.name();
    EXPECT_TRUE(compare_states(save_state(metric), save_state(other)).empty()) << metric.name() << " counted it";
  }
}

TEST(Refusals, NanValuesOfRegressionShow) {
  for (Metric metric : of_values()) {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    metric.update(doubles({1, nan, 4, 2}), doubles({1, 3, 3, 2}), 4);
    metric.update(doubles({1, 2, 4, 2}), doubles({1, 3, 3, 1}), 4);
    EXPECT_TRUE(std::isnan(metric.compute().real())) << metric.name();
  }
}

TEST(Refusals, OptionsOutOfRange) {
  EXPECT_THAT(message([] { (void)f_beta(0); }), HasSubstr("beta is out of range"));
  EXPECT_THAT(message([] { (void)quantile_loss(1.5); }), HasSubstr("1.5"));
  EXPECT_THAT(message([] { (void)recall({.kind = Kind::multilabel, .classes = 0}); }),
              HasSubstr("classes is too small"));
  EXPECT_THAT(message([] { (void)balanced_accuracy({.kind = Kind::multilabel}); }), HasSubstr("multi-label"));
  EXPECT_THAT(message([] { (void)cohen_kappa({.kind = Kind::multilabel}); }), HasSubstr("multi-label"));
  EXPECT_THAT(message([] { (void)matthews({.average = Average::macro}); }), HasSubstr("average"));
  EXPECT_THAT(message([] { (void)segmentation_iou({.kind = Kind::multilabel}); }), HasSubstr("jaccard()"));
  const at::Tensor flags = labels({1, 0}, {1, 2});
  EXPECT_THAT(message([&] {
                (void)recall(floats({1, 2}, {1, 2}), flags, {.kind = Kind::multilabel, .classes = 3});
              }),
              HasSubstr("with 3 labels"));
  EXPECT_THAT(message([&] {
                (void)recall(floats({1, 2}), labels({0, 1}), {.kind = Kind::multilabel});
              }),
              HasSubstr("for each label"));
}

TEST(Refusals, MergingWhatWasCountedOtherwise) {
  EXPECT_THAT(message([] { recall().merge(recall({.top_k = 2})); }), HasSubstr("different options"));
  EXPECT_THAT(message([] { recall().merge(precision()); }), HasSubstr("different options"));
  EXPECT_THAT(message([] { f_beta(2).merge(f_beta(3)); }), HasSubstr("different options"));
  EXPECT_THAT(message([] { quantile_loss(0.2).merge(quantile_loss(0.3)); }), HasSubstr("different options"));
  EXPECT_THAT(message([] { kendall().merge(kendall(KendallVariant::c)); }), HasSubstr("different options"));
  EXPECT_THAT(message([] { log_loss().merge(log_loss({.from_logits = false})); }), HasSubstr("different options"));
  EXPECT_THAT(message([] { segmentation_iou().merge(segmentation_iou({.of = OverlapOf::image})); }),
              HasSubstr("different options"));
  Recall two, three;
  two.update(floats({1, 0}, {1, 2}), labels({0}));
  three.update(floats({1, 0, 0}, {1, 3}), labels({0}));
  EXPECT_THAT(message([&] { two.merge(three); }), HasSubstr("the number of classes changed"));
}

}  // namespace
}  // namespace athanor::metrics::refusals_test
