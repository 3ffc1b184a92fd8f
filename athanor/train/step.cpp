// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/step.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include "athanor/core/error.hpp"
#include "athanor/train/step_record.hpp"
#include "athanor/train/update.hpp"

namespace athanor {
namespace {

Update& manual(Update* update, const char* call) {
  if (update != nullptr) return *update;
  throw Error({.what = "the optimizers are not the step's to use",
               .where = std::string("StepContext::") + call,
               .expected = "a training step of a task with manual optimization",
               .todo = "override manual_optimization() to return true, or hand back the loss and leave the rest to the "
                       "trainer"});
}

}  // namespace

StepOutput::StepOutput() = default;
StepOutput::StepOutput(at::Tensor loss, Tree predictions, Tree target)
    : loss(std::move(loss)), predictions(std::move(predictions)), target(std::move(target)) {}
StepOutput::StepOutput(const StepOutput& other) = default;
StepOutput::StepOutput(StepOutput&& other) noexcept = default;
StepOutput& StepOutput::operator=(const StepOutput& other) = default;
StepOutput& StepOutput::operator=(StepOutput&& other) noexcept = default;
StepOutput::~StepOutput() = default;

StepOutput StepOutput::of(std::vector<NamedLoss> losses, Tree predictions, Tree target) {
  StepOutput output(at::Tensor(), std::move(predictions), std::move(target));
  output.losses = std::move(losses);
  return output;
}

at::Tensor StepOutput::total() const {
  if (loss.defined() || losses.empty()) return loss;
  at::Tensor sum;
  for (const NamedLoss& part : losses) {
    if (part.weight == 0) continue;
    at::Tensor weighted = part.weight == 1 ? part.value : part.value * part.weight;
    sum = sum.defined() ? sum + weighted : weighted;
  }
  return sum;
}

void StepContext::log(std::string_view name, const at::Tensor& value, const LogOptions& options) {
  if (record_ != nullptr) record_->log(name, value.detach(), options);
}
void StepContext::log(std::string_view name, double value, const LogOptions& options) {
  if (record_ != nullptr) record_->log(name, value, options);
}
void StepContext::log(std::string_view name, Accumulator value, const LogOptions& options) {
  if (record_ != nullptr) record_->log(name, std::move(value), options);
}

void StepContext::keep(const Tree& value) {
  if (kept_ != nullptr) kept_->push_back(value.map([](const at::Tensor& tensor) { return tensor.detach(); }));
}

void StepContext::backward(const at::Tensor& loss, bool retain_graph) {
  manual(update_, "backward").manual_backward(loss, retain_graph);
}
void StepContext::optimizer_step(std::string_view optimizer) {
  manual(update_, "optimizer_step").manual_step(optimizer, *this);
}
void StepContext::zero_grad(std::string_view optimizer) { manual(update_, "zero_grad").manual_zero_grad(optimizer); }

void StepRecord::commit(Meter& meter, const StepOutput& output, const Batch& batch, std::string_view loss_name,
                        bool measured) const {
  at::NoGradGuard no_grad;
  if (const at::Tensor total = output.total(); total.defined()) meter.add_loss(loss_name, total, samples_);
  for (const NamedLoss& part : output.losses) meter.log(part.name, part.value, samples_);
  if (measured && !output.predictions.empty()) {
    meter.measure(output.predictions, output.target.empty() ? batch.target : output.target, batch.samples);
  }
  for (const auto& [name, value] : output.scores) meter.log(name, value, samples_);
  for (const auto& [name, value] : output.accumulators) meter.log(name, value);
  for (const Log& log : logs_) {
    if (const auto* tensor = std::get_if<at::Tensor>(&log.value)) {
      meter.log(log.name, *tensor, samples_, log.options);
    } else if (const auto* number = std::get_if<double>(&log.value)) {
      meter.log(log.name, *number, samples_, log.options);
    } else {
      meter.log(log.name, std::get<Accumulator>(log.value), log.options);
    }
  }
}

}  // namespace athanor
