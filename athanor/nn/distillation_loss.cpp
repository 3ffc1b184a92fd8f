// SPDX-License-Identifier: Apache-2.0
#include "athanor/nn/distillation_loss.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/Reduction.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/kl_div.h>

#include <cmath>

#include "athanor/core/error.hpp"
#include "athanor/nn/loss_input.hpp"

namespace athanor::loss {
namespace {

const at::Tensor* tensor_under(const Tree& tree, const char* name) {
  const Tree* found = tree.is_dictionary() ? tree.find(name) : nullptr;
  return found != nullptr && found->is_tensor() ? &found->tensor() : nullptr;
}

const at::Tensor& needed_tensor(const at::Tensor* tensor, const char* name, const Tree& predictions,
                                const Tree& target) {
  if (tensor != nullptr && tensor->defined()) return *tensor;
  throw Error({.what = std::string("distillation finds no ") + name,
               .where = "loss::Distillation",
               .got = predictions.describe() + " and " + target.describe(),
               .expected = "predictions, or {student, teacher}, and labels, or {label, teacher}"});
}

}  // namespace

Distillation::Distillation(DistillationOptions options) : options_(options) {
  detail::require_option(options_.temperature > 0 && std::isfinite(options_.temperature),
                         "DistillationOptions::temperature", options_.temperature, "above 0");
  detail::require_option(options_.teacher >= 0 && options_.teacher <= 1, "DistillationOptions::teacher",
                         options_.teacher, "from 0 to 1");
}

at::Tensor Distillation::operator()(const Tree& predictions, const Tree& target) const {
  const detail::FullPrecision full;
  constexpr const char* name = "loss::Distillation";
  const at::Tensor* student = predictions.is_tensor() ? &predictions.tensor() : tensor_under(predictions, "student");
  const at::Tensor* teacher = tensor_under(predictions, "teacher");
  if (teacher == nullptr) teacher = tensor_under(target, "teacher");
  const at::Tensor x = detail::in_full(needed_tensor(student, "student", predictions, target), name);
  const at::Tensor& guide = needed_tensor(teacher, "teacher", predictions, target);
  detail::require_same_shape(name, x, guide);
  detail::require_choice(name, x);
  const at::Tensor t = guide.detach().to(x.scalar_type());
  detail::require_finite(name, "teacher", t);
  const double heat = options_.temperature;
  const int64_t rows = x.numel() / x.size(1);
  at::Tensor apart = at::kl_div((x / heat).log_softmax(1), (t / heat).log_softmax(1), at::Reduction::Sum,
                                /*log_target=*/true) *
                     (heat * heat / static_cast<double>(rows));
  if (options_.teacher == 1) return apart;
  const at::Tensor* label = target.is_tensor() ? &target.tensor() : tensor_under(target, "label");
  const at::Tensor numbers = detail::class_numbers(name, x, needed_tensor(label, "label", predictions, target), -100);
  return options_.teacher * apart + (1 - options_.teacher) * at::cross_entropy_loss(x, numbers);
}

}  // namespace athanor::loss
