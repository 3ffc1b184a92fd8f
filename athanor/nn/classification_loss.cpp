// SPDX-License-Identifier: Apache-2.0
#include "athanor/nn/classification_loss.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/Reduction.h>
#include <ATen/ops/binary_cross_entropy_with_logits.h>
#include <ATen/ops/cross_entropy_loss.h>

#include <cmath>
#include <utility>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"
#include "athanor/core/tree.hpp"
#include "athanor/nn/loss_input.hpp"

namespace athanor::loss {
namespace {

using namespace detail;

constexpr int64_t usual_ignore_index = -100;  // what checks before the first step know of

void check_class_weights(const std::vector<double>& weights, const std::string& option) {
  for (const double weight : weights) require_option(weight >= 0 && std::isfinite(weight), option, weight, "0 or more");
}

void check_class_count(const std::vector<double>& weights, const at::Tensor& logits, const std::string& option) {
  if (weights.empty() || static_cast<int64_t>(weights.size()) == logits.size(1)) return;
  throw Error({.what = "a loss has a weight for each class of another number of classes",
               .where = option,
               .got = std::to_string(weights.size()) + " weights for " + describe(logits),
               .expected = std::to_string(logits.size(1))});
}

}  // namespace

Focal::Focal(FocalOptions options)
    : target_is_class_index(options.ignore_index == usual_ignore_index), options_(std::move(options)) {
  require_option(options_.gamma >= 0 && std::isfinite(options_.gamma), "FocalOptions::gamma", options_.gamma,
                 "0 or more");
  check_class_weights(options_.alpha, "FocalOptions::alpha");
}

at::Tensor Focal::by_element(const at::Tensor& logits, const at::Tensor& target) const {
  const FullPrecision full;
  const at::Tensor x = in_full(logits, "loss::Focal");
  const at::Tensor classes = class_numbers("loss::Focal", x, target, options_.ignore_index);
  check_class_count(options_.alpha, x, "FocalOptions::alpha");
  const at::Tensor counts = classes != options_.ignore_index;
  const at::Tensor index = classes.where(counts, 0);
  const at::Tensor log_p = x.log_softmax(1).gather(1, index.unsqueeze(1)).squeeze(1);
  at::Tensor elements = -log_p;
  if (options_.gamma > 0) elements = elements * power(-log_p.expm1(), options_.gamma);
  if (!options_.alpha.empty()) {
    elements = elements * numbers_like(options_.alpha, x).index_select(0, index.flatten()).view_as(index);
  }
  return elements.where(counts, 0);
}

at::Tensor Focal::operator()(const at::Tensor& logits, const at::Tensor& target) const {
  return by_element(logits, target).sum() / (target != options_.ignore_index).sum();
}

BinaryFocal::BinaryFocal(BinaryFocalOptions options) : options_(options) {
  require_option(options_.gamma >= 0 && std::isfinite(options_.gamma), "BinaryFocalOptions::gamma", options_.gamma,
                 "0 or more");
  const double alpha = options_.alpha.value_or(0);
  require_option(alpha >= 0 && alpha <= 1, "BinaryFocalOptions::alpha", alpha, "from 0 to 1");
}

at::Tensor BinaryFocal::by_element(const at::Tensor& logits, const at::Tensor& target) const {
  const FullPrecision full;
  const at::Tensor x = in_full(logits, "loss::BinaryFocal");
  require_same_shape("loss::BinaryFocal", x, target);
  const at::Tensor y = target.to(x.scalar_type());
  require_range("loss::BinaryFocal", "target", y, 0, 1);
  at::Tensor elements = at::binary_cross_entropy_with_logits(x, y, {}, {}, at::Reduction::None);
  if (options_.gamma > 0) {
    const at::Tensor missed = x.neg().sigmoid() * y + x.sigmoid() * (1 - y);  // 1 - p
    elements = elements * power(missed, options_.gamma);
  }
  if (options_.alpha) elements = elements * (*options_.alpha * y + (1 - *options_.alpha) * (1 - y));
  return elements;
}

at::Tensor BinaryFocal::operator()(const at::Tensor& logits, const at::Tensor& target) const {
  return by_element(logits, target).mean();
}

SmoothedCrossEntropy::SmoothedCrossEntropy(SmoothedCrossEntropyOptions options)
    : target_is_class_index(options.ignore_index == usual_ignore_index), options_(std::move(options)) {
  require_option(options_.smoothing >= 0 && options_.smoothing <= 1, "SmoothedCrossEntropyOptions::smoothing",
                 options_.smoothing, "from 0 to 1");
  check_class_weights(options_.class_weight, "SmoothedCrossEntropyOptions::class_weight");
}

at::Tensor SmoothedCrossEntropy::compute(const at::Tensor& logits, const at::Tensor& target, int64_t reduction) const {
  const FullPrecision full;
  constexpr const char* name = "loss::SmoothedCrossEntropy";
  const at::Tensor x = in_full(logits, name);
  at::Tensor y;
  if (target.defined() && target.is_floating_point()) {
    require_same_shape(name, x, target);
    require_choice(name, x);
    y = target.to(x.scalar_type());
    require_range(name, "target", y, 0, 1);
    require_range(name, "sum over the classes of the target", y.detach().sum(1), 0.99, 1.01);
  } else {
    y = class_numbers(name, x, target, options_.ignore_index);
  }
  check_class_count(options_.class_weight, x, "SmoothedCrossEntropyOptions::class_weight");
  std::optional<at::Tensor> weight;
  if (!options_.class_weight.empty()) weight = numbers_like(options_.class_weight, x);
  return at::cross_entropy_loss(x, y, weight, reduction, options_.ignore_index, options_.smoothing);
}

at::Tensor SmoothedCrossEntropy::operator()(const at::Tensor& logits, const at::Tensor& target) const {
  return compute(logits, target, at::Reduction::Mean);
}

at::Tensor SmoothedCrossEntropy::by_element(const at::Tensor& logits, const at::Tensor& target) const {
  return compute(logits, target, at::Reduction::None);
}

}  // namespace athanor::loss
