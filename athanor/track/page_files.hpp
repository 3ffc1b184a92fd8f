// SPDX-License-Identifier: Apache-2.0
// The files of the live page, which lie in the binary (scripts/embed_files.py writes their source).
#pragma once

#include <string_view>

namespace athanor::track {

/// The content of a file of the page, such as `page.html`; without uPlot at build time `uplot.js` and `uplot.css` are
/// empty. Empty for another name.
[[nodiscard]] std::string_view page_file(std::string_view name) noexcept;

}  // namespace athanor::track
