// SPDX-License-Identifier: Apache-2.0
// A loss that can't be called.
#include "athanor/nn/loss.hpp"

athanor::Loss loss = 3.0;
