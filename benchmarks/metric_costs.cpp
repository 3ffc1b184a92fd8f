// SPDX-License-Identifier: Apache-2.0
//
// What metrics cost: an update of each on a batch of 32, and the AUROC of 10 million scores.
//
//     metric_costs --threads 1 --epochs 5 --only updates    or auroc
//
// Updates are timed through athanor::Metric, as fit makes them, on tensors that are there; nearly all cost no operator
// at all, so the whole time counts. The last line is a JSON object: for updates the name of each metric with the
// quartiles of its microseconds; for auroc "total_seconds", the fastest of the rounds, and the value.
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
  for (Metric metric :
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

}  // namespace

int main(int argument_count, char** arguments) {
  try {
    const Settings settings = parse(argument_count, arguments);
    at::set_num_threads(settings.threads);
    settings.only == "auroc" ? auroc(settings.rounds) : updates(settings.rounds);
    return 0;
  } catch (const std::exception& error) {
    std::cerr << arguments[0] << ": " << error.what() << "\n";
    return 1;
  }
}
