// SPDX-License-Identifier: Apache-2.0
// How a weights file and the tensors that it is loaded into may differ.
#pragma once

#include <string>
#include <vector>

namespace athanor {

/// What may differ between a file and the tensors it is loaded into.
struct LoadOptions {
  bool allow_missing = false;     ///< Tensors that the file lacks keep their values.
  bool allow_unexpected = false;  ///< Tensors that only the file has are left out.
};

/// A tensor that has the same name on both sides and does not fit.
struct WeightsMismatch {
  std::string name;
  std::string got;       ///< In the file, for example "F32 [128, 784]".
  std::string expected;  ///< In the destination, written likewise.
};

/// How a file and a destination differ.
struct WeightsReport {
  std::vector<std::string> missing;     ///< In the destination and not in the file, in the order of the destination.
  std::vector<std::string> unexpected;  ///< In the file and not in the destination, in the order of the file.
  std::vector<WeightsMismatch> mismatched;
};

}  // namespace athanor
