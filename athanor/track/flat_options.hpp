// SPDX-License-Identifier: Apache-2.0
// The options of a run as services list them: one plain value to a name.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "athanor/train/events.hpp"

namespace athanor::track {

using NamedTexts = std::vector<std::pair<std::string, std::string>>;

/// The options that a run told, and `seed`, `device`, `parameters` where it knows them. A value that reads
/// `Adam(lr=0.001, betas=(0.9, 0.999))` is flattened: `optimizer` is `Adam`, `optimizer.lr` is `0.001`. Of a name that
/// comes twice the last value counts.
[[nodiscard]] NamedTexts flat_options(const events::RunBegin& run);

/// The text cut to so many bytes, never within a character, with `…` at its end when something is missing.
[[nodiscard]] std::string cut_text(const std::string& text, size_t bytes);

}  // namespace athanor::track
