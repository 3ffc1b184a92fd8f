// SPDX-License-Identifier: Apache-2.0
// The passes of Adafactor over the memory of one parameter; plain pointers.
#pragma once

#include <cstdint>

namespace athanor::optim::detail {

/// `count` matrices of `rows` x `columns`, one after the other. A vector is one row that has a variance of its own for
/// each number.
struct AdafactorShape {
  int64_t count;
  int64_t rows;
  int64_t columns;
};

template <class T>
struct AdafactorTensors {
  T* weights;
  const T* gradient;
  T* row_var;   ///< count x rows; null for a vector.
  T* col_var;   ///< count x columns; null for a vector.
  T* variance;  ///< columns; null for matrices.
};

struct AdafactorScalars {
  double one_minus_beta2;  ///< How much of the new squares the averages take.
  double eps1;
  double eps2;
  double rho;     ///< min(lr, 1 / sqrt(step))
  double shrink;  ///< Multiplies the weights.
  double d;
  double direction;  ///< -1 to maximize.
};

/// One step. Shares the rows out over LibTorch's threads; sums do not depend on how many there are.
void adafactor_step(const AdafactorShape& shape, const AdafactorTensors<float>& tensors,
                    const AdafactorScalars& scalars);
void adafactor_step(const AdafactorShape& shape, const AdafactorTensors<double>& tensors,
                    const AdafactorScalars& scalars);

}  // namespace athanor::optim::detail
