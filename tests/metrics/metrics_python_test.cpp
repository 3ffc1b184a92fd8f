// SPDX-License-Identifier: Apache-2.0
// The metrics beside scikit-learn, torchmetrics and scipy. Always against references that peers/metrics_peer.py has
// recorded; and against the packages themselves, on problems from a fresh seed, where the Python of the tests has them.
// ATHANOR_TEST_SEED=n repeats a seed.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "athanor/metrics/metrics.hpp"
#include "tests/metrics/metrics_testing.hpp"
#include "tests/metrics/peer_metrics.hpp"
#include "tests/metrics/peer_process.hpp"

namespace athanor::metrics::metrics_python_test {
namespace {

using namespace athanor::metrics::testing;
using Json = nlohmann::json;

double number(const Json& value) {
  if (value.is_null()) return std::nan("");
  if (value.is_string()) return (value == "inf" ? 1 : -1) * std::numeric_limits<double>::infinity();
  return value.get<double>();
}

std::vector<double> numbers(const Json& value) {
  std::vector<double> flat;
  if (value.is_array()) {
    for (const Json& item : value) flat.push_back(number(item));
  } else {
    flat.push_back(number(value));
  }
  return flat;
}

std::vector<double> numbers(const Tree& value) {
  if (value.is_tensor()) {
    const at::Tensor flat = value.tensor().to(at::kDouble).reshape(-1).contiguous();
    return {flat.const_data_ptr<double>(), flat.const_data_ptr<double>() + flat.numel()};
  }
  if (!value.is_dictionary()) return {value.real()};
  std::vector<double> flat;
  for (const auto& [name, item] : value.entries()) {
    const std::vector<double> more = numbers(item);
    flat.insert(flat.end(), more.begin(), more.end());
  }
  return flat;
}

struct Problem {
  at::Tensor predictions;
  at::Tensor target;
  SharedOptions options;
  std::string title;

  explicit Problem(const Json& json) : options(json["options"]) {
    const std::string dtype = json["dtype"].get<std::string>();
    const at::ScalarType kind = dtype == "float64" ? at::kDouble : dtype == "float32" ? at::kFloat : at::kBFloat16;
    predictions =
        doubles(json["scores"].get<std::vector<double>>(), json["shape"].get<std::vector<int64_t>>()).to(kind);
    const std::vector<int64_t> shape = json["target_shape"].get<std::vector<int64_t>>();
    target = json["family"] == "regression" ? doubles(json["target"].get<std::vector<double>>(), shape).to(kind)
                                            : labels(json["target"].get<std::vector<int64_t>>(), shape);
    title = json["family"].get<std::string>() + ", " + json["case"].get<std::string>() + ", " + dtype + ", " +
            std::to_string(predictions.size(0)) + " samples";
  }

  void feed(Metric& metric, int64_t from, int64_t to) const {
    metric.update(predictions.slice(0, from, to), target.slice(0, from, to), to - from);
  }
};

/// Three parts of the data, each in batches, in any order, merged in any order.
Metric merged_in_any_order(const Metric& empty, const Problem& problem, std::mt19937& random) {
  const int64_t samples = problem.predictions.size(0);
  std::vector<std::pair<int64_t, int64_t>> batches;
  for (int64_t from = 0; from < samples;) {
    const int64_t to = std::min(samples, from + 1 + static_cast<int64_t>(random() % 20));
    batches.emplace_back(from, to);
    from = to;
  }
  std::shuffle(batches.begin(), batches.end(), random);
  std::vector<Metric> parts(3, empty);
  for (const auto& [from, to] : batches) problem.feed(parts[random() % 3], from, to);
  Metric merged = empty;
  for (const Metric& part : parts) merged.merge(part);
  return merged;
}

/// torchmetrics divides counts in float32, which rounds by 6e-8 of the value, and adds a few of these; the others
/// calculate in float64 as we do, so the order of a hundred additions is what may differ.
double tolerance(const std::string& name, double expected) {
  const double of_one = name.starts_with("torchmetrics") ? 1e-6 : 1e-9;
  return of_one * std::max(1.0, std::abs(expected));
}

void expect_values(const std::vector<double>& got, const std::vector<double>& expected, const std::string& name) {
  ASSERT_EQ(got.size(), expected.size()) << name;
  for (size_t i = 0; i < got.size(); ++i) {
    if (std::isnan(expected[i])) {
      EXPECT_TRUE(std::isnan(got[i])) << name << " [" << i << "] is " << got[i];
    } else if (std::isinf(expected[i])) {
      EXPECT_EQ(got[i], expected[i]) << name;
    } else {
      EXPECT_NEAR(got[i], expected[i], tolerance(name, expected[i])) << name << " [" << i << "]";
    }
  }
}

/// How many values of each metric were compared.
std::map<std::string, int> check(const Json& problems, uint32_t seed) {
  std::mt19937 random(seed);
  std::map<std::string, int> compared;
  for (const Json& json : problems) {
    const Problem problem(json);
    SCOPED_TRACE(problem.title + ", seed " + std::to_string(seed));
    for (const auto& [name, expected] : json["values"].items()) {
      const PeerName peer(name);
      const Metric empty = metric_of_peer(peer, problem.options);
      Metric whole = empty;
      problem.feed(whole, 0, problem.predictions.size(0));
      for (const Metric& metric : {whole, merged_in_any_order(empty, problem, random)}) {
        const Tree value = metric.compute();
        expect_values(numbers(peer.entry().empty() ? value : value[peer.entry()]), numbers(expected), name);
      }
      ++compared[peer.metric()];
    }
    if (::testing::Test::HasFailure()) break;
  }
  return compared;
}

const std::set<std::string> all_metrics = {"acc",
                                           "auroc",
                                           "average_precision",
                                           "balanced_acc",
                                           "calibration_error",
                                           "concordance",
                                           "confusion",
                                           "cosine_similarity",
                                           "dice",
                                           "explained_variance",
                                           "f1",
                                           "f2",
                                           "hamming",
                                           "iou",
                                           "jaccard",
                                           "kappa",
                                           "kendall",
                                           "ks",
                                           "log_loss",
                                           "mae",
                                           "mape",
                                           "mcc",
                                           "mse",
                                           "pearson",
                                           "precision",
                                           "precision_recall_curve",
                                           "quantile_loss",
                                           "r2",
                                           "recall",
                                           "rmse",
                                           "roc",
                                           "smape",
                                           "spearman",
                                           "specificity"};

std::set<std::string> names_of(const std::map<std::string, int>& compared) {
  std::set<std::string> names;
  for (const auto& [name, count] : compared) names.insert(name);
  return names;
}

TEST(MetricsPython, EqualRecordedReferences) {
  EXPECT_EQ(names_of(check(recorded_problems("metrics_reference.json", "metrics_peer.py"), 1)), all_metrics);
}

TEST(MetricsPython, EqualThoseOfScikitLearnTorchmetricsAndScipy) {
  uint32_t seed = 0;
  const Json problems = fresh_problems("metrics_peer.py", seed);
  if (problems.is_null()) GTEST_SKIP() << "no packages: only the recorded references count";
  const std::map<std::string, int> compared = check(problems, seed);
  EXPECT_EQ(names_of(compared), all_metrics);
  for (const auto& [name, count] : compared) EXPECT_GE(count, 30) << name;
}

}  // namespace
}  // namespace athanor::metrics::metrics_python_test
