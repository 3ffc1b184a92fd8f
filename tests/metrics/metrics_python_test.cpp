// SPDX-License-Identifier: Apache-2.0
// The metrics beside scikit-learn, over problems that metrics_peer.py makes. Skipped when the Python of the tests has
// no scikit-learn.
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "athanor/metrics/metrics.hpp"
#include "tests/metrics/metrics_testing.hpp"

namespace athanor::metrics::metrics_python_test {
namespace {

using namespace athanor::metrics::testing;
using Json = nlohmann::json;

std::string output_of(const std::string& command) {
  std::string text;
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return text;
  std::array<char, 1 << 16> buffer;
  while (const size_t got = fread(buffer.data(), 1, buffer.size(), pipe)) text.append(buffer.data(), got);
  return pclose(pipe) == 0 ? text : std::string();
}

at::Tensor matrix(const Json& rows) {
  if (!rows[0].is_array()) return doubles(rows.get<std::vector<double>>());
  std::vector<double> values;
  for (const Json& row : rows) {
    for (const Json& value : row) values.push_back(value.get<double>());
  }
  return doubles(values, {static_cast<int64_t>(rows.size()), static_cast<int64_t>(rows[0].size())});
}

/// Fed in batches of seven, the last one ragged.
template <class M>
M fed(M metric, const at::Tensor& predictions, const at::Tensor& target) {
  for (int64_t from = 0; from < predictions.size(0); from += 7) {
    metric.update(predictions.slice(0, from, from + 7), target.slice(0, from, from + 7));
  }
  return metric;
}

void expect_confusion(const Json& problem, const at::Tensor& scores, const at::Tensor& target) {
  const std::pair<const char*, Normalize> ways[] = {
      {"none", Normalize::none}, {"true", Normalize::target}, {"pred", Normalize::prediction}, {"all", Normalize::all}};
  for (const auto& [name, normalize] : ways) {
    const at::Tensor got = fed(confusion_matrix({.normalize = normalize}), scores, target).compute().to(at::kDouble);
    EXPECT_TRUE(got.allclose(matrix(problem["values"][std::string("confusion_") + name]), 0, 1e-14)) << name;
  }
}

template <class M>
void expect_averages(const std::string& name, const Json& problem, const at::Tensor& scores, const at::Tensor& target) {
  const Json& values = problem["values"];
  const auto with = [&](std::optional<Average> average) {
    return fed(M({.average = average}), scores, target).compute();
  };
  EXPECT_NEAR(with(Average::micro).real(), values[name + "_micro"].get<double>(), 1e-14) << name;
  EXPECT_NEAR(with(Average::macro).real(), values[name + "_macro"].get<double>(), 1e-14) << name;
  EXPECT_NEAR(with(Average::weighted).real(), values[name + "_weighted"].get<double>(), 1e-14) << name;
  const bool binary = problem["kind"] == "binary";
  EXPECT_NEAR(with({}).real(), values[name + (binary ? "_binary" : "_macro")].get<double>(), 1e-14) << name;
  const Tree each = with(Average::per_class);
  const Json& expected = values[name + "_per_class"];
  ASSERT_EQ(each.size(), expected.size());
  for (size_t c = 0; c < expected.size(); ++c) {
    EXPECT_NEAR(each[std::to_string(c)].real(), expected[c].get<double>(), 1e-14) << name << " of class " << c;
  }
}

void expect_classification(const Json& problem) {
  const at::Tensor target = labels(problem["target"].get<std::vector<int64_t>>());
  const at::Tensor scores = matrix(problem["scores"]);
  for (const at::Tensor& typed : {scores, scores.to(at::kFloat)}) {
    EXPECT_NEAR(fed(accuracy(), typed, target).compute(), problem["values"]["acc"].get<double>(), 1e-14);
    expect_averages<Precision>("precision", problem, typed, target);
    expect_averages<Recall>("recall", problem, typed, target);
    expect_averages<F1>("f1", problem, typed, target);
    expect_confusion(problem, typed, target);
  }
  if (problem.contains("distinct")) {
    EXPECT_NEAR(fed(accuracy({.top_k = 2}), matrix(problem["distinct"]), target).compute(),
                problem["values"]["top2_acc"].get<double>(), 1e-14);
  }
}

void expect_regression(const Json& problem) {
  const at::Tensor predictions = matrix(problem["scores"]);
  const at::Tensor target = matrix(problem["target"]);
  const Json& values = problem["values"];
  const auto near = [&](double got, const char* name) {
    const double expected = values[name].get<double>();
    EXPECT_NEAR(got, expected, 1e-9 * std::max(1.0, std::abs(expected))) << name;
  };
  near(fed(mae(), predictions, target).compute(), "mae");
  near(fed(mse(), predictions, target).compute(), "mse");
  near(fed(rmse(), predictions, target).compute(), "rmse");
  if (values.contains("r2")) near(fed(r2(), predictions, target).compute(), "r2");
}

TEST(MetricsPython, EqualThoseOfScikitLearn) {
  const std::string python = ATHANOR_TEST_PYTHON;
  if (output_of(python + " -c 'import sklearn; print(1)' 2>/dev/null").empty()) {
    GTEST_SKIP() << python << " has no scikit-learn";
  }
  for (const int seed : {1, 2}) {
    const std::string text =
        output_of(python + " " ATHANOR_SOURCE_DIR "/tests/metrics/metrics_peer.py " + std::to_string(seed));
    ASSERT_FALSE(text.empty()) << "metrics_peer.py failed";
    const Json problems = Json::parse(text);
    ASSERT_GE(problems.size(), 30u);
    for (const Json& problem : problems) {
      SCOPED_TRACE(problem["kind"].get<std::string>() + ", " + problem["case"].get<std::string>() + ", " +
                   std::to_string(problem["target"].size()) + " samples, seed " + std::to_string(seed));
      if (problem["kind"] == "regression") {
        expect_regression(problem);
      } else {
        expect_classification(problem);
      }
      if (HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace athanor::metrics::metrics_python_test
