// SPDX-License-Identifier: Apache-2.0
// A callback that nothing calls.
#include "athanor/train/callback.hpp"

struct Idle {};

athanor::Callback callback = Idle{};
