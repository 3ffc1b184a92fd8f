// SPDX-License-Identifier: Apache-2.0
// A length without a unit.
#include "athanor/core/duration.hpp"

athanor::Duration length = 20;
