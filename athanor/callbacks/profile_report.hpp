// SPDX-License-Identifier: Apache-2.0
// What a profile found: spans of time, sums for each operator, a trace for Perfetto.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace athanor {

/// One stretch of time on one thread, or on a device. Spans of a thread are nested or apart.
struct ProfileSpan {
  enum class Kind {
    step,    ///< An update, `step 12`.
    phase,   ///< `data` before a step; `forward`, `backward`, `optimizer` in it.
    mark,    ///< What the program itself marked, by RECORD_USER_SCOPE.
    op,      ///< An operator of LibTorch, `aten::addmm`.
    node,    ///< A node of backward, `AddmmBackward0`, with the operators in it.
    device,  ///< A kernel or copy on an accelerator.
  };
  Kind kind = Kind::op;
  std::string name = {};
  std::string shapes = {};  ///< Of its input tensors, `(32, 784) (128, 784)`, where they were asked for.
  uint64_t thread = 0;      ///< LibTorch's number of the thread, or the stream of a device.
  int64_t begin_ns = 0;     ///< Since the profile began.
  int64_t end_ns = 0;
  int64_t sequence = -1;  ///< Autograd's number, the same in forward and backward; -1 where there is none.
};

/// All calls of one operator, node or kernel, and of one kind of input shapes where these were asked for.
struct OperatorTime {
  ProfileSpan::Kind kind = ProfileSpan::Kind::op;
  std::string name = {};
  std::string shapes = {};
  int64_t calls = 0;
  double self_seconds = 0;   ///< Without the operators that it called.
  double total_seconds = 0;  ///< With them; calls within a call of the same name are not counted twice.
};

/// The time of one kind of phase in all steps.
struct PhaseTime {
  std::string name = {};
  double seconds = 0;
  int64_t calls = 0;
};

/// A profile that is finished. Times are those of the host: on a GPU an operator takes as long as launching its
/// kernels, and the kernels are spans of their own.
class ProfileReport {
 public:
  ProfileReport() = default;
  explicit ProfileReport(std::vector<ProfileSpan> spans);

  /// In the order of their beginnings.
  [[nodiscard]] const std::vector<ProfileSpan>& spans() const noexcept { return spans_; }
  /// Operators and nodes, the one with most time of its own first. Their self times add up to the time of those that
  /// no other one called.
  [[nodiscard]] const std::vector<OperatorTime>& operators() const noexcept { return operators_; }
  /// Kernels, the one with most time first; empty without an accelerator.
  [[nodiscard]] const std::vector<OperatorTime>& kernels() const noexcept { return kernels_; }
  /// `data`, `forward`, `backward`, `optimizer`, and `rest`: what lies in steps and in none of these.
  [[nodiscard]] const std::vector<PhaseTime>& phases() const noexcept { return phases_; }
  [[nodiscard]] int64_t steps() const noexcept { return steps_; }
  /// Of steps and what they waited for data.
  [[nodiscard]] double seconds() const noexcept { return seconds_; }

  /// Phases and the `rows` dearest operators as a table of fixed width.
  [[nodiscard]] std::string text(size_t rows = 30) const;
  /// The same for events::Text.
  [[nodiscard]] std::string markdown(size_t rows = 30) const;
  /// Chrome's trace events, which https://ui.perfetto.dev and chrome://tracing open: a complete event for each span.
  [[nodiscard]] std::string trace_json() const;

 private:
  void add_up();
  void add_phases();

  std::vector<ProfileSpan> spans_;
  std::vector<OperatorTime> operators_;
  std::vector<OperatorTime> kernels_;
  std::vector<PhaseTime> phases_;
  int64_t steps_ = 0;
  double seconds_ = 0;
};

}  // namespace athanor
