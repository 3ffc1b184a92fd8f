// SPDX-License-Identifier: Apache-2.0
// Mean average precision of cases that are calculated by hand; merging, ids of images, saved states, and what is
// refused.
#include "athanor/metrics/detection.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "athanor/metrics/masks.hpp"
#include "athanor/metrics/metric.hpp"
#include "tests/metrics/metrics_testing.hpp"

namespace athanor::metrics::detection_test {
namespace {

using namespace athanor::metrics::testing;
using ::testing::HasSubstr;

using Boxes = std::vector<std::vector<float>>;

at::Tensor boxes_of(const Boxes& boxes) {
  std::vector<float> flat;
  for (const auto& box : boxes) flat.insert(flat.end(), box.begin(), box.end());
  return floats(flat, {static_cast<int64_t>(boxes.size()), 4});
}

at::Tensor column(const std::vector<int64_t>& values) { return labels(values, {static_cast<int64_t>(values.size())}); }

Tree found(const Boxes& boxes, const std::vector<float>& scores, const std::vector<int64_t>& classes) {
  return Tree{{"boxes", boxes_of(boxes)},
              {"scores", floats(scores, {static_cast<int64_t>(scores.size())})},
              {"labels", column(classes)}};
}

Tree wanted(const Boxes& boxes, const std::vector<int64_t>& classes, std::optional<int64_t> id = {}) {
  Tree target{{"boxes", boxes_of(boxes)}, {"labels", column(classes)}};
  if (id) target.at_or_insert("image_id") = *id;
  return target;
}

const std::vector<float> here = {0, 0, 10, 10};
const std::vector<float> there = {20, 20, 50, 60};
const std::vector<float> nowhere = {70, 70, 80, 80};

double value(const Tree& result, const char* name) { return result[name].real(); }

// Right, wrong, right: precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1. The curve is 1 at the 51 points from 0 to 0.5 and
// 2/3 at the other 50.
TEST(Detection, EqualsWhatIsCalculatedByHand) {
  const Tree result = mean_average_precision(Tree::list({found({there, nowhere, here}, {0.7F, 0.8F, 0.9F}, {3, 3, 3})}),
                                             Tree::list({wanted({here, there}, {3, 3})}));
  const double expected = (51 + 50 * 2.0 / 3) / 101;
  for (const char* name : {"map", "map_50", "map_75"}) EXPECT_NEAR(value(result, name), expected, 1e-12) << name;
  EXPECT_EQ(value(result, "mar_1"), 0.5);
  EXPECT_EQ(value(result, "mar_10"), 1);
  EXPECT_EQ(value(result, "mar_100"), 1);
  // The small target has 100 square pixels; wrong detections of that size are not ignored. The medium one has 1200.
  EXPECT_NEAR(value(result, "map_small"), 1, 1e-12);
  EXPECT_NEAR(value(result, "map_medium"), 1, 1e-12);
  EXPECT_TRUE(std::isnan(value(result, "map_large")));
  EXPECT_EQ(value(result, "mar_small"), 1);
  EXPECT_TRUE(std::isnan(value(result, "mar_large")));
  EXPECT_EQ(result.size(), 12U);
}

TEST(Detection, TakesEachTargetOnceAndACrowdAgainAndAgain) {
  const auto of = [](bool crowd) {
    Tree target = wanted({here, there}, {0, 0});
    target.at_or_insert("iscrowd") = column({crowd ? 1 : 0, 0});
    return mean_average_precision(
        Tree::list({found({here, here, here, there}, {0.9F, 0.8F, 0.7F, 0.6F}, {0, 0, 0, 0})}), Tree::list({target}));
  };
  // Right, wrong, wrong, right: 1 up to recall 1/2, then 2/4.
  EXPECT_NEAR(value(of(false), "map"), (51 + 50 * 0.5) / 101, 1e-12);
  // Those that lie in a crowd count neither way.
  EXPECT_NEAR(value(of(true), "map"), 1, 1e-12);
}

TEST(Detection, AnEmptyResultIsNeverASilentZero) {
  const Tree no_targets = mean_average_precision(Tree::list({found({here}, {0.5F}, {1})}), Tree::list({wanted({}, {})}),
                                                 {.per_class = true});
  for (const auto& [name, item] : no_targets.entries()) EXPECT_TRUE(std::isnan(item.real())) << name;
  EXPECT_NE(no_targets.find("map_class_1"), nullptr);
  const Tree no_detections = mean_average_precision(Tree::list({found({}, {}, {})}), Tree::list({wanted({here}, {1})}));
  EXPECT_EQ(value(no_detections, "map"), 0);
  EXPECT_EQ(value(no_detections, "mar_100"), 0);
  EXPECT_TRUE(std::isnan(value(no_detections, "map_large")));
  const Tree no_such_threshold = mean_average_precision(Tree::list({found({here}, {0.5F}, {1})}),
                                                        Tree::list({wanted({here}, {1})}), {.iou_thresholds = {0.6}});
  EXPECT_TRUE(std::isnan(value(no_such_threshold, "map_50")));
  EXPECT_NEAR(value(no_such_threshold, "map"), 1, 1e-12);
}

// One image is right and one wrong, with one score: 1 when the right one goes first, else 1/2.
TEST(Detection, IdsOfImagesDecideBetweenEqualScores) {
  const Tree right = found({here}, {0.5F}, {0}), wrong = found({nowhere}, {0.5F}, {0});
  const auto of = [&](std::optional<int64_t> id_of_right, std::optional<int64_t> id_of_wrong, bool right_first) {
    MeanAveragePrecision first, second;
    (right_first ? first : second).update(Tree::list({right}), Tree::list({wanted({here}, {0}, id_of_right)}));
    (right_first ? second : first).update(Tree::list({wrong}), Tree::list({wanted({}, {}, id_of_wrong)}));
    first.merge(second);
    return value(first.compute(), "map");
  };
  for (const bool right_first : {true, false}) {
    EXPECT_NEAR(of(7, 8, right_first), 1, 1e-12);
    EXPECT_NEAR(of(8, 7, right_first), 0.5, 1e-12);
    EXPECT_NEAR(of({}, {}, right_first), 0.5, 1e-12) << "without ids the less right one goes first";
  }
}

struct Images {
  Tree::List predictions;
  Tree::List targets;
};

/// Few scores, so that ties are everywhere.
Images random_images(std::mt19937& random, int64_t count, bool ids) {
  Images images;
  for (int64_t i = 0; i < count; ++i) {
    Boxes truth, guesses;
    std::vector<int64_t> truth_labels, guess_labels;
    std::vector<float> scores;
    for (unsigned k = random() % 5; k-- > 0;) {
      const auto x = static_cast<float>(random() % 60), y = static_cast<float>(random() % 60);
      const auto side = static_cast<float>(5 + random() % 90);
      truth.push_back({x, y, x + side, y + side});
      truth_labels.push_back(static_cast<int64_t>(random() % 3));
      for (unsigned j = random() % 3; j-- > 0;) {
        const auto shift = static_cast<float>(random() % 4);
        guesses.push_back({x + shift, y, x + side + shift, y + side});
        guess_labels.push_back(random() % 4 == 0 ? 0 : truth_labels.back());
        scores.push_back(static_cast<float>(random() % 3) / 2);
      }
    }
    images.predictions.push_back(found(guesses, scores, guess_labels));
    images.targets.push_back(wanted(truth, truth_labels, ids ? std::optional<int64_t>(i) : std::nullopt));
  }
  return images;
}

TEST(Detection, AnySplitInAnyOrderGivesTheSameBits) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (int round = 0; round < 20; ++round) {
    const bool ids = round % 2 == 0;
    const DetectionOptions options{.by_class = round % 3 != 0, .per_class = true};
    const Images images = random_images(random, 15, ids);
    const Tree whole = mean_average_precision(Tree::list(images.predictions), Tree::list(images.targets), options);
    std::vector<size_t> order(15);
    std::iota(order.begin(), order.end(), size_t{0});
    std::shuffle(order.begin(), order.end(), random);
    std::vector<MeanAveragePrecision> parts(4, MeanAveragePrecision(options));
    for (const size_t i : order) {
      MeanAveragePrecision& part = parts[random() % 4];
      part.update(Tree::list({images.predictions[i]}), Tree::list({images.targets[i]}));
      if (random() % 3 == 0) {
        MeanAveragePrecision loaded(options);
        load_state(loaded, save_state(part));
        EXPECT_TRUE(compare_states(save_state(loaded), save_state(part)).empty());
        part = loaded;
      }
    }
    for (size_t i = 1; i < 4; ++i) parts[0].merge(parts[i]);
    EXPECT_TRUE(compare_states(whole, parts[0].compute()).empty()) << "round " << round;
  }
}

TEST(Detection, MasksOfEachFormGiveTheSame) {
  const at::Tensor pixels = tensor<uint8_t>({1, 1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 1}, {1, 4, 3});
  const RunLengthMask mask = encode_mask(pixels[0]);
  const auto of = [](Tree masks, bool with_scores) {
    Tree side{{"masks", std::move(masks)}, {"labels", column({2})}};
    if (with_scores) side.at_or_insert("scores") = floats({0.5F});
    return side;
  };
  const std::vector<Tree> forms = {
      pixels, pixels.to(at::kBool), Tree::list({Tree{{"size", labels({4, 3})}, {"counts", mask.text()}}}),
      Tree::list({Tree{{"size", Tree::list({4, 3})}, {"counts", labels({0, 2, 2, 2, 5, 1})}}})};
  for (const Tree& left : forms) {
    for (const Tree& right : forms) {
      const Tree result = mean_average_precision(Tree::list({of(left, true)}), Tree::list({of(right, false)}),
                                                 {.of = DetectionOf::masks});
      EXPECT_NEAR(value(result, "map"), 1, 1e-12);
    }
  }
}

TEST(Detection, ReportsItsValuesUnderItsName) {
  Metric metric = mean_average_precision({.max_detections = {1, 5}, .areas = {{"all"}, {"tiny", 0, 100}}});
  EXPECT_EQ(metric.direction(), Direction::up);
  EXPECT_FALSE(metric.live());
  metric.update(Tree::list({found({here}, {0.5F}, {1})}), Tree::list({wanted({here}, {1})}), 1);
  Values values;
  metric.report(values, "val_");
  for (const char* name : {"val_bbox_map", "val_bbox_map_50", "val_bbox_map_75", "val_bbox_map_tiny", "val_bbox_mar_1",
                           "val_bbox_mar_5", "val_bbox_mar_tiny"}) {
    EXPECT_NEAR(values[name], 1, 1e-12) << name;
  }
  EXPECT_EQ(Metric(mean_average_precision({.of = DetectionOf::masks})).name(), "segm");
}

// A meta tensor has no values: reading one back throws.
TEST(Detection, ReadsNoBoxesBackFromADevice) {
  MeanAveragePrecision metric;
  const Tree meta = found({here}, {0.5F}, {1}).map([](const at::Tensor& tensor) { return tensor.to(at::kMeta); });
  EXPECT_NO_THROW(metric.update(Tree::list({meta}), Tree::list({wanted({here}, {1}, 4)})));
  EXPECT_FALSE(metric.empty());
  metric.merge(MeanAveragePrecision(metric));
}

/// The message when the first of two images is fine and the second is this one; nothing may be counted.
std::string refusal(const Tree& prediction, const Tree& target, const DetectionOptions& options = {}) {
  MeanAveragePrecision metric(options);
  const Tree fine =
      options.of == DetectionOf::masks
          ? Tree{{"masks", at::zeros({0, 2, 2}, at::kBool)}, {"scores", floats({}, {0})}, {"labels", column({})}}
          : found({here}, {0.5F}, {1});
  std::string text = message([&] { metric.update(Tree::list({fine, prediction}), Tree::list({fine, target})); });
  EXPECT_TRUE(metric.empty()) << "counted it";
  EXPECT_THAT(text, HasSubstr("image 1 of the batch"));
  return text;
}

TEST(Detection, RefusesWhatCanNotBeRight) {
  const Tree fine = found({here}, {0.5F}, {1}), target = wanted({here}, {1});
  EXPECT_THAT(refusal(found({{5, 5, 2, 9}}, {0.5F}, {1}), target), HasSubstr("(5, 5, 2, 9) as xyxy"));
  EXPECT_THAT(refusal(found({{5, 5, 2, 9}}, {0.5F}, {1}), target), HasSubstr("predictions, box 0"));
  EXPECT_THAT(refusal(fine, wanted({here, {0, 0, 3, -1}}, {1, 1}), {.boxes = BoxFormat::xywh}),
              HasSubstr("(0, 0, 3, -1) as xywh"));
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(refusal(found({here, there}, {0.5F, nan}, {1, 1}), target), HasSubstr("a score is NaN"));
  EXPECT_THAT(refusal(found({here, there}, {0.5F, nan}, {1, 1}), target), HasSubstr("object 1"));
  EXPECT_THAT(refusal(found({{0, 0, nan, 1}}, {0.5F}, {1}), target), HasSubstr("not finite"));
  EXPECT_THAT(refusal(fine, wanted({here}, {-3})), HasSubstr("got:      -3"));
  EXPECT_THAT(refusal(found({here}, {0.5F}, {-1}), target), HasSubstr("a label is negative"));
  EXPECT_THAT(refusal(found({here, there}, {0.5F, 0.4F}, {1}), target), HasSubstr("2 boxes, 1 labels"));
  EXPECT_THAT(refusal(found({here, there}, {0.5F}, {1, 1}), target), HasSubstr("1 scores, 2 labels"));
  EXPECT_THAT(
      refusal(Tree{{"boxes", floats({1, 2, 3}, {1, 3})}, {"scores", floats({1})}, {"labels", column({1})}}, target),
      HasSubstr("float32 (1, 3)"));
  EXPECT_THAT(refusal(Tree{{"boxes", boxes_of({here})}, {"labels", column({1})}}, target), HasSubstr("no scores"));
  EXPECT_THAT(refusal(fine, Tree{{"boxes", boxes_of({here})}, {"labels", floats({1})}}), HasSubstr("integers (N)"));
  Tree crowd = target;
  crowd.at_or_insert("iscrowd") = column({2});
  EXPECT_THAT(refusal(fine, crowd), HasSubstr("iscrowd is out of range"));
  Tree area = target;
  area.at_or_insert("area") = floats({-4});
  EXPECT_THAT(refusal(fine, area), HasSubstr("got:      -4"));
  Tree named = target;
  named.at_or_insert("image_id") = "seven";
  EXPECT_THAT(refusal(fine, named), HasSubstr("no integer"));
  EXPECT_THAT(refusal(fine, wanted({here}, {1}, 12)), HasSubstr("image_id in all targets or in none"));
}

TEST(Detection, RefusesMasksThatDoNotFit) {
  const DetectionOptions options{.of = DetectionOf::masks};
  const auto of = [](Tree masks, int64_t count = 1) {
    const std::vector<int64_t> classes(static_cast<size_t>(count), 1);
    return Tree{{"masks", std::move(masks)},
                {"scores", floats(std::vector<float>(classes.size(), 1))},
                {"labels", column(classes)}};
  };
  const Tree fine = of(at::zeros({1, 4, 5}, at::kBool));
  EXPECT_THAT(refusal(of(at::zeros({1, 3, 5}, at::kBool)), fine, options), HasSubstr("3 x 5"));
  EXPECT_THAT(refusal(of(at::zeros({1, 3, 5}, at::kBool)), fine, options), HasSubstr("4 x 5"));
  EXPECT_THAT(refusal(of(at::zeros({2, 4, 5}, at::kBool)), fine, options), HasSubstr("2 masks, 1 labels"));
  EXPECT_THAT(refusal(of(at::zeros({1, 4, 5}, at::kFloat)), fine, options), HasSubstr("float32 (1, 4, 5)"));
  EXPECT_THAT(refusal(found({here}, {0.5F}, {1}), fine, options), HasSubstr("no masks"));
  const auto lengths = [&](Tree counts) {
    return of(Tree::list({Tree{{"size", labels({4, 5})}, {"counts", counts}}}));
  };
  EXPECT_THAT(refusal(lengths(labels({7, 12})), fine, options), HasSubstr("19 pixels in 2 runs"));
  EXPECT_THAT(refusal(lengths(labels({21, -1})), fine, options), HasSubstr("got:      -1"));
  EXPECT_THAT(refusal(lengths("7 2"), fine, options), HasSubstr("predictions, mask 0"));
  EXPECT_THAT(refusal(of(Tree::list({Tree{{"counts", "abc"}}})), fine, options), HasSubstr("not complete"));
}

TEST(Detection, RefusesBatchesAndOptionsThatMakeNoSense) {
  MeanAveragePrecision metric;
  EXPECT_THAT(message([&] { (void)metric.compute(); }), HasSubstr("before anything was seen"));
  const Tree one = found({here}, {0.5F}, {1});
  EXPECT_THAT(message([&] {
                metric.update(Tree::list({one, one}), Tree::list({one}));
              }),
              HasSubstr("predictions 2 images, target 1 images"));
  EXPECT_THAT(message([&] { metric.update(floats({1}), floats({1})); }), HasSubstr("two lists"));
  metric.update(Tree::list({one, one}), Tree::list({wanted({here}, {1}, 3), wanted({here}, {1}, 3)}));
  EXPECT_THAT(message([&] { (void)metric.compute(); }), HasSubstr("image_id 3"));
  MeanAveragePrecision without;
  without.update(Tree::list({one}), Tree::list({wanted({here}, {1})}));
  EXPECT_THAT(message([&] { metric.merge(without); }), HasSubstr("others have none"));
  EXPECT_THAT(message([&] { metric.merge(mean_average_precision({.by_class = false})); }),
              HasSubstr("different options"));
  metric.reset();
  EXPECT_TRUE(metric.empty());
  const auto of = [](DetectionOptions options) {
    return message([&] { (void)mean_average_precision(std::move(options)); });
  };
  EXPECT_THAT(of({.iou_thresholds = {0.5, 1.5}}), HasSubstr("1.5"));
  EXPECT_THAT(of({.recall_thresholds = {0.5, 0.2}}), HasSubstr("0.2"));
  EXPECT_THAT(of({.max_detections = {10, 10}}), HasSubstr("max_detections"));
  EXPECT_THAT(of({.max_detections = {}}), HasSubstr("max_detections"));
  EXPECT_THAT(of({.areas = {}}), HasSubstr("area"));
  EXPECT_THAT(of({.areas = {{"all", 5, 1}}}), HasSubstr("all from 5 to 1"));
  EXPECT_THAT(of({.areas = {{"a"}, {"a"}}}), HasSubstr("\"a\""));
}

TEST(Detection, OverlapOfBoxesInEachFormat) {
  const at::Tensor left = floats({0, 0, 4, 4, 10, 10, 12, 12}, {2, 4}), right = floats({2, 0, 6, 4}, {1, 4});
  const at::Tensor overlaps = box_iou(left, right);
  EXPECT_TRUE(equal_bits(overlaps, doubles({8.0 / 24, 0}, {2, 1})));
  EXPECT_TRUE(equal_bits(
      overlaps, box_iou(floats({0, 0, 4, 4, 10, 10, 2, 2}, {2, 4}), floats({2, 0, 4, 4}, {1, 4}), BoxFormat::xywh)));
  EXPECT_TRUE(equal_bits(
      overlaps, box_iou(floats({2, 2, 4, 4, 11, 11, 2, 2}, {2, 4}), floats({4, 2, 4, 4}, {1, 4}), BoxFormat::cxcywh)));
  EXPECT_EQ(box_iou({0, 0, 2, 2}, {1, 0, 9, 2}, true), 0.5) << "of a crowd, the part that lies in it";
  EXPECT_THAT(message([&] { (void)box_iou(floats({1, 2}), right); }), HasSubstr("float32 (2)"));
}

TEST(RunLength, RefusesTextsThatAreNone) {
  const auto of = [](int64_t height, int64_t width, const char* text) {
    return message([&] { (void)RunLengthMask::parse(height, width, text); });
  };
  const std::string fine = RunLengthMask(3, 4, {2, 3, 7}).text();
  EXPECT_EQ(of(3, 4, fine.c_str()), "");
  EXPECT_THAT(of(3, 5, fine.c_str()), HasSubstr("3 x 5 = 15 pixels"));
  EXPECT_THAT(of(0, 4, fine.c_str()), HasSubstr("0 x 4"));
  EXPECT_THAT(of(3, 4, "2 7"), HasSubstr("character 1"));
  EXPECT_THAT(of(3, 4, "2o"), HasSubstr("ends within a number"));
  EXPECT_THAT(of(3, 4, "oooooooooooooooooo0"), HasSubstr("too long"));
  EXPECT_THAT(of(3, 4, "N"), HasSubstr("a run of -2 pixels"));
}

TEST(RunLength, LargeMasksGoThereAndBack) {
  std::mt19937 random(5);
  for (const auto& [height, width] : {std::pair<int64_t, int64_t>{1, 1}, {70, 33}, {1, 200}, {200, 1}, {64, 64}}) {
    for (const unsigned one_of : {1U, 2U, 9U, 1000U}) {
      std::vector<uint8_t> pixels(static_cast<size_t>(height * width));
      for (uint8_t& pixel : pixels) pixel = random() % one_of == 0 ? 255 : 0;
      const RunLengthMask mask = encode_mask(tensor<uint8_t>(pixels, {height, width}));
      const at::Tensor back = decode_mask(mask);
      EXPECT_TRUE(equal_bits(back, tensor<uint8_t>(pixels, {height, width}).to(at::kBool)));
      EXPECT_EQ(RunLengthMask::parse(height, width, mask.text()), mask);
      EXPECT_EQ(mask.area(), back.sum().item<int64_t>());
    }
  }
}

}  // namespace
}  // namespace athanor::metrics::detection_test
