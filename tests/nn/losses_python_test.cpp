// SPDX-License-Identifier: Apache-2.0
// Losses and their gradients beside Python: random problems from a seed, by loss_peer.py, and those that it recorded.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "athanor/nn/losses.hpp"

namespace athanor::testing::losses_python_test {
namespace {

using Json = nlohmann::json;
using torch::Tensor;

Tensor tensor_of(const Json& json) {
  static const std::map<std::string, torch::Dtype> dtypes{
      {"float32", torch::kFloat}, {"float64", torch::kDouble}, {"bfloat16", torch::kBFloat16}, {"int64", torch::kLong}};
  const torch::Dtype dtype = dtypes.at(json["dtype"]);
  const auto shape = json["shape"].get<std::vector<int64_t>>();
  if (dtype == torch::kLong) return torch::tensor(json["values"].get<std::vector<int64_t>>()).view(shape);
  return torch::tensor(json["values"].get<std::vector<double>>(), torch::kDouble).view(shape).to(dtype);
}

loss::Classes classes_of(const Json& options) {
  return options["classes"] == "independent" ? loss::Classes::independent : loss::Classes::exclusive;
}
loss::Absent absent_of(const Json& options) {
  return options["left_out"].get<bool>() ? loss::Absent::left_out : loss::Absent::counted;
}

using Tensors = std::vector<Tensor>;
using Compute = std::function<Tensor(const Json&, const Tensors&)>;

Tensor info_nce(const Json& o, const Tensors& t) {
  static const std::map<std::string, loss::Contrast> contrasts{{"keys", loss::Contrast::keys},
                                                               {"both_ways", loss::Contrast::both_ways},
                                                               {"all_views", loss::Contrast::all_views}};
  const loss::InfoNCE loss(
      {.temperature = o["temperature"], .contrast = contrasts.at(o["contrast"]), .normalize = o["normalize"]});
  return t.size() == 2 ? loss(t[0], t[1]) : loss(Tree(t), {});
}

Tensor triplet(const Json& o, const Tensors& t) {
  static const std::map<std::string, loss::Mining> minings{{"batch_hard", loss::Mining::batch_hard},
                                                           {"batch_semi_hard", loss::Mining::batch_semi_hard},
                                                           {"batch_all", loss::Mining::batch_all}};
  static const std::map<std::string, loss::Distance> distances{{"euclidean", loss::Distance::euclidean},
                                                               {"squared_euclidean", loss::Distance::squared_euclidean},
                                                               {"cosine", loss::Distance::cosine}};
  return loss::Triplet({.margin = o["margin"],
                        .mining = minings.at(o["mining"]),
                        .distance = distances.at(o["distance"]),
                        .soft_margin = o["soft_margin"]})(t[0], t[1]);
}

Tensor box_overlap(const Json& o, const Tensors& t) {
  static const std::map<std::string, loss::BoxKind> kinds{{"iou", loss::BoxKind::iou},
                                                          {"giou", loss::BoxKind::giou},
                                                          {"diou", loss::BoxKind::diou},
                                                          {"ciou", loss::BoxKind::ciou}};
  static const std::map<std::string, loss::BoxFormat> formats{
      {"xyxy", loss::BoxFormat::xyxy}, {"xywh", loss::BoxFormat::xywh}, {"cxcywh", loss::BoxFormat::cxcywh}};
  return loss::BoxOverlap({.kind = kinds.at(o["kind"]), .format = formats.at(o["format"])})(t[0], t[1]);
}

Tensor uncertainty(const Json&, const Tensors& t) {
  loss::UncertaintyWeighted loss({{"x", loss::mse}, {"label", loss::cross_entropy, loss::Noise::softmax}});
  // The parameter of the problem in place of the loss's own, so that its gradient is seen.
  const Tensor s = t[4];
  const_cast<Tensor&>(loss.log_variance()) = s;
  return loss({{"label", t[2]}, {"x", t[0]}}, {{"x", t[1]}, {"label", t[3]}});
}

const std::map<std::string, Compute>& losses() {
  static const std::map<std::string, Compute> all{
      {"focal",
       [](const Json& o, const Tensors& t) {
         return loss::Focal(
             {.gamma = o["gamma"], .alpha = o["alpha"].get<std::vector<double>>(), .ignore_index = o["ignore_index"]})(
             t[0], t[1]);
       }},
      {"binary_focal",
       [](const Json& o, const Tensors& t) {
         std::optional<double> alpha;
         if (!o["alpha"].is_null()) alpha = o["alpha"].get<double>();
         return loss::BinaryFocal({.gamma = o["gamma"], .alpha = alpha})(t[0], t[1]);
       }},
      {"smoothed_cross_entropy",
       [](const Json& o, const Tensors& t) {
         return loss::SmoothedCrossEntropy({.smoothing = o["smoothing"],
                                            .class_weight = o["class_weight"].get<std::vector<double>>(),
                                            .ignore_index = o["ignore_index"]})(t[0], t[1]);
       }},
      {"dice",
       [](const Json& o, const Tensors& t) {
         return loss::Dice({.classes = classes_of(o),
                            .absent = absent_of(o),
                            .per_sample = o["per_sample"],
                            .smooth = o["smooth"],
                            .ignore_index = o["ignore_index"]})(t[0], t[1]);
       }},
      {"tversky",
       [](const Json& o, const Tensors& t) {
         return loss::Tversky({.false_positives = o["false_positives"],
                               .false_negatives = o["false_negatives"],
                               .focus = o["focus"],
                               .classes = classes_of(o),
                               .absent = absent_of(o),
                               .per_sample = o["per_sample"],
                               .smooth = o["smooth"],
                               .ignore_index = o["ignore_index"]})(t[0], t[1]);
       }},
      {"lovasz",
       [](const Json& o, const Tensors& t) {
         return loss::Lovasz({.classes = classes_of(o),
                              .absent = absent_of(o),
                              .per_sample = o["per_sample"],
                              .ignore_index = o["ignore_index"]})(t[0], t[1]);
       }},
      {"info_nce", info_nce},
      {"triplet", triplet},
      {"quantile",
       [](const Json& o, const Tensors& t) {
         return loss::Quantile({.quantiles = o["quantiles"].get<std::vector<double>>()})(t[0], t[1]);
       }},
      {"box_overlap", box_overlap},
      {"ctc",
       [](const Json& o, const Tensors& t) {
         const loss::CTC loss({.blank = o["blank"]});
         if (t.size() == 2) return loss(t[0], t[1]);
         return loss(Tree::list({t[0], t[2]}), {{"labels", t[1]}, {"lengths", t[3]}});
       }},
      {"distillation",
       [](const Json& o, const Tensors& t) {
         return loss::Distillation({.temperature = o["temperature"], .teacher = o["teacher"]})(
             t[0], {{"label", t[2]}, {"teacher", t[1]}});
       }},
      {"uncertainty", uncertainty},
  };
  return all;
}

/// Tensors that have a gradient in the problem, in order.
std::vector<size_t> differentiable(const std::string& name, size_t tensors) {
  if (name == "info_nce") return tensors == 3 ? std::vector<size_t>{0, 1, 2} : std::vector<size_t>{0, 1};
  if (name == "uncertainty") return {0, 2, 4};
  return {0};
}

/// Sums of some hundred numbers of size 1 to 100 in the dtype that the loss is computed in, with exponentials that
/// multiply a rounding by up to some tens: a thousand roundings. Python computes in float64. Gradients in bfloat16 are
/// rounded to 8 bits.
double tolerance(torch::Dtype dtype, double size, bool gradient) {
  const double rounding = dtype == torch::kDouble ? 0x1p-53 : gradient && dtype == torch::kBFloat16 ? 0x1p-17 : 0x1p-24;
  return 1000 * rounding * std::max(size, 1.0);
}

void compare(const Json& problem) {
  const std::string name = problem["loss"];
  SCOPED_TRACE(name + ", problem " + std::to_string(problem["number"].get<int>()) + ", " + problem["options"].dump());
  Tensors tensors;
  for (const Json& json : problem["tensors"]) tensors.push_back(tensor_of(json));
  const std::vector<size_t> wanted = differentiable(name, tensors.size());
  for (const size_t i : wanted) tensors[i].requires_grad_();
  const Tensor value = losses().at(name)(problem["options"], tensors);
  const torch::Dtype dtype = tensors[0].scalar_type();
  EXPECT_EQ(value.dim(), 0);
  if (dtype == torch::kBFloat16) {
    EXPECT_EQ(value.scalar_type(), torch::kFloat);
  }
  const auto expected = problem["value"].get<double>();
  ASSERT_NEAR(value.item<double>(), expected, tolerance(dtype, std::abs(expected), false));
  value.backward();
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (problem["gradients"][i].is_null()) continue;
    const Tensor theirs = torch::tensor(problem["gradients"][i].get<std::vector<double>>(), torch::kDouble);
    Tensor ours = tensors[wanted[i]].grad();
    if (!ours.defined()) ours = torch::zeros_like(tensors[wanted[i]]);
    const double most = theirs.abs().max().item<double>();
    const bool learnt = name == "uncertainty" && wanted[i] == 4;  // float32 whatever the predictions are
    const torch::Dtype coarsest = learnt && dtype == torch::kDouble ? torch::kFloat : dtype;
    EXPECT_LE((ours.to(torch::kDouble).flatten() - theirs).abs().max().item<double>(), tolerance(coarsest, most, true))
        << "gradient of tensor " << wanted[i] << "\n"
        << ours << theirs;
  }
}

std::map<std::string, int> compare_all(const Json& problems) {
  std::map<std::string, int> counted;
  for (const Json& problem : problems) {
    counted[problem["loss"]] += 1;
    compare(problem);
    if (::testing::Test::HasFailure()) break;
  }
  return counted;
}

TEST(LossesPython, AreThoseThatWereRecorded) {
  std::ifstream file(ATHANOR_SOURCE_DIR "/tests/nn/loss_reference.json");
  const Json recorded = Json::parse(file);
  std::printf("compared with losses of torch %s that were recorded\n", recorded["torch"].get<std::string>().c_str());
  EXPECT_EQ(compare_all(recorded["problems"]).size(), losses().size());
}

TEST(LossesPython, AreThoseOfPython) {
  const std::string seed = std::to_string(std::random_device()());
  const std::string command =
      std::string(ATHANOR_TEST_PYTHON) + " " ATHANOR_SOURCE_DIR "/tests/nn/loss_peer.py " + seed;
  FILE* pipe = ::popen(command.c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  std::string text;
  std::array<char, 1 << 16> piece{};
  for (size_t size = 0; (size = std::fread(piece.data(), 1, piece.size(), pipe)) > 0;) text.append(piece.data(), size);
  const int status = ::pclose(pipe);
  if (status != 0) {
    ASSERT_EQ(WEXITSTATUS(status), 77) << command;
    GTEST_SKIP() << "torch is not in " << ATHANOR_TEST_PYTHON << "; the recorded losses are compared";
  }
  const Json live = Json::parse(text);
  std::printf("compared with torch %s, seed %s\n", live["torch"].get<std::string>().c_str(), seed.c_str());
  SCOPED_TRACE("seed " + seed);
  for (const auto& [name, count] : compare_all(live["problems"])) EXPECT_GE(count, 30) << name;
}

}  // namespace
}  // namespace athanor::testing::losses_python_test
