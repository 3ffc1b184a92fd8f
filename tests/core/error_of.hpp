// SPDX-License-Identifier: Apache-2.0
// The parts of the Error that a test expects.
#pragma once

#include <gtest/gtest.h>

#include "athanor/core/error.hpp"

namespace athanor {

/// Runs `action` and returns the parts of the Error that it throws; fails the test when it throws none.
template <class Action>
Error::Parts error_of(const Action& action) {
  try {
    static_cast<void>(action());
  } catch (const Error& error) {
    return error.parts();
  }
  ADD_FAILURE() << "no Error was thrown";
  return {};
}

}  // namespace athanor
