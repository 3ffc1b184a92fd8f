// SPDX-License-Identifier: Apache-2.0
#include "athanor/callbacks/label_smoothing.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"

namespace athanor {
namespace detail {
namespace {

void refuse_class_out_of_range(const at::Tensor& labels, const Batch& batch, int64_t classes,
                               const std::string& owner) {
  const at::Tensor flat = labels.reshape({-1});
  const int64_t* label = flat.const_data_ptr<int64_t>();
  const int64_t inner = labels.size(0) == 0 ? 1 : labels.numel() / labels.size(0);
  for (int64_t i = 0; i < flat.numel(); ++i) {
    if (label[i] >= 0 && label[i] < classes) continue;
    const bool numbered = batch.indices.defined();
    const int64_t row = i / inner;
    throw Error({.what = "a class number is out of range",
                 .where = owner + (numbered ? ", sample " + std::to_string(batch.indices[row].item<int64_t>())
                                            : ", row " + std::to_string(row) + " of the batch"),
                 .got = std::to_string(label[i]),
                 .expected = "0 to " + std::to_string(classes - 1),
                 .todo = "correct the label, or the number of classes"});
  }
}

}  // namespace

void check_soft_targets(int64_t classes, double smoothing, const std::string& owner) {
  if (classes < 1) {
    throw Error({.what = "the number of classes is needed",
                 .where = owner + "::classes",
                 .got = std::to_string(classes),
                 .expected = "1 or more"});
  }
  if (!(smoothing >= 0 && smoothing < 1)) {
    throw Error({.what = "the smoothing of labels is out of range",
                 .where = owner + "::smoothing",
                 .got = shortest(smoothing),
                 .expected = "from 0 to below 1"});
  }
}

at::Tensor soft_targets(const Batch& batch, int64_t classes, double smoothing, const std::string& owner) {
  const at::Tensor target = batch.target.is_tensor() ? batch.target.tensor() : at::Tensor();
  const bool labels = target.defined() && target.dim() >= 1 && !target.is_floating_point() && !target.is_complex();
  const bool probabilities =
      target.defined() && target.is_floating_point() && target.dim() >= 2 && target.size(1) == classes;
  if (!labels && !probabilities) {
    const std::string c = std::to_string(classes);
    throw Error({.what = "this target can't become probabilities of classes",
                 .where = owner,
                 .got = batch.target.empty() ? "no target" : batch.target.describe(),
                 .expected = "class numbers (N) or (N, …) of an integer dtype, or probabilities (N, " + c + ")"});
  }
  const at::Tensor input = batch.input.first_tensor();
  const bool wide = input.defined() && input.scalar_type() == at::kDouble;
  const at::ScalarType dtype = wide ? at::kDouble : at::kFloat;
  at::Tensor soft;
  if (labels) {
    const at::Tensor numbers = target.to(at::kLong);
    if (numbers.is_cpu()) refuse_class_out_of_range(numbers, batch, classes, owner);
    std::vector<int64_t> shape(numbers.sizes().begin(), numbers.sizes().end());
    shape.insert(shape.begin() + 1, classes);
    soft = at::zeros(shape, numbers.options().dtype(dtype)).scatter_(1, numbers.unsqueeze(1), 1);
  } else {
    soft = target.to(dtype);
  }
  return smoothing == 0 ? soft : soft * (1 - smoothing) + smoothing / static_cast<double>(classes);
}

void compare_with_class_numbers(MomentInfo& info) {
  if (!info.batch->target.is_tensor()) return;
  const at::Tensor& target = info.batch->target.tensor();
  if (!target.is_floating_point() || target.dim() < 2) return;
  Tree& compared = info.output->target;
  const bool is_of_batch = compared.empty() || (compared.is_tensor() && compared.tensor().is_same(target));
  if (is_of_batch) compared = Tree(target.argmax(1));
}

}  // namespace detail

LabelSmoothing::LabelSmoothing(LabelSmoothingOptions options) : options_(options) {
  detail::check_soft_targets(options_.classes, options_.smoothing, "LabelSmoothingOptions");
}

void LabelSmoothing::on_train_batch_begin(Trainer&, MomentInfo& info) {
  info.batch->target = detail::soft_targets(*info.batch, options_.classes, options_.smoothing, "LabelSmoothing");
}

void LabelSmoothing::on_forward_end(Trainer&, MomentInfo& info) { detail::compare_with_class_numbers(info); }

}  // namespace athanor
