// SPDX-License-Identifier: Apache-2.0
//
// What metrics cost: an update of each on a batch of 32, the AUROC of 10 million scores, and the mean average precision
// of boxes on 5,000 images.
//
//     metric_costs --threads 1 --epochs 5 --only updates    or auroc, detection
//
// Updates are timed through athanor::Metric, as fit makes them, on tensors that are there; nearly all cost no operator
// at all, so the whole time counts. The last line is a JSON object: for updates the name of each metric with the
// quartiles of its microseconds; for the others "total_seconds", the fastest of the rounds, and the value.
#include <athanor/athanor.hpp>
#include <functional>
#include <iostream>
#include <map>

#include "common.hpp"

namespace {

using athanor::Metric;
using benchmarks::Stopwatch;
namespace metrics = athanor::metrics;

struct Settings {
  int threads = 1;
  int rounds = 5;
  std::string only = "updates";
};

Settings parse(int argument_count, char** arguments) {
  Settings settings;
  for (int i = 1; i + 1 < argument_count; i += 2) {
    const std::string_view name = arguments[i];
    if (name == "--threads") {
      settings.threads = std::stoi(arguments[i + 1]);
    } else if (name == "--epochs") {
      settings.rounds = std::stoi(arguments[i + 1]);
    } else if (name == "--only") {
      settings.only = arguments[i + 1];
    } else {
      throw std::runtime_error("unknown option " + std::string(name) + "; known: --threads --epochs --only");
    }
  }
  return settings;
}

struct Case {
  Metric metric;
  athanor::Tree predictions;
  athanor::Tree target;
};

std::vector<Case> cases() {
  constexpr int64_t samples = 32;
  torch::manual_seed(1);
  const torch::Tensor scores = torch::randn({samples, 10});
  const torch::Tensor classes = torch::randint(0, 10, {samples});
  const torch::Tensor logits = torch::randn({samples});
  const torch::Tensor flags = torch::randint(0, 2, {samples});
  const torch::Tensor label_scores = torch::randn({samples, 5});
  const torch::Tensor label_flags = torch::randint(0, 2, {samples, 5});
  const torch::Tensor values = torch::randn({samples});
  const torch::Tensor truth = values + torch::randn({samples});
  const torch::Tensor masks = torch::randn({samples, 3, 2, 2});
  const torch::Tensor mask_target = torch::randint(0, 3, {samples, 2, 2});
  std::vector<Case> all;
  for (Metric metric : athanor::Metrics{metrics::accuracy(),
                                        metrics::accuracy({.top_k = 3}),
                                        {"acc_macro", metrics::accuracy({.average = metrics::Average::macro})},
                                        metrics::balanced_accuracy(),
                                        metrics::precision(),
                                        metrics::recall(),
                                        metrics::specificity(),
                                        metrics::f1(),
                                        metrics::jaccard(),
                                        metrics::dice(),
                                        metrics::hamming_distance(),
                                        metrics::confusion_matrix(),
                                        metrics::cohen_kappa(),
                                        metrics::matthews(),
                                        metrics::auroc(),
                                        metrics::average_precision(),
                                        metrics::log_loss(),
                                        metrics::calibration_error()}) {
    all.push_back({std::move(metric), scores, classes});
  }
  const auto two = [&](const char* name, auto metric) { all.push_back({Metric(name, metric), logits, flags}); };
  two("binary_acc", metrics::accuracy());
  two("binary_f1", metrics::f1());
  two("binary_auroc", metrics::auroc());
  two("binary_auroc_bins", metrics::auroc({.bins = 100}));
  two("binary_ks", metrics::kolmogorov_smirnov());
  two("binary_log_loss", metrics::log_loss());
  const auto labels = [&](const char* name, auto metric) {
    all.push_back({Metric(name, metric), label_scores, label_flags});
  };
  labels("labels_f1", metrics::f1({.kind = metrics::Kind::multilabel}));
  labels("labels_auroc", metrics::auroc({.kind = metrics::Kind::multilabel}));
  for (Metric metric : athanor::Metrics{
           metrics::mae(), metrics::mse(), metrics::rmse(), metrics::mape(), metrics::smape(),
           metrics::quantile_loss(0.9), metrics::r2(), metrics::explained_variance(), metrics::pearson(),
           metrics::concordance(), metrics::spearman(), metrics::kendall(), metrics::mean(), metrics::sum(),
           metrics::minimum(), metrics::maximum(), Metric("formula", metrics::rmse() / metrics::maximum())}) {
    all.push_back({std::move(metric), values, truth});
  }
  all.push_back({metrics::cosine_similarity(), label_scores, label_scores + 1});
  all.push_back({metrics::segmentation_iou(), masks, mask_target});
  const std::vector<std::string> tags = {"O", "B-PER", "I-PER", "B-LOC", "I-LOC"};
  all.push_back({metrics::perplexity(), scores, classes});
  all.push_back(
      {metrics::span_f1({.names = tags}), torch::randint(0, 5, {samples, 4}), torch::randint(0, 5, {samples, 4})});
  const athanor::Tree documents = {{"target", flags}, {"query", torch::randint(0, 4, {samples})}};
  for (const Metric& metric :
       athanor::Metrics{metrics::retrieval_ndcg({.k = 10}), metrics::retrieval_mrr(), metrics::retrieval_map(),
                        metrics::retrieval_hit_rate(), metrics::retrieval_precision(), metrics::retrieval_recall()}) {
    all.push_back({Metric(metric.name() + "_rows", metric), label_scores, label_flags});
    all.push_back({Metric(metric.name() + "_flat", metric), logits, documents});
  }
  all.push_back(
      {Metric("iou_images", metrics::segmentation_iou({.of = metrics::OverlapOf::image})), masks, mask_target});
  return all;
}

std::array<double, 3> quartiles(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const auto at = [&](double part) {
    return values[static_cast<size_t>(part * static_cast<double>(values.size() - 1))];
  };
  return {at(0.25), at(0.5), at(0.75)};
}

void updates(int rounds) {
  constexpr int warm = 50, each = 1000;
  std::string line = "{";
  for (const Case& data : cases()) {
    std::vector<double> microseconds;
    for (int round = 0; round < std::max(3, rounds); ++round) {
      Metric metric = data.metric;
      for (int i = 0; i < warm; ++i) metric.update(data.predictions, data.target, 32);
      const Stopwatch watch;
      for (int i = 0; i < each; ++i) metric.update(data.predictions, data.target, 32);
      microseconds.push_back(watch.seconds() * 1e6 / each);
    }
    const auto [low, middle, high] = quartiles(std::move(microseconds));
    std::printf("%-28s %6.2f us   (%.2f .. %.2f)\n", data.metric.name().c_str(), middle, low, high);
    char entry[160];
    std::snprintf(entry, sizeof entry, "%s\"%s\": [%.4f, %.4f, %.4f]", line.size() > 1 ? ", " : "",
                  data.metric.name().c_str(), low, middle, high);
    line += entry;
  }
  std::cout << line << "}" << std::endl;
}

/// The same scores as peers/metric_costs.py makes.
void auroc(int rounds) {
  constexpr int64_t count = 10'000'000;
  const torch::Tensor index = torch::arange(count, torch::kLong);
  const torch::Tensor mixed = (index * int64_t{2654435761} + 12345).remainder(int64_t{1} << 32);
  const torch::Tensor scores = mixed.floor_divide(256).to(torch::kFloat) / (1 << 24);
  const torch::Tensor noise = (index * 40503 + 977).remainder(65536).to(torch::kFloat) / 65536;
  const torch::Tensor target = (scores + noise > 1).to(torch::kLong);
  double fastest = std::numeric_limits<double>::infinity();
  double value = 0;
  for (int round = 0; round <= rounds; ++round) {
    const Stopwatch watch;
    value = metrics::auroc(scores, target);
    if (round > 0) fastest = std::min(fastest, watch.seconds());
  }
  std::printf("{\"total_seconds\": %.6f, \"auroc\": %.12f}\n", fastest, value);
}

/// The same numbers as peers/metric_costs.py makes: a hash of the index, from 0 to 1.
double mixed(uint32_t index) {
  uint32_t hash = index * 2654435761U + 12345U;
  hash = (hash ^ hash >> 15) * 2246822519U;
  return static_cast<double>(hash ^ hash >> 13) / 4294967296.0;
}

struct Images {
  std::vector<athanor::Tree> predictions;  // lists of a batch
  std::vector<athanor::Tree> targets;
};

/// 1 to 13 targets and 20 to 100 detections an image, over 80 classes, boxes in quarters of a pixel. Two detections are
/// near each target, the others anywhere.
Images detection_images() {
  constexpr uint32_t images = 5000, batch = 25, numbers_of_image = 2048;
  const auto quarters = [](double value) { return static_cast<float>(std::floor(4 * value) / 4); };
  Images all;
  athanor::Tree::List predictions, targets;
  for (uint32_t image = 0; image < images; ++image) {
    uint32_t next = image * numbers_of_image;
    const auto number = [&] { return mixed(next++); };
    const auto target_count = 1 + static_cast<int64_t>(13 * number());
    const auto detection_count = 20 + static_cast<int64_t>(81 * number());
    const auto tensors = [](int64_t count) {
      return std::tuple(torch::empty({count, 4}), torch::empty({count}), torch::empty({count}, torch::kLong));
    };
    const auto [target_boxes, unused, target_labels] = tensors(target_count);
    const auto [boxes, scores, labels] = tensors(detection_count);
    auto* truth = target_boxes.mutable_data_ptr<float>();
    auto* truth_labels = target_labels.mutable_data_ptr<int64_t>();
    const auto random_box = [&](float* box) {
      box[0] = quarters(500 * number());
      box[1] = quarters(400 * number());
      box[2] = box[0] + quarters(8 + 250 * std::pow(number(), 3));
      box[3] = box[1] + quarters(8 + 250 * std::pow(number(), 3));
    };
    for (int64_t i = 0; i < target_count; ++i) {
      random_box(truth + 4 * i);
      truth_labels[i] = static_cast<int64_t>(80 * number());
    }
    auto* found = boxes.mutable_data_ptr<float>();
    for (int64_t i = 0; i < detection_count; ++i) {
      float* box = found + 4 * i;
      const float* near = truth + 4 * (i % target_count);
      const bool close = i < 2 * target_count;
      if (close) {
        for (int side = 0; side < 4; ++side) {
          const double size = near[2 + side % 2] - near[side % 2];
          box[side] = near[side] + quarters(0.25 * size * (number() - 0.5));
        }
      } else {
        random_box(box);
      }
      labels.mutable_data_ptr<int64_t>()[i] =
          close ? truth_labels[i % target_count] : static_cast<int64_t>(80 * number());
      scores.mutable_data_ptr<float>()[i] =
          static_cast<float>(std::floor((close ? 1 : 0.7) * number() * 65536) / 65536);
    }
    predictions.push_back(athanor::Tree{{"boxes", boxes}, {"scores", scores}, {"labels", labels}});
    targets.push_back(
        athanor::Tree{{"boxes", target_boxes}, {"labels", target_labels}, {"image_id", static_cast<int64_t>(image)}});
    if (predictions.size() == batch) {
      all.predictions.push_back(athanor::Tree::list(std::exchange(predictions, {})));
      all.targets.push_back(athanor::Tree::list(std::exchange(targets, {})));
    }
  }
  return all;
}

void detection(int rounds) {
  const Images images = detection_images();
  double fastest = std::numeric_limits<double>::infinity(), fastest_compute = fastest;
  double value = 0, small = 0, recall = 0;
  for (int round = 0; round <= rounds; ++round) {
    metrics::MeanAveragePrecision metric;
    const Stopwatch watch;
    for (size_t i = 0; i < images.predictions.size(); ++i) metric.update(images.predictions[i], images.targets[i]);
    const double updated = watch.seconds();
    const athanor::Tree result = metric.compute();
    if (round > 0 && watch.seconds() < fastest) {
      fastest = watch.seconds();
      fastest_compute = fastest - updated;
    }
    value = result["map"].real();
    small = result["map_small"].real();
    recall = result["mar_100"].real();
  }
  std::printf(
      "{\"total_seconds\": %.6f, \"compute_seconds\": %.6f, \"map\": %.12f, \"map_small\": %.12f, \"mar_100\": "
      "%.12f}\n",
      fastest, fastest_compute, value, small, recall);
}

}  // namespace

int main(int argument_count, char** arguments) {
  try {
    const Settings settings = parse(argument_count, arguments);
    at::set_num_threads(settings.threads);
    if (settings.only == "auroc") {
      auroc(settings.rounds);
    } else if (settings.only == "detection") {
      detection(settings.rounds);
    } else {
      updates(settings.rounds);
    }
    return 0;
  } catch (const std::exception& error) {
    std::cerr << arguments[0] << ": " << error.what() << "\n";
    return 1;
  }
}
