// SPDX-License-Identifier: Apache-2.0
#include "athanor/core/parallel.hpp"

#include <ATen/EmptyTensor.h>
#include <ATen/Parallel.h>
#include <ATen/TensorIterator.h>
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <exception>
#include <mutex>

namespace athanor {
namespace {

class FirstError {
 public:
  void keep(int64_t piece, std::exception_ptr error) {
    const std::lock_guard lock(mutex_);
    if (error_ && piece_ < piece) return;
    piece_ = piece;
    error_ = std::move(error);
  }
  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  std::mutex mutex_;
  int64_t piece_ = 0;
  std::exception_ptr error_;
};

}  // namespace

void parallel_for(int64_t size, int64_t smallest_piece, c10::function_ref<void(int64_t begin, int64_t end)> work) {
  if (size <= 0) return;
  const int64_t most = size / std::max<int64_t>(1, smallest_piece);
  const int64_t pieces = most < 2 || at::in_parallel_region() ? 1 : std::min<int64_t>(most, at::get_num_threads());
  if (pieces < 2) return work(0, size);
  // LibTorch's iterator over a tensor shares its elements among the threads: one element stands for each piece.
  const at::Tensor one_each = at::detail::empty_cpu({pieces}, at::kByte);
  const auto* first = static_cast<const char*>(one_each.const_data_ptr());
  at::TensorIterator iterator = at::TensorIterator::borrowing_nullary_op(one_each);
  FirstError error;
  iterator.for_each(
      [&](char** data, const int64_t*, int64_t count, int64_t) {
        for (int64_t piece = *data - first, end = piece + count; piece < end; ++piece) {
          try {
            // The first `size % pieces` are longer by one.
            const auto begin_of = [&](int64_t i) { return size / pieces * i + std::min(i, size % pieces); };
            work(begin_of(piece), begin_of(piece + 1));
          } catch (...) {
            error.keep(piece, std::current_exception());
          }
        }
      },
      /*grain_size=*/1);
  error.rethrow();
}

}  // namespace athanor
