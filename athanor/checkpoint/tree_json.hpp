// SPDX-License-Identifier: Apache-2.0
// Trees as JSON and back, nothing rounded and nothing reordered.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "athanor/core/tree.hpp"

namespace athanor {

/// JSON over several lines. Dictionaries are objects in their order, lists arrays, empty is null. Integers have no
/// point and are exact; reals have a point or an exponent and as many digits as read back to the same bits. What JSON
/// lacks is an object with one name that begins with `$`:
///
///     {"$real": "7ff8000000000000"}     the bits of NaN or infinity
///     {"$bytes": "ff00"}                text that is not UTF-8
///     {"$tensor": …}                    whatever `name_tensor` makes of a tensor
///
/// A name of the tree that begins with `$` gets a second one before it. Throws Error for a name that is not UTF-8.
[[nodiscard]] std::string tree_to_json(const Tree& tree,
                                       const std::function<std::string(const at::Tensor&)>& name_tensor = {});

/// The tree that `tree_to_json` wrote. `find_tensor` gives the tensor of a name. Throws Error, with `where`, for what
/// is not JSON of that form, is nested deeper than 64 levels, or names a tensor where none is expected.
[[nodiscard]] Tree tree_from_json(std::string_view json, const std::string& where,
                                  const std::function<at::Tensor(const std::string&)>& find_tensor = {});

}  // namespace athanor
