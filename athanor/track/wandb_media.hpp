// SPDX-License-Identifier: Apache-2.0
// What is not a number, as Weights & Biases keeps it: JSON in a row, and files below `files/media`.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "athanor/train/events.hpp"

namespace athanor::track {

/// A number as JSON with `NaN`, `Infinity` and `-Infinity`, as Python and W&B write them.
[[nodiscard]] std::string wandb_number(double value);

/// The value of a row, as JSON; empty for what W&B has no form for (embeddings, graphs). Pictures and tables are
/// written below `files`, and their paths there are added to `written`. Throws Error when that fails.
[[nodiscard]] std::string wandb_media(const events::Media& media, const std::filesystem::path& files,
                                      std::vector<std::string>& written);

}  // namespace athanor::track
