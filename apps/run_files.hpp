// SPDX-License-Identifier: Apache-2.0
// What the files of a run folder say of the run, whether it has ended, still runs or was killed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "apps/json_file.hpp"

namespace athanor::command {

/// One value of a run over all its epochs, such as `val_acc`.
struct RunValue {
  enum class Better { unknown, up, down };
  std::string name = {};
  Better better = Better::unknown;
  std::optional<double> best = {};  ///< Of the finite ones; unset where it is not known which way is better.
  double best_epoch = 0;
  std::optional<double> last = {};  ///< Of the last epoch that has one.

  /// The best one where it is known, else the last.
  [[nodiscard]] std::optional<double> shown() const { return best ? best : last; }
};

struct RunFiles {
  std::filesystem::path folder = {};
  std::string name = {};    ///< The folder, as seen from where was searched.
  std::string begun = {};   ///< `2026-11-21 23:21:42`, of the first start, UTC; empty when it is not known.
  std::string status = {};  ///< `running`, `finished`, `broken` by an exception, `killed`; empty when it is not known.
  std::string stop_reason = {};
  double epochs = 0;
  double seconds = 0;  ///< In epochs.
  std::size_t starts = 0;
  std::vector<RunValue> values = {};
  Json options = {};
  Json start = {};             ///< What run.json says of the last start; null when there is none.
  std::string complaint = {};  ///< What is wrong with its files, in one line.

  [[nodiscard]] const RunValue* find(std::string_view value) const noexcept;
};

/// Whether a folder has files of a run.
[[nodiscard]] bool is_run(const std::filesystem::path& folder);

/// The runs in a folder, itself included, at most four levels deep and not within a run, sorted by path.
[[nodiscard]] std::vector<std::filesystem::path> find_runs(const std::filesystem::path& folder);

/// Never throws for what a file holds: a damaged one is a `complaint`. Throws Error when the folder is no run.
[[nodiscard]] RunFiles read_run(const std::filesystem::path& folder);

}  // namespace athanor::command
