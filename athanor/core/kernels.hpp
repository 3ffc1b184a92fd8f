// SPDX-License-Identifier: Apache-2.0
// Kernels that take the place of slower ones of LibTorch's while they are wanted, with the same results.
#pragma once

#include <cstdint>

namespace athanor {

/// While one of these lives, some of LibTorch's CPU kernels are replaced by faster ones, in the whole process:
///
/// - `max_pool2d` and `max_pool2d_with_indices` over 2 x 2 windows with stride 2, without padding or dilation, of
///   contiguous float32 planes. LibTorch's kernel mispredicts a branch for most windows, this one has none: about 15
///   times faster.
///
/// Results are equal bit for bit: values, indices, ties, infinities, signed zeros and NaN with their payload, memory
/// format, for any number of threads. Autograd is not touched. Whatever else the operator is called with, also wrongly,
/// goes to LibTorch's kernel.
///
/// Any number may live at once, made and destroyed by any threads; each costs a few nanoseconds. The first of a process
/// registers an override with LibTorch's dispatcher, which takes about 0.1 ms and prints nothing; LibTorch does not
/// guard that against a thread that is inside this very operator, so a program whose other threads pool on the CPU
/// makes its first one before they start. The override stays until this library is unloaded, and hands everything to
/// LibTorch's kernel while no FastKernels lives. LibTorch warns of overridden kernels once in a process; that one
/// warning is used up.
///
/// When another library has overridden the operator before the first, it is left alone. One that overrides it later
/// takes precedence.
class FastKernels {
 public:
  FastKernels();
  ~FastKernels();
  FastKernels(const FastKernels&) = delete;
  FastKernels& operator=(const FastKernels&) = delete;

  /// False when another library's override was left alone. The same for all of a process.
  [[nodiscard]] bool in_use() const noexcept;
  /// Calls of the operator that the faster kernel answered, in the life of the process.
  [[nodiscard]] static uint64_t calls() noexcept;
};

}  // namespace athanor
