// SPDX-License-Identifier: Apache-2.0
// The run on one page of HTML, to keep and to send around.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "athanor/train/events.hpp"
#include "athanor/train/step_times.hpp"

namespace athanor::track {

/// What a report shows besides the history.
struct ReportFacts {
  std::string title = "Training";
  std::string device = {};
  int threads = 0;  ///< 0: not known.
  uint64_t seed = 0;
  int64_t parameters = 0;
  double seconds = 0;
  std::string outcome = {};  ///< Why it ended, where the history doesn't say.
  std::vector<std::pair<std::string, std::string>> options{};
  std::vector<std::string> notes{};
  std::vector<std::pair<bool, std::string>> messages{};  ///< Warnings are true.
  std::optional<StepTimes> times = {};
  std::string verdict = {};
  std::string layers = {};  ///< A Markdown table.
};

/// One document that needs no other file and no network, light and dark: summary, curves with the best epoch marked
/// (SVG), a row of values an epoch, layers, where the time went, options, environment, messages. Text of the caller is
/// escaped. Histories of more than 2000 epochs show every n-th row, and the best and the last. From any thread.
[[nodiscard]] std::string report_html(const History& history, const ReportFacts& facts);

struct ReportOptions {
  /// Unset: `report.html` in the folder of the run; a run that has none is an Error then.
  std::optional<std::filesystem::path> path = {};
};

/// Writes the report when the run ends, in whatever way, atomically; `times.svg`, the breakdown of the time, beside it.
/// On the training thread, after the last step.
[[nodiscard]] std::shared_ptr<Listener> report(ReportOptions options = {});

/// Where the time of the steps went, as a picture: SVG.
[[nodiscard]] std::string times_svg(const StepTimes& times);

}  // namespace athanor::track
