// SPDX-License-Identifier: Apache-2.0
// One line that says where a pass over the data stands, made to fit a width.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "athanor/train/events.hpp"

namespace athanor::terminal {

/// How lines for the terminal look.
struct LineStyle {
  int width = 80;       ///< Columns that the bar may take.
  int digits = 4;       ///< Decimals of values.
  bool colour = false;  ///< ANSI colours; without them there is not a single control sequence in the text.
  bool unicode = true;  ///< Block characters; else ASCII.
};

/// What a piece of a line is, and so how it is coloured.
enum class Tone { plain, faint, good, warning };
/// The text in the colour of its tone, where colours are on.
[[nodiscard]] std::string paint(std::string_view text, Tone tone, const LineStyle& style);

/// `epoch  3/20  ━━━━━━━━━╸            212/469   0:03 left  12.4 ms/step  loss 0.3124  acc 0.8891`
///
/// At most `style.width` columns. When that is narrow the bar gets shorter, then parts are left out in this order:
/// rate, all values but the first, time left, bar, the last value, count; the label is cut off at last. A pass whose
/// length is not known (0 batches) has no bar and no time left.
[[nodiscard]] std::string draw_bar(const events::Progress& progress, const LineStyle& style);

/// How the whole run stands.
struct RunStatus {
  std::optional<double> seconds_left = {};  ///< Unset: not known.
  Values rates = {};                        ///< `lr` of each optimizer and group.
  std::optional<History::Best> best = {};   ///< So far; epoch 0: none yet.
};
/// `  run 1:52 left  lr 0.001  best val_acc 0.8523 at epoch 1`, at most `style.width` columns: what does not fit any
/// more is left out, from the end.
[[nodiscard]] std::string draw_status(const RunStatus& status, const LineStyle& style);

/// `epoch  3/20`, `val    3/20` (as wide, so that lines stay aligned), or `test` outside of `fit`.
[[nodiscard]] std::string pass_label(Stage stage, int64_t epoch, std::optional<int64_t> epochs);

/// The value with so many decimals; scientific when tiny or huge. Whole numbers above 1 are counts and have none.
[[nodiscard]] std::string value_text(double value, int digits);

/// `5.9 s`, `1:02`, `3:07:12`.
[[nodiscard]] std::string time_text(double seconds);

/// `12.4 ms`, `0.08 ms`, `1.25 s`: the time of one step.
[[nodiscard]] std::string step_time_text(double seconds);

}  // namespace athanor::terminal
