// SPDX-License-Identifier: Apache-2.0
#include "athanor/nn/net.hpp"

#include "athanor/core/error.hpp"

namespace athanor {

void detail::refuse_input(const Tree& input, const char* accepted) {
  throw Error(
      {.what = "the net's forward() does not take such an input",
       .got = input.describe(),
       .expected = accepted,
       .todo = "give the batch as many input tensors as forward() takes, or write forward(const athanor::Tree&)"});
}

}  // namespace athanor
