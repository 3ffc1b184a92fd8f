// SPDX-License-Identifier: Apache-2.0
// PSNR, SSIM and multi-scale SSIM beside torchmetrics in float64: always against references that
// peers/image_quality_peer.py has recorded; and against the package, on problems from a fresh seed, where the Python of
// the tests has it. ATHANOR_TEST_SEED=n repeats one.
#include <ATen/ops/cat.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <iostream>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "athanor/metrics/image_quality.hpp"
#include "athanor/metrics/metric.hpp"
#include "tests/metrics/metrics_testing.hpp"
#include "tests/metrics/peer_process.hpp"

namespace athanor::metrics::image_quality_python_test {
namespace {

using namespace athanor::metrics::testing;
using Json = nlohmann::json;

/// torchmetrics holds betas and the logarithm's base in float32, which rounds by 6e-8 of them; the window sums of both
/// are in float64.
constexpr double tolerance = 1e-6;

template <class Options>
void set_shared(Options& options, const Json& given) {
  if (given.contains("data_range")) options.data_range = given["data_range"].get<double>();
  if (given.contains("clamp")) options.clamp = given["clamp"].get<std::array<double, 2>>();
  if constexpr (requires { options.sigma; }) {
    options.gaussian_kernel = given.value("gaussian_kernel", true);
    if (given.contains("sigma")) options.sigma = given["sigma"].get<std::array<double, 2>>();
    if (given.contains("kernel_size")) options.kernel_size = given["kernel_size"].get<std::array<int64_t, 2>>();
    options.k1 = given.value("k1", 0.01);
    options.k2 = given.value("k2", 0.03);
  }
}

PsnrOptions psnr_options(const Json& given, const std::string& value) {
  PsnrOptions options;
  set_shared(options, given);
  options.base = given.value("base", 10.0);
  options.of = value == "dataset" ? PsnrOf::dataset : PsnrOf::image;
  options.reduction = value == "sum" ? ImageReduction::sum : ImageReduction::mean;
  return options;
}

SsimOptions ssim_options(const Json& given, const std::string& value) {
  SsimOptions options;
  set_shared(options, given);
  options.reduction = value == "sum" ? ImageReduction::sum : ImageReduction::mean;
  return options;
}

MsSsimOptions ms_ssim_options(const Json& given, const std::string& value) {
  MsSsimOptions options;
  set_shared(options, given);
  options.reduction = value == "sum" ? ImageReduction::sum : ImageReduction::mean;
  if (given.contains("betas")) options.betas = given["betas"].get<std::vector<double>>();
  const std::string normalize = given.value("normalize", "relu");
  options.normalize = normalize == "relu"     ? ScaleNormalization::relu
                      : normalize == "simple" ? ScaleNormalization::simple
                                              : ScaleNormalization::none;
  return options;
}

Metric metric_of(const std::string& name, const Json& given, const std::string& value) {
  if (name == "psnr") return psnr(psnr_options(given, value));
  if (name == "ssim") return ssim(ssim_options(given, value));
  return ms_ssim(ms_ssim_options(given, value));
}

at::Tensor of_images(const std::string& name, const Json& given, const at::Tensor& predictions,
                     const at::Tensor& target) {
  if (name == "psnr") return psnr_of_images(predictions, target, psnr_options(given, "none"));
  if (name == "ssim") return ssim_of_images(predictions, target, ssim_options(given, "none"));
  return ms_ssim_of_images(predictions, target, ms_ssim_options(given, "none"));
}

void expect_value(double got, const Json& expected, const std::string& name) {
  if (expected.is_null()) {
    EXPECT_TRUE(std::isnan(got)) << name << " is " << got;
  } else if (expected.is_string()) {
    EXPECT_EQ(got, std::numeric_limits<double>::infinity()) << name;
  } else {
    EXPECT_NEAR(got, expected.get<double>(), tolerance * std::max(1.0, std::abs(expected.get<double>()))) << name;
  }
}

std::map<std::string, int> check(const Json& problems, uint32_t seed) {
  std::mt19937 random(seed);
  std::map<std::string, int> checked;
  for (const Json& json : problems) {
    const std::string name = json["metric"].get<std::string>(), dtype = json["dtype"].get<std::string>();
    const at::ScalarType kind = dtype == "float64" ? at::kDouble : dtype == "float32" ? at::kFloat : at::kBFloat16;
    const auto shape = json["shape"].get<std::vector<int64_t>>();
    const auto images = [&](const char* side) {
      return (doubles(json[side].get<std::vector<double>>(), shape) / 256).to(kind);
    };
    const at::Tensor predictions = images("predictions"), target = images("target");
    SCOPED_TRACE(name + ", " + json["case"].get<std::string>() + ", " + dtype + ", options " + json["options"].dump() +
                 ", seed " + std::to_string(seed));
    for (const auto& [value, expected] : json["values"].items()) {
      if (value == "none") {
        const at::Tensor got = of_images(name, json["options"], predictions, target);
        EXPECT_EQ(got.numel(), shape[0]);
        for (int64_t i = 0; i < shape[0]; ++i) {
          expect_value(got[i].item<double>(), expected[static_cast<size_t>(i)], "image " + std::to_string(i));
        }
        continue;
      }
      const Metric empty = metric_of(name, json["options"], value);
      Metric whole = empty;
      whole.update(predictions, target, shape[0]);
      std::vector<Metric> parts(2, empty);
      for (int64_t i = shape[0]; i-- > 0;) {
        parts[random() % 2].update(predictions.slice(0, i, i + 1), target.slice(0, i, i + 1), 1);
      }
      Metric merged = empty;
      for (const Metric& part : parts) merged.merge(part);
      for (const Metric& metric : {whole, merged}) expect_value(metric.compute().real(), expected[0], value);
    }
    ++checked[name];
    if (::testing::Test::HasFailure()) break;
  }
  return checked;
}

TEST(ImageQualityPython, EqualsRecordedReferences) {
  EXPECT_EQ(check(recorded_problems("image_quality_reference.json", "image_quality_peer.py"), 1).size(), 3U);
}

TEST(ImageQualityPython, EqualsTorchmetrics) {
  uint32_t seed = 0;
  const Json problems = fresh_problems("image_quality_peer.py", seed);
  if (problems.is_null()) GTEST_SKIP() << "no torchmetrics: only the recorded references count";
  const std::map<std::string, int> checked = check(problems, seed);
  EXPECT_EQ(checked.size(), 3U);
  for (const auto& [name, count] : checked) EXPECT_GE(count, 30) << name;
}

}  // namespace
}  // namespace athanor::metrics::image_quality_python_test
