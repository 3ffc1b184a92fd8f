// SPDX-License-Identifier: Apache-2.0
// Where the offline sessions of a run of Weights & Biases stood at each checkpoint.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace athanor::track {

/// A place that a run may go on from.
struct WandbMark {
  int64_t step = 0;
  std::string session = {};                     ///< Name of its folder.
  std::string log = {};                         ///< Name of the log in it.
  uint64_t bytes = 0;                           ///< Of the log, all of them flushed.
  std::map<std::string, std::string> row = {};  ///< What is not in the log yet: values, as JSON,
  int64_t row_step = 0;                         ///< of this step.
};

/// The file `marks.jsonl` beside the sessions, a line for each mark. For one thread.
class WandbMarks {
 public:
  /// `folder`: where the sessions lie.
  explicit WandbMarks(std::filesystem::path folder) : folder_(std::move(folder)) {}

  /// For a run that begins anew.
  void clear();
  /// Throws Error when it can't be written.
  void add(const WandbMark& mark);
  /// Cuts off what sessions wrote behind the newest mark of this step, and returns that mark. Unset, and nothing is
  /// cut, when there is none. Lines that are no marks, torn by a kill, are left out. Throws Error when a log can't be
  /// cut.
  std::optional<WandbMark> go_back_to(int64_t step);

 private:
  [[nodiscard]] std::vector<WandbMark> read() const;

  std::filesystem::path folder_;
};

}  // namespace athanor::track
