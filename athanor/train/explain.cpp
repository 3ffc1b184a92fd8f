// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/explain.hpp"

#include <c10/util/Exception.h>
#include <torch/types.h>

#include <algorithm>
#include <new>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"

namespace athanor {
namespace {

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

bool mentions(const std::string& text, std::initializer_list<const char*> phrases) {
  return std::any_of(phrases.begin(), phrases.end(),
                     [&](const char* phrase) { return text.find(phrase) != std::string::npos; });
}

std::string advice(const std::string& reason) {
  if (mentions(reason, {"is out of bounds", "Assertion `t >= 0"})) {
    return "class numbers run from 0 to the number of outputs of the net minus 1";
  }
  if (mentions(reason, {"expected m1 and m2 to have the same dtype", "should be the same", "expected scalar type",
                        "must have the same dtype", "to have the same dtype"})) {
    return "bring inputs and weights to one dtype, usually with input.to(torch::kFloat32)";
  }
  if (mentions(reason, {"mat1 and mat2 shapes cannot be multiplied"})) {
    return "the input of a Linear layer has another size than it was made for; a Flatten may be missing in front of it";
  }
  if (mentions(reason, {"Expected 3D", "Expected 4D", "expected input", "to have 1 channels", "channels"})) {
    return "bring images to (N, channels, height, width), for example with unsqueeze(1)";
  }
  if (mentions(reason, {"not implemented for 'Byte'", "not implemented for 'Long'", "not implemented for 'Int'"})) {
    return "integers reached an operator for floating-point numbers: convert the input with .to(torch::kFloat32)";
  }
  if (mentions(reason, {"more than 1 value per channel"})) {
    return "BatchNorm can't train on a batch of one sample: set drop_last, or another batch size";
  }
  return {};
}

}  // namespace

std::string describe_place(const Batch& batch, const StepContext& context) {
  std::string place = context.epoch() > 0 ? "epoch " + std::to_string(context.epoch()) + ", " : std::string();
  place += "batch " + std::to_string(context.batch() + 1);
  if (batch.indices.defined() && batch.indices.numel() > 0) {
    const auto* index = batch.indices.const_data_ptr<int64_t>();
    const int64_t count = batch.indices.numel();
    place += count == 1 ? ", sample " : ", samples ";
    constexpr int64_t shown = 6;
    for (int64_t i = 0; i < std::min(shown, count); ++i) place += (i > 0 ? ", " : "") + std::to_string(index[i]);
    if (count > shown) place += ", …";
  }
  return place;
}

void explain_step_failure(const Batch& batch, const StepContext& context) {
  const char* step = context.stage() == Stage::train ? "the training step failed" : "the validation step failed";
  try {
    throw;
  } catch (const Error& error) {
    if (!error.parts().where.empty()) throw;
    Error::Parts parts = error.parts();
    parts.where = describe_place(batch, context);
    throw Error(std::move(parts));
  } catch (const c10::Error& error) {
    const std::string reason = first_line(error.what_without_backtrace());
    throw Error({.what = step,
                 .where = describe_place(batch, context),
                 .got = reason + " (input " + batch.input.describe() + ", target " + batch.target.describe() + ")",
                 .todo = advice(reason)});
  }
}

bool is_out_of_memory(const std::exception_ptr& exception) noexcept {
  try {
    std::rethrow_exception(exception);
  } catch (const c10::OutOfMemoryError&) {
    return true;
  } catch (const std::bad_alloc&) {
    return true;
  } catch (const c10::Error& error) {
    return mentions(error.what_without_backtrace(), {"can't allocate memory", "not enough memory"});
  } catch (...) {
    return false;
  }
}

void check_labels(const at::Tensor& target, int64_t classes, const at::Tensor& indices) {
  if (!target.defined() || !at::isIntegralType(target.scalar_type(), /*includeBool=*/false) || target.numel() == 0) {
    return;
  }
  constexpr int64_t ignored = -100;  // the ignore_index of LibTorch's losses
  const at::Tensor wrong = ((target < 0) & (target != ignored)) | (target >= classes);
  if (!wrong.any().item<bool>()) return;
  const at::Tensor flat = wrong.flatten(std::min<int64_t>(1, wrong.dim() - 1));
  const int64_t row = (flat.dim() > 1 ? flat.any(1) : flat).to(at::kInt).argmax().item<int64_t>();
  const at::Tensor labels = target[row].masked_select(wrong[row]);
  const int64_t sample = indices.defined() ? indices[row].item<int64_t>() : row;
  throw Error({.what = "a label is out of range",
               .where = "target of sample " + std::to_string(sample),
               .got = std::to_string(labels[0].item<int64_t>()) + "; " + std::to_string(wrong.sum().item<int64_t>()) +
                      " labels in all are out of range",
               .expected = "class numbers from 0 to " + std::to_string(classes - 1) + ", for " +
                           std::to_string(classes) + " outputs of the net",
               .todo = "count classes from 0, or give the net as many outputs as there are classes"});
}

}  // namespace athanor
