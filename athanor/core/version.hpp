// SPDX-License-Identifier: Apache-2.0
// The version of the library.
#pragma once

#include <string_view>

namespace athanor {

/// `0.1.0`, as CMakeLists.txt has it.
inline constexpr std::string_view version = "0.1.0";

}  // namespace athanor
