// SPDX-License-Identifier: Apache-2.0
// Several nets, one after the other.
//
//     athanor::Model model(athanor::chain({backbone, head}), {.loss = athanor::loss::cross_entropy});
#pragma once

#include <vector>

#include "athanor/nn/net.hpp"

namespace athanor {

/// A net whose forward passes its input through all of them. Parameters are called `0.…`, `1.…`, in the order of the
/// list; freeze a part by its own `requires_grad`, or give parts options of their own by patterns such as `0.*`. What
/// one net returns is the input of the next: a tensor, or a list of tensors for a forward that takes several. Throws
/// Error for an empty list.
[[nodiscard]] Net chain(std::vector<Net> nets);

}  // namespace athanor
