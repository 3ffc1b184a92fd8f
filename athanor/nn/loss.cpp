// SPDX-License-Identifier: Apache-2.0
#include "athanor/nn/loss.hpp"

#include <ATen/ops/binary_cross_entropy_with_logits.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/l1_loss.h>
#include <ATen/ops/mse_loss.h>

#include "athanor/core/error.hpp"

namespace athanor::loss {
namespace {

void require_same_shape(const char* loss, const at::Tensor& predictions, const at::Tensor& target) {
  if (predictions.sizes() == target.sizes()) return;
  throw Error({.what = std::string(loss) + " needs predictions and targets of one shape",
               .got = describe(predictions) + " and " + describe(target),
               .expected = "equal shapes; broadcasting would average over pairs that do not belong together",
               .todo = "reshape one of them, often by target.unsqueeze(1) or predictions.squeeze(1)"});
}

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

}  // namespace athanor::loss
