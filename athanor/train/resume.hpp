// SPDX-License-Identifier: Apache-2.0
// Where a run goes on from.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace athanor {

/// A value for TrainerOptions::resume. A run that goes on from a checkpoint is, bit for bit, the run that was never
/// interrupted, with the same options, thread count, kind of processor and LibTorch; what differs is said in a message.
/// Changed on purpose may be: the length of the run, learning rates and other settings of optimizers, schedules, batch
/// size and seed (at the end of an epoch). Another net, optimizer or data set is refused, and then nothing has changed.
class Resume {
 public:
  enum class Kind { never, automatic, last, best, epoch, place };

  /// `fit` begins at the beginning. The default, as in Keras and Lightning.
  Resume() = default;
  [[nodiscard]] static Resume never() { return {}; }
  /// From the newest checkpoint in the folder of the run; at the beginning when it has none. A damaged one is named
  /// and the one before it taken; Error when all are damaged. When the run had reached its end, `fit` returns at once.
  /// For programs with one call of `fit` for each run folder.
  [[nodiscard]] static Resume automatic() { return Resume(Kind::automatic); }
  /// As automatic, and Error when there is no checkpoint.
  [[nodiscard]] static Resume last() { return Resume(Kind::last); }
  /// From the checkpoint with the best monitored value in the folder of the run.
  [[nodiscard]] static Resume best() { return Resume(Kind::best); }
  /// From the newest checkpoint in the folder of the run at which exactly `epoch` epochs were done.
  [[nodiscard]] static Resume from_epoch(int64_t epoch) { return {Kind::epoch, epoch, {}}; }
  /// From a checkpoint, or the newest in a run folder. When it is not in the folder of this run, that one is left as it
  /// is and this run has a folder of its own.
  [[nodiscard]] static Resume from(std::filesystem::path place) { return {Kind::place, 0, std::move(place)}; }

  [[nodiscard]] Kind kind() const noexcept { return kind_; }
  [[nodiscard]] int64_t epoch() const noexcept { return epoch_; }
  [[nodiscard]] const std::filesystem::path& place() const noexcept { return place_; }

  /// `never`, `auto`, `last`, `best`, `epoch 3`, or a path; `parse` reads the same. Throws Error for an empty text.
  [[nodiscard]] std::string describe() const;
  [[nodiscard]] static Resume parse(std::string_view text);

 private:
  explicit Resume(Kind kind) : kind_(kind) {}
  Resume(Kind kind, int64_t epoch, std::filesystem::path place)
      : kind_(kind), epoch_(epoch), place_(std::move(place)) {}

  Kind kind_ = Kind::never;
  int64_t epoch_ = 0;
  std::filesystem::path place_;
};

}  // namespace athanor
