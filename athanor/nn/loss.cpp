// SPDX-License-Identifier: Apache-2.0
#include "athanor/nn/loss.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/Reduction.h>
#include <ATen/ops/binary_cross_entropy_with_logits.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/l1_loss.h>
#include <ATen/ops/mse_loss.h>

#include "athanor/core/error.hpp"
#include "athanor/nn/loss_input.hpp"

namespace athanor {

at::Tensor Loss::weighted(const Tree& predictions, const Tree& target, const at::Tensor& sample_weight,
                          const at::Tensor& class_weight) const {
  if (by_element_ == nullptr) {
    throw Error({.what = "this loss can't be weighted: it gives one number for the whole batch",
                 .where = "sample or class weights",
                 .expected = "a loss with by_element(predictions, target)",
                 .todo = "use one of athanor::loss, or a struct with operator() and by_element"});
  }
  const at::Tensor& truth = target.first_tensor();
  at::Tensor elements = by_element_(predictions.first_tensor(), truth);
  if (class_weight.defined()) {
    if (!target_is_class_index_ || truth.scalar_type() != at::kLong) {
      throw Error({.what = "class weights need class numbers as targets",
                   .where = "class_weight",
                   .got = describe(truth),
                   .expected = "int64 class numbers and a loss such as cross_entropy"});
    }
    const at::Tensor of_class = class_weight.to(elements.device(), elements.scalar_type());
    const at::Tensor ignored = truth < 0;
    elements = elements * of_class.index_select(0, truth.clamp_min(0).flatten()).view_as(truth) * ignored.logical_not();
  }
  if (!sample_weight.defined()) return elements.mean();
  std::vector<int64_t> shape(static_cast<size_t>(elements.dim()), 1);
  shape.front() = sample_weight.size(0);
  return (elements * sample_weight.to(elements.device(), elements.scalar_type()).view(shape)).mean();
}

namespace loss {
namespace {

using detail::require_same_shape;

}  // namespace

at::Tensor CrossEntropy::operator()(const at::Tensor& logits, const at::Tensor& target) const {
  return at::cross_entropy_loss(logits, target);
}

at::Tensor BinaryCrossEntropy::operator()(const at::Tensor& logits, const at::Tensor& target) const {
  require_same_shape("binary cross entropy", logits, target);
  return at::binary_cross_entropy_with_logits(logits, target.to(logits.scalar_type()));
}

at::Tensor MeanSquaredError::operator()(const at::Tensor& predictions, const at::Tensor& target) const {
  require_same_shape("mean squared error", predictions, target);
  return at::mse_loss(predictions, target);
}

at::Tensor MeanAbsoluteError::operator()(const at::Tensor& predictions, const at::Tensor& target) const {
  require_same_shape("mean absolute error", predictions, target);
  return at::l1_loss(predictions, target);
}

at::Tensor CrossEntropy::by_element(const at::Tensor& logits, const at::Tensor& target) const {
  return at::cross_entropy_loss(logits, target, {}, at::Reduction::None);
}

at::Tensor BinaryCrossEntropy::by_element(const at::Tensor& logits, const at::Tensor& target) const {
  require_same_shape("binary cross entropy", logits, target);
  return at::binary_cross_entropy_with_logits(logits, target.to(logits.scalar_type()), {}, {}, at::Reduction::None);
}

at::Tensor MeanSquaredError::by_element(const at::Tensor& predictions, const at::Tensor& target) const {
  require_same_shape("mean squared error", predictions, target);
  return at::mse_loss(predictions, target, at::Reduction::None);
}

at::Tensor MeanAbsoluteError::by_element(const at::Tensor& predictions, const at::Tensor& target) const {
  require_same_shape("mean absolute error", predictions, target);
  return at::l1_loss(predictions, target, at::Reduction::None);
}

at::Tensor OfNet::operator()(const Tree& predictions, const Tree&) const {
  if (predictions.is_tensor()) return predictions.tensor();
  if (const Tree* loss = predictions.find("loss"); loss != nullptr && loss->is_tensor()) return loss->tensor();
  throw Error({.what = "the net returned no loss",
               .got = predictions.describe(),
               .expected = "a scalar tensor, or a dictionary with a scalar under 'loss'"});
}

}  // namespace loss
}  // namespace athanor
