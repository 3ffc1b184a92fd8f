// SPDX-License-Identifier: Apache-2.0
// The tensors among the arguments and results of an operator, as at::RecordFunction hands them out.
#pragma once

#include <ATen/core/ivalue.h>

namespace athanor {

/// Calls `function(tensor)` for each tensor in `value`, those in lists and tuples included.
template <class F>
void each_tensor(const c10::IValue& value, const F& function) {
  if (value.isTensor()) {
    function(value.toTensor());
  } else if (value.isList()) {
    for (const c10::IValue& item : value.toListRef()) each_tensor(item, function);
  } else if (value.isTuple()) {
    for (const c10::IValue& item : value.toTupleRef().elements()) each_tensor(item, function);
  }
}

}  // namespace athanor
