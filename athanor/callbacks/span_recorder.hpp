// SPDX-License-Identifier: Apache-2.0
// Records the operators of a thread, with its backward passes, and the phases that somebody opens and closes.
#pragma once

#include <c10/core/Device.h>

#include <string>
#include <vector>

#include "athanor/callbacks/profile_report.hpp"
#include "athanor/core/owned.hpp"

namespace athanor {

/// Where the spans come from.
enum class ProfileSource {
  automatic,  ///< `operators` on the CPU, `kineto` on an accelerator.
  operators,  ///< Our own observers of LibTorch's operators.
  kineto,     ///< LibTorch's profiler, which also sees the kernels of an accelerator.
};

/// While it lives, operators of the thread that made it are recorded, those of its backward passes on whatever thread.
/// One can live in a process at a time. It is made, used and destroyed on one thread.
class SpanRecorder {
 public:
  struct Options {
    ProfileSource source = ProfileSource::automatic;
    bool shapes = false;
    c10::Device device = c10::Device(c10::DeviceType::CPU);
  };
  /// Throws Error when another one lives, or another profiler is at work.
  explicit SpanRecorder(Options options);
  ~SpanRecorder();
  SpanRecorder(const SpanRecorder&) = delete;
  SpanRecorder& operator=(const SpanRecorder&) = delete;

  /// Opens a span within those that are open.
  void open(ProfileSpan::Kind kind, std::string name);
  /// Closes the one that was opened last; nothing when there is none.
  void close();
  [[nodiscard]] size_t depth() const noexcept;

  /// Closes what is open, waits for the device and ends the recording.
  [[nodiscard]] std::vector<ProfileSpan> finish();

  struct Implementation;

 private:
  Owned<Implementation> implementation_;
};

}  // namespace athanor
