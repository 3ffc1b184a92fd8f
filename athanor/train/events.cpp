// SPDX-License-Identifier: Apache-2.0
// The names of the stages.
#include "athanor/train/events.hpp"

namespace athanor {

const char* stage_name(Stage stage) noexcept {
  switch (stage) {
    case Stage::train:
      return "train";
    case Stage::validation:
      return "val";
    case Stage::test:
      return "test";
    case Stage::predict:
      return "predict";
  }
  return "unknown";
}

}  // namespace athanor
