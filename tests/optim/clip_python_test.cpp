// SPDX-License-Identifier: Apache-2.0
// Clipping beside the real torch.nn.utils of Python, run by clip_peer.py.
#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "athanor/optim/clip.hpp"
#include "tests/optim/python_peer.hpp"

namespace athanor::clip_python_test {
namespace {

struct ClipScript {
  static constexpr const char* name = "clip_peer.py";
};
using ClipPython = PythonPeer<ClipScript>;

using Prepare = PreparedStep(const Parameters&, const std::optional<Clip>&, const at::Tensor&, bool);

struct Precision {
  at::ScalarType dtype;
  std::string name;
  /// float32 and bfloat16: Python adds up thousands of squares in float32, so its norm is off by up to
  /// sqrt(21000) x 2^-24 = 9e-6 of it. A number of bfloat16 is rounded to 2^-9 of itself besides, by both sides.
  double norm_tolerance;
  double number_tolerance;
};

const std::vector<Precision>& precisions() {
  static const std::vector<Precision> all{
      {at::kFloat, "float32", 1e-5, 2e-5},
      {at::kDouble, "float64", 1e-7, 2e-7},              // the norm and the divisor are float32
      {at::kBFloat16, "bfloat16", 1.0 / 128, 1.0 / 64},  // Python's norm is bfloat16 itself
  };
  return all;
}

constexpr double infinity = std::numeric_limits<double>::infinity();

Parameters parameters_with(const std::vector<double>& numbers, at::ScalarType dtype) {
  Parameters parameters;
  const double* next = numbers.data();
  for (const at::DimVector& shape :
       {at::DimVector{300, 70}, at::DimVector{11}, at::DimVector{}, at::DimVector{3, 5, 4, 4}}) {
    at::Tensor gradient = at::zeros(shape, at::kDouble);
    std::memcpy(gradient.mutable_data_ptr(), next, gradient.nbytes());
    next += gradient.numel();
    const at::Tensor tensor = at::zeros(shape, dtype).requires_grad_();
    tensor.mutable_grad() = gradient.to(dtype);
    if (shape.size() == 4) tensor.mutable_grad() = tensor.grad().contiguous(at::MemoryFormat::ChannelsLast);
    parameters.push_back({std::to_string(parameters.size()), tensor});
  }
  parameters.push_back({"without a gradient", at::zeros({3}).requires_grad_()});
  return parameters;
}

/// The gradients as a step sees them.
std::vector<double> divided(const Parameters& parameters, const GradientScale& scale) {
  std::vector<double> all;
  for (const Parameter& parameter : parameters) {
    if (!parameter.tensor.grad().defined()) continue;
    at::Tensor gradient = parameter.tensor.grad().to(at::kDouble).contiguous();
    if (scale.divisor.defined()) gradient = gradient / scale.divisor.to(at::kDouble);
    const auto* first = static_cast<const double*>(gradient.const_data_ptr());
    all.insert(all.end(), first, first + gradient.numel());
  }
  return all;
}

double largest_difference(const std::vector<double>& ours, const std::vector<double>& theirs) {
  double largest = 0;
  for (size_t i = 0; i < ours.size(); ++i) {
    const double difference = std::abs(ours[i] - theirs[i]) / std::max(std::abs(theirs[i]), 1e-30);
    if (!(difference <= largest) && ours[i] != theirs[i]) largest = difference;  // also for NaN
  }
  return largest;
}

struct Case {
  std::string name;
  Clip clip;
};

const std::vector<Case>& norm_cases() {
  static const std::vector<Case> all{{"two", {.norm = 0.5}},
                                     {"two_not_reached", {.norm = 1e6}},
                                     {"zero", {.norm = 0}},
                                     {"one", {.norm = 3, .norm_type = 1}},
                                     {"infinity", {.norm = 0.25, .norm_type = infinity}}};
  return all;
}

TEST_F(ClipPython, GradientsAreClippedByTheirNormAsInPython) {
  for (Prepare* prepare : {&prepare_step, &prepare_step_by_operators}) {
    for (const Precision& precision : precisions()) {
      for (const Case& each : norm_cases()) {
        for (const double loss_scale : {1.0, 1024.0}) {
          std::vector<double> gradients = read(precision.name + ".gradients");
          for (double& gradient : gradients) gradient *= loss_scale;
          const Parameters parameters = parameters_with(gradients, precision.dtype);
          const PreparedStep prepared =
              prepare(parameters, each.clip, loss_scale == 1 ? at::Tensor() : at::full({}, loss_scale), true);
          const std::string where = precision.name + "." + each.name;
          const double norm = read(where + ".norm").at(0);
          EXPECT_NEAR(prepared.norm.item<double>(), norm, norm * precision.norm_tolerance) << where;
          EXPECT_EQ(prepared.norm.scalar_type(), at::kFloat);
          EXPECT_EQ(prepared.scale.found_inf.item<float>(), 0) << where;
          const std::vector<double> expected = read(where + ".clipped");
          const std::vector<double> ours = divided(parameters, prepared.scale);
          ASSERT_EQ(ours.size(), expected.size());
          EXPECT_LE(largest_difference(ours, expected), precision.number_tolerance) << where << loss_scale;
        }
      }
    }
  }
}

TEST_F(ClipPython, GradientsAreClippedByValueAsInPython) {
  for (Prepare* prepare : {&prepare_step, &prepare_step_by_operators}) {
    for (const Precision& precision : precisions()) {
      for (const double loss_scale : {1.0, 1024.0}) {
        std::vector<double> gradients = read(precision.name + ".gradients");
        for (double& gradient : gradients) gradient *= loss_scale;
        const Parameters parameters = parameters_with(gradients, precision.dtype);
        const at::Tensor scale = loss_scale == 1 ? at::Tensor() : at::full({}, loss_scale);
        const PreparedStep prepared = prepare(parameters, Clip{.value = 0.375}, scale, false);
        EXPECT_FALSE(prepared.norm.defined());
        EXPECT_FALSE(prepared.scale.found_inf.defined());
        EXPECT_TRUE(divided(parameters, prepared.scale) == read(precision.name + ".value.clipped"));
      }
    }
  }
}

}  // namespace
}  // namespace athanor::clip_python_test
