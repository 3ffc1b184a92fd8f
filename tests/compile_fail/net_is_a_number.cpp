// SPDX-License-Identifier: Apache-2.0
// A net that is none.
#include "athanor/nn/net.hpp"

athanor::Net net = 42;
