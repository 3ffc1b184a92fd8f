// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/evaluation.hpp"

#include "athanor/train/explain.hpp"
#include "athanor/train/update.hpp"

namespace athanor {

void record(Meter& meter, const StepOutput& output, const Batch& batch) {
  if (output.loss.defined()) meter.add_loss("loss", output.loss, static_cast<double>(batch.samples));
  if (output.predictions.empty()) return;
  meter.measure(output.predictions, output.target.empty() ? batch.target : output.target, batch.samples);
}

StepOutput Evaluation::step(const Batch& batch, StepContext& context, Meter& meter, const Step& step) {
  context.meter_ = &meter;
  context.samples_ = static_cast<double>(batch.samples);
  try {
    StepOutput output = step(batch, context);
    if (output.loss.defined()) check_loss(output.loss, /*trained=*/false);
    record(meter, output, batch);
    return output;
  } catch (...) {
    explain_step_failure(batch, context);
  }
}

}  // namespace athanor
