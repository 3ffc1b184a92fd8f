// SPDX-License-Identifier: Apache-2.0
// The files of the live page, which lie in the binary (scripts/embed_files.py writes their source).
#pragma once

#include <string_view>

namespace athanor::track {

/// The content of `page.html`, `page.js`, `page.css`, `uplot.js` or `uplot.css`; without uPlot at build time the last
/// two are empty. Empty for another name.
[[nodiscard]] std::string_view page_file(std::string_view name) noexcept;

}  // namespace athanor::track
