// SPDX-License-Identifier: Apache-2.0
// Where a name is found; not for use outside.
#pragma once

#include <cstddef>
#include <string>
#include <unordered_map>

namespace athanor::detail {

/// The place of each name: of a tensor among the entries of a file, of its file among several.
struct NamePlaces : std::unordered_map<std::string, std::size_t> {};

}  // namespace athanor::detail
