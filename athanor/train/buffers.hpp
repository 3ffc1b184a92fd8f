// SPDX-License-Identifier: Apache-2.0
// Buffers, such as the running means of BatchNorm, kept over an update that may have to be undone.
#pragma once

#include <vector>

#include "athanor/train/nets.hpp"

namespace athanor {

/// A step whose loss is not finite changes no parameter, but its forward pass has gone through BatchNorm. This puts the
/// buffers back.
class Buffers {
 public:
  Buffers() = default;
  explicit Buffers(const Nets& nets);
  /// Copies them; a few microseconds for each layer that has some, on its device.
  void keep();
  /// Puts the copies back.
  void restore();
  /// The same where `condition`, a scalar on the device, is not zero. Does not wait.
  void restore_where(const at::Tensor& condition);

 private:
  std::vector<at::Tensor> buffers_;
  std::vector<at::Tensor> copies_;
};

}  // namespace athanor
