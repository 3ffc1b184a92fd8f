// SPDX-License-Identifier: Apache-2.0
// Detections beside pycocotools: always against references that peers/detection_peer.py has recorded; and against the
// package itself, on problems from a fresh seed, where the Python of the tests has it. ATHANOR_TEST_SEED=n repeats one.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "athanor/metrics/detection.hpp"
#include "athanor/metrics/masks.hpp"
#include "tests/metrics/metrics_testing.hpp"
#include "tests/metrics/peer_process.hpp"

namespace athanor::metrics::detection_python_test {
namespace {

using namespace athanor::metrics::testing;
using Json = nlohmann::json;

/// Both calculate the same fractions of whole numbers in float64; means of n <= 2e4 values from 0 to 1 may be added up
/// in another order, which changes them by less than n 2^-53 = 2e-12.
constexpr double tolerance = 2e-12;

at::ScalarType dtype_of(const std::string& name) {
  return name == "float64" ? at::kDouble : name == "float32" ? at::kFloat : at::kBFloat16;
}

RunLengthMask mask_of(const Json& text, const Json& size) {
  return RunLengthMask::parse(size[0].get<int64_t>(), size[1].get<int64_t>(), text.get<std::string>());
}

/// Masks in all three forms in turn: dense, compressed, as lengths of runs.
Tree masks_of(const Json& texts, const Json& size, int form) {
  if (form == 0) {
    const int64_t height = size[0].get<int64_t>(), width = size[1].get<int64_t>();
    const auto count = static_cast<int64_t>(texts.size());
    const at::Tensor dense = at::empty({count, height, width}, at::kBool);
    for (int64_t i = 0; i < count; ++i) {
      dense[i].copy_(decode_mask(mask_of(texts[static_cast<size_t>(i)], size)));
    }
    return dense;
  }
  Tree::List list;
  for (const Json& text : texts) {
    const RunLengthMask mask = mask_of(text, size);
    Tree counts = text.get<std::string>();
    if (form == 2) counts = labels({mask.counts().begin(), mask.counts().end()});
    list.push_back(Tree{{"size", labels({mask.height(), mask.width()})}, {"counts", counts}});
  }
  return Tree::list(std::move(list));
}

/// One side of an image.
Tree side_of(const Json& image, const Json& side, at::ScalarType dtype, int form) {
  Tree::Dictionary made;
  const auto count = static_cast<int64_t>(side["labels"].size());
  made.emplace_back("labels", labels(side["labels"].get<std::vector<int64_t>>(), {count}));
  if (side.contains("boxes")) {
    std::vector<double> flat;
    for (const Json& box : side["boxes"]) {
      for (const Json& number : box) flat.push_back(number.get<double>());
    }
    made.emplace_back("boxes", doubles(flat, {count, 4}).to(dtype));
  } else {
    made.emplace_back("masks", masks_of(side["masks"], image["size"], form));
  }
  if (side.contains("scores")) {
    made.emplace_back("scores", doubles(side["scores"].get<std::vector<double>>(), {count}).to(dtype));
  }
  if (side.contains("iscrowd")) {
    made.emplace_back("iscrowd", labels(side["iscrowd"].get<std::vector<int64_t>>(), {count}));
  }
  if (side.contains("area")) {
    made.emplace_back("area", doubles(side["area"].get<std::vector<double>>(), {count}).to(at::kFloat));
  }
  return made;
}

struct Problem {
  Tree::List predictions;
  Tree::List targets;
  DetectionOptions options;
  std::string title;

  explicit Problem(const Json& json) {
    const bool masks = json["of"] == "masks";
    const std::string format = json["format"].get<std::string>(), dtype = json["dtype"].get<std::string>();
    options.of = masks ? DetectionOf::masks : DetectionOf::boxes;
    options.boxes = format == "xyxy" ? BoxFormat::xyxy : format == "xywh" ? BoxFormat::xywh : BoxFormat::cxcywh;
    options.per_class = true;
    const Json& given = json["options"];
    options.by_class = given.value("by_class", true);
    if (given.contains("iou_thresholds")) options.iou_thresholds = given["iou_thresholds"].get<std::vector<double>>();
    if (given.contains("recall_thresholds")) {
      options.recall_thresholds = given["recall_thresholds"].get<std::vector<double>>();
    }
    if (given.contains("max_detections")) options.max_detections = given["max_detections"].get<std::vector<int64_t>>();
    if (given.contains("areas")) {
      options.areas.clear();
      for (const Json& area : given["areas"]) {
        options.areas.push_back({area[0].get<std::string>(), area[1].get<double>(), area[2].get<double>()});
      }
    }
    for (const Json& image : json["images"]) {
      const int form = static_cast<int>(predictions.size() % 3);
      predictions.push_back(side_of(image, image["predictions"], dtype_of(dtype), form));
      Tree target = side_of(image, image["target"], dtype_of(dtype), (form + 1) % 3);
      target.at_or_insert("image_id") = image["id"].get<int64_t>();
      targets.push_back(std::move(target));
    }
    title = json["of"].get<std::string>() + ", " + json["case"].get<std::string>() + ", " + format + ", " + dtype +
            ", options " + given.dump();
  }

  void feed(MeanAveragePrecision& metric, const std::vector<size_t>& images) const {
    Tree::List some, wanted;
    for (const size_t image : images) {
      some.push_back(predictions[image]);
      wanted.push_back(targets[image]);
    }
    metric.update(Tree::list(some), Tree::list(wanted));
  }
};

/// Three parts of the images, each in batches, in any order, merged in any order.
Tree merged_in_any_order(const Problem& problem, std::mt19937& random) {
  std::vector<size_t> order(problem.predictions.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::shuffle(order.begin(), order.end(), random);
  std::vector<MeanAveragePrecision> parts(3, MeanAveragePrecision(problem.options));
  for (size_t from = 0; from < order.size();) {
    const size_t to = std::min(order.size(), from + 1 + random() % 3);
    problem.feed(parts[random() % 3],
                 {order.begin() + static_cast<int64_t>(from), order.begin() + static_cast<int64_t>(to)});
    from = to;
  }
  MeanAveragePrecision merged(problem.options);
  for (const MeanAveragePrecision& part : parts) merged.merge(part);
  return merged.compute();
}

void expect_run_lengths(const Json& image) {
  std::vector<RunLengthMask> all, found, wanted;
  for (const char* side : {"predictions", "target"}) {
    for (const Json& text : image[side]["masks"]) {
      all.push_back(mask_of(text, image["size"]));
      (std::string(side) == "target" ? wanted : found).push_back(all.back());
      EXPECT_EQ(all.back().text(), text.get<std::string>());
      EXPECT_EQ(encode_mask(decode_mask(all.back())), all.back());
    }
  }
  const Json& lengths = image["run_lengths"];
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i].area(), lengths["areas"][i].get<int64_t>());
    EXPECT_EQ(all[i].counts(), lengths["counts"][i].get<std::vector<uint32_t>>());
    const Box box = all[i].bounding_box();
    EXPECT_EQ((std::vector<double>{box.x, box.y, box.width, box.height}),
              lengths["boxes"][i].get<std::vector<double>>());
  }
  size_t next = 0;
  for (const RunLengthMask& one : found) {
    for (size_t j = 0; j < wanted.size(); ++j) {
      const bool crowd = image["target"].contains("iscrowd") && image["target"]["iscrowd"][j].get<int>() != 0;
      EXPECT_EQ(one.iou(wanted[j], crowd), lengths["overlaps"][next++].get<double>());
    }
  }
}

/// How many problems there were of boxes and of masks.
std::map<std::string, int> check(const Json& problems, uint32_t seed) {
  std::mt19937 random(seed);
  std::map<std::string, int> checked;
  for (const Json& json : problems) {
    const Problem problem(json);
    SCOPED_TRACE(problem.title + ", seed " + std::to_string(seed));
    const Tree whole =
        mean_average_precision(Tree::list(problem.predictions), Tree::list(problem.targets), problem.options);
    for (const auto& [name, expected] : json["values"].items()) {
      const Tree* got = whole.find(name);
      if (got == nullptr) {
        ADD_FAILURE() << "no " << name;
      } else if (expected.is_null()) {
        EXPECT_TRUE(std::isnan(got->real())) << name << " is " << got->real();
      } else {
        EXPECT_NEAR(got->real(), expected.get<double>(), tolerance) << name;
      }
    }
    EXPECT_TRUE(compare_states(whole, merged_in_any_order(problem, random)).empty()) << "merged to other bits";
    for (const Json& image : json["images"]) {
      if (image.contains("run_lengths")) expect_run_lengths(image);
    }
    ++checked[json["of"].get<std::string>()];
    if (::testing::Test::HasFailure()) break;
  }
  return checked;
}

TEST(DetectionPython, EqualsRecordedReferences) {
  const std::map<std::string, int> checked =
      check(recorded_problems("detection_reference.json", "detection_peer.py"), 1);
  EXPECT_EQ(checked.size(), 2U);
  for (const auto& [of, count] : checked) EXPECT_GE(count, 10) << of;
}

TEST(DetectionPython, EqualsPycocotools) {
  uint32_t seed = 0;
  const Json problems = fresh_problems("detection_peer.py", seed);
  if (problems.is_null()) GTEST_SKIP() << "no pycocotools: only the recorded references count";
  const std::map<std::string, int> checked = check(problems, seed);
  EXPECT_EQ(checked.size(), 2U);
  for (const auto& [of, count] : checked) EXPECT_GE(count, 30) << of;
}

}  // namespace
}  // namespace athanor::metrics::detection_python_test
