// SPDX-License-Identifier: Apache-2.0
#include "athanor/nn/loss_input.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <limits>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"
#include "athanor/core/tree.hpp"

namespace athanor::loss::detail {
namespace {

int64_t first_true(const at::Tensor& mask) { return mask.flatten().to(at::kByte).argmax().item<int64_t>(); }

[[noreturn]] void refuse_value(const char* loss, const char* name, const at::Tensor& values, const at::Tensor& wrong,
                               const std::string& expected, const char* todo) {
  const int64_t index = first_true(wrong);
  const auto count = wrong.sum().item<int64_t>();
  throw Error({.what = std::string("a value of the ") + name + " is out of range",
               .where = std::string(loss) + ", " + name + place_of(index, values.sizes()),
               .got = shortest(values.flatten()[index].item<double>()) +
                      (count > 1 ? "; " + std::to_string(count) + " values in all" : ""),
               .expected = expected,
               .todo = todo});
}

}  // namespace

at::Tensor in_full(const at::Tensor& predictions, const char* loss) {
  if (!predictions.defined() || !predictions.is_floating_point() || predictions.numel() == 0) {
    throw Error({.what = "a loss needs predictions of a floating dtype",
                 .where = loss,
                 .got = describe(predictions),
                 .expected = "at least one number"});
  }
  return predictions.scalar_type() == at::kDouble ? predictions : predictions.to(at::kFloat);
}

void require_same_shape(const char* loss, const at::Tensor& predictions, const at::Tensor& target) {
  if (target.defined() && predictions.sizes() == target.sizes()) return;
  throw Error({.what = std::string(loss) + " needs predictions and targets of one shape",
               .got = describe(predictions) + " and " + describe(target),
               .expected = "equal shapes; broadcasting would average over pairs that do not belong together",
               .todo = "reshape one of them, often by target.unsqueeze(1) or predictions.squeeze(1)"});
}

void require_choice(const char* loss, const at::Tensor& logits) {
  if (logits.dim() >= 2 && logits.size(1) >= 2) return;
  throw Error({.what = "a loss of classes has no two of them to choose from",
               .where = loss,
               .got = "predictions " + describe(logits),
               .expected = "logits (N, C, …) with C of 2 or more",
               .todo = "take a loss of independent outputs for a single one, as BinaryFocal or Classes::independent"});
}

at::Tensor class_numbers(const char* loss, const at::Tensor& logits, const at::Tensor& target, int64_t ignore_index) {
  std::vector<int64_t> shape(logits.sizes().begin(), logits.sizes().end());
  if (shape.size() >= 2) shape.erase(shape.begin() + 1);
  const bool fits = logits.dim() >= 2 && target.defined() && target.sizes() == at::IntArrayRef(shape);
  if (!fits || !at::isIntegralType(target.scalar_type(), /*includeBool=*/false)) {
    throw Error({.what = "the target does not fit the predictions",
                 .where = loss,
                 .got = describe(logits) + " and " + describe(target),
                 .expected = "logits (N, C, …) and class numbers (N, …) of an integer dtype"});
  }
  require_choice(loss, logits);
  at::Tensor numbers = target.to(at::kLong);
  if (!numbers.is_cpu()) return numbers;
  const auto [low, high] = numbers.aminmax();
  const int64_t classes = logits.size(1);
  if (low.item<int64_t>() >= 0 && high.item<int64_t>() < classes) return numbers;
  const at::Tensor wrong = ((numbers < 0) | (numbers >= classes)) & (numbers != ignore_index);
  if (wrong.any().item<bool>()) {
    refuse_value(loss, "target", numbers, wrong,
                 "class numbers from 0 to " + std::to_string(classes - 1) + ", or " + std::to_string(ignore_index) +
                     " for what does not count",
                 "correct the labels, or give the net as many outputs as there are classes");
  }
  return numbers;
}

void require_range(const char* loss, const char* name, const at::Tensor& values, double low, double high) {
  if (!values.is_cpu() || values.numel() == 0) return;
  const auto [least, most] = values.detach().aminmax();  // NaN when one value is
  if (least.item<double>() >= low && most.item<double>() <= high) return;
  const at::Tensor wrong = ((values >= low) & (values <= high)).logical_not();
  const std::string expected = low == std::numeric_limits<double>::lowest()
                                   ? std::string("finite numbers")
                                   : "from " + shortest(low) + " to " + shortest(high);
  refuse_value(loss, name, values, wrong, expected, "look for the sample in the data");
}

void require_binary(const char* loss, const char* name, const at::Tensor& values) {
  if (!values.is_cpu()) return;
  const at::Tensor wrong = (values != 0) & (values != 1);
  if (wrong.any().item<bool>()) refuse_value(loss, name, values, wrong, "0 or 1", "threshold the masks of the data");
}

void require_finite(const char* loss, const char* name, const at::Tensor& values) {
  require_range(loss, name, values, std::numeric_limits<double>::lowest(), std::numeric_limits<double>::max());
}

void require_option(bool ok, const std::string& option, double got, const char* expected) {
  if (ok) return;
  throw Error(
      {.what = "an option of a loss is out of range", .where = option, .got = shortest(got), .expected = expected});
}

at::Tensor numbers_like(const std::vector<double>& numbers, const at::Tensor& like) {
  const at::Tensor made = at::empty({static_cast<int64_t>(numbers.size())}, at::kDouble);
  std::copy(numbers.begin(), numbers.end(), made.mutable_data_ptr<double>());
  return made.to(like.device(), like.scalar_type());
}

at::Tensor mean_where(const at::Tensor& elements, const at::Tensor& counts) {
  return elements.where(counts, 0).sum() / counts.sum();
}

at::Tensor power(const at::Tensor& x, double exponent) {
  return exponent == 1 ? x : x.clamp_min(std::numeric_limits<float>::min()).pow(exponent);
}

std::string place_of(int64_t index, at::IntArrayRef shape) {
  std::vector<std::string> places(shape.size());
  for (size_t dim = shape.size(); dim-- > 0; index /= shape[dim]) places[dim] = std::to_string(index % shape[dim]);
  return "[" + join(places, ", ") + "]";
}

}  // namespace athanor::loss::detail
