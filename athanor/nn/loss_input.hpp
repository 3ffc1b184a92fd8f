// SPDX-License-Identifier: Apache-2.0
// What losses check and prepare, for the sources of this room.
//
// Values lie in memory that can be looked at for free on the CPU only; on other devices a look would wait for the
// device, so there the checks of values are left out, and shapes and dtypes are checked everywhere.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <string>
#include <vector>

namespace athanor::loss::detail {

/// While it lives, autocast changes no dtype: a loss is computed in float32 at least.
class FullPrecision {
  c10::impl::ExcludeDispatchKeyGuard guard_{c10::autocast_dispatch_keyset};
};

/// Predictions in the dtype that a loss is computed in: float32 for half precision, else their own. Throws Error when
/// they are not floating or hold nothing.
[[nodiscard]] at::Tensor in_full(const at::Tensor& predictions, const char* loss);

/// Throws Error unless the shapes are equal.
void require_same_shape(const char* loss, const at::Tensor& predictions, const at::Tensor& target);

/// Throws Error unless there are two channels to choose from: of one, softmax is always 1 and a loss always 0.
void require_choice(const char* loss, const at::Tensor& logits);

/// Class numbers in int64, for logits (N, C, …). Throws Error for shapes that do not belong together, a single
/// class, another than an integer dtype, and on the CPU for a number out of range that is not `ignore_index`.
[[nodiscard]] at::Tensor class_numbers(const char* loss, const at::Tensor& logits, const at::Tensor& target,
                                       int64_t ignore_index);

/// Throws Error when, on the CPU, a value is NaN or out of the range.
void require_range(const char* loss, const char* name, const at::Tensor& values, double low, double high);
/// Throws Error when, on the CPU, a value is neither 0 nor 1.
void require_binary(const char* loss, const char* name, const at::Tensor& values);
/// Throws Error when, on the CPU, a value is NaN or infinite.
void require_finite(const char* loss, const char* name, const at::Tensor& values);

/// Throws Error with the name and value of the option unless `ok`.
void require_option(bool ok, const std::string& option, double got, const char* expected);

/// Numbers as a tensor like another.
[[nodiscard]] at::Tensor numbers_like(const std::vector<double>& numbers, const at::Tensor& like);

/// The sum of the elements that count, by their number: NaN when there is none.
[[nodiscard]] at::Tensor mean_where(const at::Tensor& elements, const at::Tensor& counts);

/// x to the power of an exponent above 0, for x from 0 on, with a finite gradient at 0.
[[nodiscard]] at::Tensor power(const at::Tensor& x, double exponent);

/// The place of a flat index in a shape: `[3, 0]`.
[[nodiscard]] std::string place_of(int64_t index, at::IntArrayRef shape);

}  // namespace athanor::loss::detail
