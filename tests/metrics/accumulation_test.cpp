// SPDX-License-Identifier: Apache-2.0
// Every metric over every split: batches, merged parts and a state saved in mid-epoch come to what the whole comes to;
// the whole is checked against a plain reference; the path for devices gives the same as the one for the CPU.
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/stack.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "athanor/metrics/class_ratio.hpp"
#include "athanor/metrics/decisions.hpp"
#include "athanor/metrics/metrics.hpp"
#include "athanor/metrics/on_device.hpp"
#include "tests/metrics/metrics_testing.hpp"

namespace athanor::metrics::accumulation_test {
namespace {

using namespace athanor::metrics::testing;

struct Case {
  Metric metric;
  at::Tensor predictions;
  at::Tensor target;
};

std::vector<Case> cases(std::mt19937& random, int64_t samples) {
  const at::Tensor scores = random_scores(random, {samples, 5});
  const at::Tensor target = random_labels(random, {samples}, 5);
  const at::Tensor logits = random_scores(random, {samples});
  const at::Tensor flags = random_labels(random, {samples}, 2).to(at::kFloat);
  const at::Tensor maps = random_scores(random, {samples, 3, 2, 2});
  const at::Tensor map_target = random_labels(random, {samples, 2, 2}, 3);
  const at::Tensor values = random_normal(random, {samples, 3}, 7);
  const at::Tensor truth = values + random_normal(random, {samples, 3});
  const auto spread = [](const at::Tensor& a, const at::Tensor& b) {
    return Tree{{"bias", (a - b).mean()}, {"one", 1}};
  };
  const auto largest = [](const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max() / b.abs().max(); };
  const auto diagonal = [](const at::Tensor& matrix) { return Tree{{"right", matrix.trace()}, {"all", matrix.sum()}}; };
  const at::Tensor many = random_labels(random, {samples, 4}, 2);
  const at::Tensor many_logits = random_scores(random, {samples, 4});
  const CurveOptions labels_apart{.kind = Kind::multilabel, .average = Average::per_class};
  const CurveOptions of_labels{.kind = Kind::multilabel, .average = Average::weighted, .bins = 7};
  const Formula counts = 2 * precision() * recall() / (precision() + recall());
  return {{accuracy(), scores, target},
          {accuracy({.top_k = 2}), scores, target},
          {accuracy({.ignore_index = 1}), scores, target},
          {accuracy(), logits, flags},
          {accuracy(), maps, map_target},
          {precision({.average = Average::per_class}), scores, target},
          {recall(), scores, target},
          {f1(), logits, flags},
          {f1({.average = Average::weighted, .ignore_index = 0}), maps, map_target},
          {accuracy({.average = Average::macro, .top_k = 2}), scores, target},
          {accuracy({.kind = Kind::multilabel, .average = Average::per_class}), many_logits, many},
          {hamming_distance({.kind = Kind::multilabel}), many_logits, many},
          {balanced_accuracy({.ignore_index = 4, .adjusted = true}), scores, target},
          {specificity({.kind = Kind::multilabel}), many_logits, many},
          {f_beta(0.5, {.average = Average::micro}), scores, target},
          {jaccard({.average = Average::per_class}), maps, map_target},
          {dice({.kind = Kind::multilabel, .average = Average::micro, .ignore_index = 0}), many_logits, many},
          {cohen_kappa({.weights = KappaWeights::quadratic}), scores, target},
          {matthews(), maps, map_target},
          {matthews({.kind = Kind::multilabel}), many_logits, many},
          {confusion_matrix({.kind = Kind::multilabel, .normalize = Normalize::target}), many_logits, many},
          {auroc(), logits, flags},
          {auroc({.average = Average::weighted, .ignore_index = 2}), scores, target},
          {auroc(labels_apart), many_logits, many},
          {auroc({.average = Average::micro, .bins = 20}), scores, target},
          {auroc(of_labels), many_logits.to(at::kBFloat16), many},
          {average_precision({.average = Average::per_class}), maps, map_target},
          {kolmogorov_smirnov({.from_logits = false}), logits.sigmoid(), flags},
          {roc_curve({.ignore_index = 0}), scores, target},
          {precision_recall_curve({.bins = 5}), logits, flags},
          {log_loss(), scores, target},
          {log_loss({.from_logits = false, .ignore_index = 1}), maps.softmax(1), map_target},
          {log_loss({.kind = Kind::multilabel}), many_logits, many},
          {calibration_error(), scores, target},
          {calibration_error({.bins = 4, .norm = CalibrationNorm::maximum}), logits, flags},
          {segmentation_iou({.include_background = false}), maps, map_target},
          {segmentation_iou({.average = Average::per_class, .of = OverlapOf::image}), maps, map_target},
          {segmentation_dice({.average = Average::micro, .of = OverlapOf::image, .ignore_index = 0}), maps, map_target},
          {mape(), values, truth},
          {smape(), values, truth},
          {quantile_loss(0.9), values, truth},
          {cosine_similarity(), values, truth},
          {explained_variance(), values, truth},
          {pearson(), values, truth},
          {concordance(), values.to(at::kFloat), truth.to(at::kFloat)},
          {spearman(), values.round(), truth.round()},
          {kendall(KendallVariant::c), values.round(), truth.round()},
          {sum(), values, truth},
          {minimum(), values, truth},
          {maximum(), values.to(at::kBFloat16), truth},
          {Metric("formula", counts), scores, target},
          {Metric("classes", 1 - recall({.average = Average::per_class}) / 2), scores, target},
          {confusion_matrix(), maps, map_target},
          {confusion_matrix({.normalize = Normalize::target}), scores, target},
          {mae(), values, truth},
          {mse(), values.to(at::kFloat), truth.to(at::kFloat)},
          {rmse(), values, truth},
          {r2(), values, truth},
          {mean(), values, truth},
          {Metric("function", [](const at::Tensor& a, const at::Tensor& b) { return (a - b).mean(); }), values, truth},
          {Metric("several", spread), values, truth},
          {Metric("kept", accumulate::keep_all(largest)), values, truth},
          {Metric("kept_on_cpu", accumulate::keep_all(spread, {.on_cpu = true})), values, truth},
          {Metric("", accumulate::confusion(5, diagonal)), scores, target}};
}

void expect_near(const Tree& got, const Tree& expected, const std::string& name) {
  if (got.is_dictionary()) {
    ASSERT_EQ(got.size(), expected.size()) << name;
    for (const auto& [entry, value] : got.entries()) expect_near(value, expected[entry], name + "." + entry);
  } else if (got.is_tensor() && got.tensor().dim() == 0) {
    expect_near(got.tensor().item().toDouble(), expected.tensor().item().toDouble(), name);
  } else if (got.is_tensor()) {
    const bool floating = expected.tensor().is_floating_point();
    EXPECT_TRUE(floating ? got.tensor().allclose(expected.tensor(), 0, 0, /*equal_nan=*/true)
                         : equal_bits(got.tensor(), expected.tensor()))
        << name;
  } else if (std::isnan(expected.real())) {
    EXPECT_TRUE(std::isnan(got.real())) << name;
  } else {
    EXPECT_NEAR(got.real(), expected.real(), 1e-12 * std::max(1.0, std::abs(expected.real()))) << name;
  }
}

struct Piece {
  int64_t from;
  int64_t to;
};

/// 0 … samples cut at random places, ragged and sometimes empty.
std::vector<Piece> cut(std::mt19937& random, int64_t samples) {
  std::vector<Piece> pieces;
  std::uniform_int_distribution<int64_t> size(0, 9);
  for (int64_t from = 0; from < samples;) {
    const int64_t to = std::min(samples, from + size(random));
    pieces.push_back({from, to});
    from = to;
  }
  return pieces;
}

void feed(Metric& metric, const Case& data, Piece piece) {
  metric.update(data.predictions.slice(0, piece.from, piece.to), data.target.slice(0, piece.from, piece.to),
                piece.to - piece.from);
}

TEST(Accumulation, AnySplitInAnyOrderEqualsTheWhole) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    std::mt19937 random(seed);
    const int64_t samples = 2 + static_cast<int64_t>(seed) * 3;
    for (const Case& data : cases(random, samples)) {
      const std::string name = data.metric.name() + ", seed " + std::to_string(seed);
      Metric whole = data.metric;
      feed(whole, data, {0, samples});

      std::vector<Piece> pieces = cut(random, samples);
      Metric batches = data.metric;
      for (const Piece piece : pieces) feed(batches, data, piece);
      expect_near(batches.compute(), whole.compute(), name + ", batches");

      std::shuffle(pieces.begin(), pieces.end(), random);
      std::vector<Metric> parts(3, data.metric);
      for (size_t i = 0; i < pieces.size(); ++i) feed(parts[i % 3], data, pieces[i]);
      std::shuffle(parts.begin(), parts.end(), random);
      Metric merged = data.metric;
      for (const Metric& part : parts) merged.merge(part);
      expect_near(merged.compute(), whole.compute(), name + ", merged");
    }
  }
}

TEST(Accumulation, GoesOnFromASavedStateBitForBit) {
  std::mt19937 random(11);
  for (Case& data : cases(random, 40)) {
    Metric through = data.metric;
    for (const Piece piece : {Piece{0, 7}, {7, 20}}) feed(through, data, piece);
    const Tree saved = save_state(through);
    Metric fresh = data.metric;
    load_state(fresh, saved);
    Metric dirty = data.metric;
    feed(dirty, data, {3, 9});
    load_state(dirty, saved);
    for (Metric* metric : {&through, &fresh, &dirty}) feed(*metric, data, {20, 40});
    Tree end = save_state(through);
    EXPECT_TRUE(compare_states(end, save_state(fresh)).empty()) << data.metric.name();
    EXPECT_TRUE(compare_states(end, save_state(dirty)).empty()) << data.metric.name();
    EXPECT_FALSE(compare_states(end, saved).empty()) << data.metric.name() << ": the saved state moved along";
    Metric empty = data.metric;
    load_state(through, save_state(empty));
    feed(through, data, {0, 40});
    feed(empty, data, {0, 40});
    EXPECT_TRUE(compare_states(save_state(through), save_state(empty)).empty()) << data.metric.name();
  }
}

TEST(Accumulation, StartsInInferenceModeAndGoesOnOutside) {
  std::mt19937 random(12);
  for (Case& data : cases(random, 20)) {
    Metric other = data.metric;
    {
      const c10::InferenceMode inference;
      feed(data.metric, data, {0, 10});
      feed(other, data, {0, 10});
    }
    feed(data.metric, data, {10, 20});
    data.metric.merge(other);
    EXPECT_NO_THROW((void)data.metric.compute()) << data.metric.name();
  }
}

// A meta tensor has no values: any reading back of a tensor that is not on the CPU throws.
TEST(Accumulation, ReadsNothingBackFromADevice) {
  std::mt19937 random(13);
  for (Case& data : cases(random, 20)) {
    if (data.metric.name() == "kept_on_cpu") continue;
    data.predictions = data.predictions.to(at::kMeta);
    data.target = data.target.to(at::kMeta);
    Metric copy = data.metric;
    EXPECT_NO_THROW({
      feed(data.metric, data, {0, 10});
      feed(data.metric, data, {10, 20});
      feed(copy, data, {0, 20});
      data.metric.merge(copy);
    }) << data.metric.name();
  }
}

// The host's counters and sums are those that the operators give for the same batch.
TEST(OnDevice, AddsWhatTheHostAdds) {
  std::mt19937 random(15);
  const auto expect_same = [](Metric metric, const at::Tensor& predictions, const at::Tensor& target,
                              const at::Tensor& by_operators, std::initializer_list<const char*> path) {
    metric.update(predictions, target, predictions.size(0));
    const Tree saved = save_state(metric);
    const Tree* at = &saved;
    for (const char* name : path) at = &(*at)[name];
    EXPECT_TRUE(at->tensor().to(at::kDouble).allclose(by_operators.to(at::kDouble), 1e-6, 1e-6)) << metric.name();
  };
  for (int round = 0; round < 20; ++round) {
    const at::Tensor logits = random_scores(random, {6, 4, 3});
    const at::Tensor target = random_labels(random, {6, 3}, 4);
    const at::Tensor flags = random_labels(random, {6, 4, 3}, 2);
    const at::Tensor some = logits.select(2, 0).select(1, 0);
    const at::Tensor some_flags = flags.select(2, 0).select(1, 0);

    for (const auto& [kind, labels] : {std::pair(Kind::multiclass, target), std::pair(Kind::multilabel, flags)}) {
      const ClassificationOptions options{.kind = kind, .ignore_index = 1};
      const detail::Rules rules = detail::rules_of("recall", options);
      const detail::Layout layout = detail::understand(logits, labels, rules);
      const detail::DeviceDecisions decided = detail::decide_on_device(logits, labels, layout, rules);
      expect_same(recall(options), logits, labels, detail::class_counts_on_device(decided, layout),
                  {"counts", "counts"});
    }
    const std::tuple<Kind, at::Tensor, at::Tensor> problems[] = {
        {Kind::multiclass, logits, target}, {Kind::multilabel, logits, flags}, {Kind::binary, some, some_flags}};
    for (const auto& [kind, all_scores, labels] : problems) {
      for (const bool from_logits : {true, false}) {
        const at::Tensor scores = from_logits                ? all_scores
                                  : kind == Kind::multiclass ? all_scores.softmax(1)
                                                             : all_scores.sigmoid();
        const detail::ScoreRules rules{.kind = kind, .from_logits = from_logits, .ignore_index = 1};
        const detail::ScoreBatch batch = detail::read_scores(scores, labels, rules);
        expect_same(auroc({.kind = kind, .from_logits = from_logits, .ignore_index = 1, .bins = 9}), scores, labels,
                    detail::bin_counts_on_device(batch, rules, 9), {"counts", "counts"});
        expect_same(log_loss({.kind = kind, .from_logits = from_logits, .ignore_index = 1}), scores, labels,
                    detail::log_losses_on_device(batch, rules), {"sums", "sums"});
        expect_same(calibration_error({.kind = kind, .bins = 7, .from_logits = from_logits, .ignore_index = 1}), scores,
                    labels, detail::calibration_on_device(batch, rules, 7), {"sums", "sums"});
      }
    }

    const detail::Rules rules{.ignore_index = 0};
    const detail::Layout layout = detail::understand(logits, target, rules);
    const at::Tensor images =
        detail::image_counts_on_device(detail::decide_on_device(logits, target, layout, rules), layout);
    expect_same(recall({.ignore_index = 0}), logits, target, at::cat({images.sum(0).reshape(-1), labels({0})}),
                {"counts", "counts"});
  }
}

TEST(OnDevice, CountsWhatIsOfNoUse) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const detail::ScoreRules rules{.kind = Kind::binary, .from_logits = false, .ignore_index = -1};
  // On the CPU such a batch is refused, so it is put together by hand.
  const detail::ScoreBatch batch{
      .scores = floats({0.5F, nan, 2, nan, 0.25F}), .labels = labels({1, 1, 0, -1, 7}), .places = 5, .columns = 1};
  const detail::UsableScores usable = detail::usable_on_device(batch, rules);
  EXPECT_TRUE(usable.valid.equal(tensor<uint8_t>({1, 0, 0, 0, 0}).to(at::kBool)));
  EXPECT_EQ(usable.refused.item().toLong(), 3);
  EXPECT_TRUE(detail::log_losses_on_device(batch, rules).allclose(doubles({std::log(2.0), 1, 3})));
  const at::Tensor bins = detail::bin_counts_on_device(batch, rules, 3);
  EXPECT_TRUE(bins.equal(labels({0, 0, 0, 0, 1, 0, 3})));
  EXPECT_TRUE(detail::calibration_on_device(batch, rules, 2).allclose(doubles({0, 1, 0, 0, 0.5, 0, 0, 1, 0, 3})));
}

void expect_same_decisions(const at::Tensor& predictions, const at::Tensor& target, const detail::Rules& rules) {
  const detail::Layout layout = detail::understand(predictions, target, rules);
  const detail::Decisions host(predictions, target, layout, rules);
  const detail::DeviceDecisions device = detail::decide_on_device(predictions, target, layout, rules);
  const at::Tensor predicted = device.predicted.masked_select(device.valid);
  const at::Tensor labels = device.target.masked_select(device.valid);
  int64_t i = 0;
  host.each([&](int64_t one, int64_t other) {
    ASSERT_EQ(predicted[i].item().toLong(), one);
    ASSERT_EQ(labels[i].item().toLong(), other);
    ++i;
  });
  EXPECT_EQ(i, labels.numel());
  EXPECT_EQ(device.refused.item().toLong(), 0);
}

TEST(DeviceDecisions, EqualThoseOfTheHost) {
  std::mt19937 random(14);
  for (int round = 0; round < 20; ++round) {
    const at::Tensor scores = random_scores(random, {9, 4});
    const at::Tensor target = random_labels(random, {9}, 4);
    const at::Tensor maps = random_scores(random, {2, 4, 3});
    const at::Tensor map_target = random_labels(random, {2, 3}, 4);
    const at::Tensor flags = random_labels(random, {9, 4}, 2);
    expect_same_decisions(scores, target, {});
    expect_same_decisions(scores, target, {.ignore_index = 2});
    for (const int64_t k : {2, 3, 4}) {
      expect_same_decisions(scores, target, {.top_k = k});
      expect_same_decisions(maps, map_target, {.top_k = k, .ignore_index = 1});
    }
    expect_same_decisions(maps, map_target, {});
    expect_same_decisions(scores, flags, {.kind = Kind::binary, .threshold = 0.3});
    expect_same_decisions(scores, flags, {.kind = Kind::multilabel, .threshold = 0.3, .ignore_index = 1});
    expect_same_decisions(scores.sigmoid().to(at::kBFloat16), flags.to(at::kFloat),
                          {.kind = Kind::binary, .threshold = 0.3, .from_logits = false});
    expect_same_decisions(scores, random_scores(random, {9, 4}), {.kind = Kind::multiclass});
    expect_same_decisions(target, random_labels(random, {9}, 4), {.classes = 4});
  }
}

TEST(DeviceDecisions, CountWithoutWhatIsNotValid) {
  const at::Tensor counts =
      detail::count_on_device(labels({0, 7, 2, 2, -1}), tensor<uint8_t>({1, 0, 1, 1, 0}).to(at::kBool), 3);
  EXPECT_TRUE(equal_bits(counts, labels({1, 0, 2})));
}

TEST(DeviceDecisions, LeaveOutAndCountScoresOfNoUse) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto refused = [](const at::Tensor& scores, const at::Tensor& target, const detail::Rules& rules) {
    const detail::Layout layout = detail::understand(scores, target, rules);
    return detail::decide_on_device(scores, target, layout, rules).refused.item().toLong();
  };
  const at::Tensor scores = floats({1, nan, 1, 0, nan, nan}, {3, 2});
  EXPECT_EQ(refused(scores, labels({0, 1, 1}), {}), 2);
  EXPECT_EQ(refused(scores, labels({0, 1, 1}), {.ignore_index = 0}), 1);
  EXPECT_EQ(refused(floats({0.5F, 2, nan}), labels({0, 1, 1}), {}), 1);
  EXPECT_EQ(refused(floats({0.5F, 2, nan}), labels({0, 1, 1}), {.from_logits = false}), 2);
}

TEST(DeviceDecisions, CountLabelsOutOfRangeForCompute) {
  const detail::Rules rules{.metric = "accuracy"};
  const at::Tensor scores = floats({1, 0, 1, 0, 1, 0}, {3, 2});
  const at::Tensor target = labels({0, 2, -1});
  const detail::Layout layout = detail::understand(scores, target, rules);
  EXPECT_EQ(detail::decide_on_device(scores, target, layout, rules).refused.item().toLong(), 2);
  Counts counts;
  counts.add(labels({1, 1, 2}));
  EXPECT_NE(message([&] { (void)counts.read("accuracy"); }).find("2 such places"), std::string::npos);
}

// Written as a textbook writes it, in double, without any of the code under test.
TEST(Accumulation, EqualsAPlainReference) {
  for (uint32_t seed = 100; seed < 140; ++seed) {
    std::mt19937 random(seed);
    const int64_t samples = 2 + static_cast<int64_t>(seed % 17);
    const at::Tensor scores = random_scores(random, {samples, 4});
    const at::Tensor target = random_labels(random, {samples}, 4);
    double counts[4][4] = {};
    int64_t best_two = 0;
    for (int64_t i = 0; i < samples; ++i) {
      std::vector<int64_t> order(4);
      std::iota(order.begin(), order.end(), 0);
      const float* row = scores.const_data_ptr<float>() + i * 4;
      std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return row[a] > row[b]; });
      const int64_t label = target.const_data_ptr<int64_t>()[i];
      ++counts[label][order[0]];
      best_two += order[0] == label || order[1] == label;
    }
    double right = 0;
    double macro = 0;
    int occurring = 0;
    for (int c = 0; c < 4; ++c) {
      double predicted = 0;
      double truth = 0;
      for (int other = 0; other < 4; ++other) {
        predicted += counts[other][c];
        truth += counts[c][other];
      }
      right += counts[c][c];
      if (predicted + truth == 0) continue;
      ++occurring;
      const double p = predicted > 0 ? counts[c][c] / predicted : 0;
      const double r = truth > 0 ? counts[c][c] / truth : 0;
      macro += p + r > 0 ? 2 * p * r / (p + r) : 0;
    }
    EXPECT_DOUBLE_EQ(accuracy(scores, target), right / static_cast<double>(samples));
    EXPECT_DOUBLE_EQ(accuracy(scores, target, {.top_k = 2}),
                     static_cast<double>(best_two) / static_cast<double>(samples));
    EXPECT_NEAR(f1(scores, target), macro / occurring, 1e-14);
  }
}

}  // namespace
}  // namespace athanor::metrics::accumulation_test
