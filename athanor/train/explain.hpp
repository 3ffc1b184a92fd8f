// SPDX-License-Identifier: Apache-2.0
// What LibTorch throws in a step, said in the terms of the user.
#pragma once

#include <exception>

#include "athanor/core/batch.hpp"
#include "athanor/train/step.hpp"

namespace athanor {

/// Throws the current exception again: an Error as it is, with the place of the step added where it names none; what
/// LibTorch threw as an Error with the stage, epoch, batch and samples, the shapes, LibTorch's sentence without its
/// stack trace, and advice for the usual causes. Call it in a catch block.
[[noreturn]] void explain_step_failure(const Batch& batch, const StepContext& context);

/// Whether the exception says that the memory of a device, or of the host, did not suffice.
[[nodiscard]] bool is_out_of_memory(const std::exception_ptr& exception) noexcept;

/// `epoch 3, batch 12, samples 384, 17, 2, …`
[[nodiscard]] std::string describe_place(const Batch& batch, const StepContext& context);

/// The class numbers of `target` against logits (N, C, …): throws Error that names the first sample with a label
/// outside of 0 … C-1. `indices` are the names of the samples; undefined: their rows. Does nothing when the target is
/// not of an integer dtype. Waits for the device.
void check_labels(const at::Tensor& target, int64_t classes, const at::Tensor& indices);

}  // namespace athanor
