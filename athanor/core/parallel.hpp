// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/FunctionRef.h>

#include <cstdint>

namespace athanor {

/// Calls `work(begin, end)` for pieces of equal size that make up [0, size), at the same time in the threads of
/// LibTorch's operators, `at::get_num_threads()` of them; waits for all of them. No piece is shorter than
/// `smallest_piece` (less than 1 counts as 1), which should be a few microseconds of work: starting and waiting takes
/// two. Where that leaves one piece, and inside another parallel loop, this thread does it all.
///
/// `at::parallel_for` is a plain loop in code that is compiled without OpenMP, as that of Athanor and of its users
/// is; this one does not depend on how it is compiled.
///
/// `work` may use no operators, unless it takes over the state of this thread with `at::ThreadLocalStateGuard`. If it
/// throws, the other pieces are still done, and then the exception of the first piece that threw comes out: the one
/// that a plain loop would have met.
void parallel_for(int64_t size, int64_t smallest_piece, c10::function_ref<void(int64_t begin, int64_t end)> work);

}  // namespace athanor
