// SPDX-License-Identifier: Apache-2.0
// Kernels that take the place of slower ones of LibTorch's while they are wanted, with the same results.
#pragma once

namespace athanor {

/// While one of these lives, some of LibTorch's CPU kernels are replaced by faster ones, in the whole process:
///
/// - max pooling over 2 x 2 windows with stride 2 (`max_pool2d`, `max_pool2d_with_indices`) of contiguous float32
/// planes
///   without padding or dilation: LibTorch's kernel mispredicts a branch for most windows, this one has none.
///
/// Results are equal bit for bit: values, indices, ties, infinities, signed zeros and NaN with their payload, for any
/// number of threads. Whatever else the operator is called with goes to LibTorch's kernel; checks, errors, the outputs'
/// memory and autograd are LibTorch's own in every case.
///
/// What is replaced is the pointer to the kernel that LibTorch chose for this processor, beneath the dispatcher:
/// nothing is registered, nothing is printed, and an operator that another library has overridden stays overridden.
///
/// Any number may live at once, made and destroyed by any threads while others run operators; the last one puts
/// LibTorch's kernels back. Making the first of a process runs the operator on four values; after that it is an
/// exchange of one pointer, below a microsecond.
class FastKernels {
 public:
  FastKernels();
  ~FastKernels();
  FastKernels(const FastKernels&) = delete;
  FastKernels& operator=(const FastKernels&) = delete;
};

}  // namespace athanor
