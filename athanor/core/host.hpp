// SPDX-License-Identifier: Apache-2.0
// What training may change in the process that it runs in: all of it in one struct.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "athanor/core/owned.hpp"
#include "athanor/core/signals.hpp"

namespace athanor {

/// Manners in a host program. Level 1 (`Model::fit`) switches the first three on and says so in its header; a program
/// that embeds training passes `HostOptions::untouched()`.
struct HostOptions {
  /// glibc gives large blocks back to the system at every free, and each step faults their pages in again. This raises
  /// `M_MMAP_THRESHOLD`, `M_TRIM_THRESHOLD` and `M_TOP_PAD` for the whole process, once, and leaves them so: a
  /// hand-written loop becomes up to 1.5 x faster, results stay equal bit for bit, and freed memory stays with the
  /// process. No effect with another allocator than glibc's.
  bool keep_freed_memory = true;
  /// Faster kernels for some of LibTorch's CPU operators, in the whole process until the end of the call, with the same
  /// results bit for bit (FastKernels in kernels.hpp has the list).
  bool faster_kernels = true;
  /// Numbers below 1.2e-38 (float32) count as zero in the threads of training until the end of the call, as in
  /// TensorFlow: a step of a perceptron takes two thirds of the time once Adam's moments have decayed that far. Weights
  /// stay the same bits (FlushDenormals in denormals.hpp says why); moments change below that bound only.
  bool flush_denormals = true;
  /// Threads inside LibTorch's operators (`at::set_num_threads`), put back at the end of the call. Unset: as they are.
  std::optional<int> threads = {};
  /// Puts LibTorch's default CPU generator back at the end of the call; training itself reseeds it at every step.
  bool restore_generator = true;
  /// What SIGTERM and SIGINT do during `fit`: handlers are installed for the time of the call, where the host program
  /// has none of its own. A program that trains and nothing else takes Signals::exit; a host with handlers calls
  /// Trainer::interrupt from them.
  Signals signals = Signals::untouched;
  /// With `signals`: a further signal that does the same, such as the SIGUSR1 of Slurm's `--signal=USR1@120`.
  std::optional<int> further_signal = {};

  [[nodiscard]] static HostOptions untouched() {
    return {.keep_freed_memory = false, .faster_kernels = false, .flush_denormals = false};
  }
};

/// Applies the options for as long as it lives.
class HostGuard {
 public:
  /// Throws Error for fewer than one thread.
  explicit HostGuard(const HostOptions& options);
  ~HostGuard();
  HostGuard(const HostGuard&) = delete;
  HostGuard& operator=(const HostGuard&) = delete;

  /// What was changed, a sentence each, for the header of a run.
  [[nodiscard]] const std::vector<std::string>& notes() const noexcept { return notes_; }

 private:
  std::optional<int> threads_before_;
  Owned<class FlushDenormals> denormals_;
  Owned<class FastKernels> kernels_;
  Owned<class HostGeneratorGuard> generator_;
  std::vector<std::string> notes_;
};

}  // namespace athanor
