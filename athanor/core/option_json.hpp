// SPDX-License-Identifier: Apache-2.0
// JSON in and out of option values. Internal: no other room includes it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "athanor/core/option_fields.hpp"

namespace athanor::detail {

/// Throws Error for what is not JSON, too deep, too long, or followed by something.
[[nodiscard]] OptionValue parse_option_json(std::string_view json, const std::string& where);

/// `text` in quotation marks; none when it is not UTF-8.
[[nodiscard]] std::optional<std::string> quote(const std::string& text);

/// Objects over several lines, lists in one. Throws Error for text that is not UTF-8.
[[nodiscard]] std::string write_option_json(const OptionValue& value, int indent = 0);

}  // namespace athanor::detail
