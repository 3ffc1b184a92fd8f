// SPDX-License-Identifier: Apache-2.0
#include "athanor/core/denormals.hpp"

#include <ATen/Parallel.h>
#include <ATen/TensorIterator.h>
#include <ATen/ops/empty.h>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace athanor {
namespace {

#if defined(__x86_64__)
constexpr uint64_t flush = 0x8040;  // results that are denormal, and operands (FTZ and DAZ of MXCSR)
uint64_t control() { return _mm_getcsr(); }
void set_control(uint64_t bits) { _mm_setcsr(static_cast<unsigned>(bits)); }
#elif defined(__aarch64__)
constexpr uint64_t flush = uint64_t{1} << 24;  // FZ of FPCR
uint64_t control() {
  uint64_t bits = 0;
  asm volatile("mrs %0, fpcr" : "=r"(bits));
  return bits;
}
void set_control(uint64_t bits) { asm volatile("msr fpcr, %0" : : "r"(bits)); }
#else
constexpr uint64_t flush = 0;
uint64_t control() { return 0; }
void set_control(uint64_t) {}
#endif

/// The control word belongs to a thread; one that is started later takes it over from the thread that starts it. The
/// threads of operators are LibTorch's own: its iterator runs a function in each of them, whatever we are compiled
/// with.
void set_everywhere(uint64_t bits) {
  const at::Tensor one_each = at::empty({at::get_num_threads()}, at::kByte);
  at::TensorIterator threads = at::TensorIterator::borrowing_nullary_op(one_each);
  threads.for_each([bits](char**, const int64_t*, int64_t, int64_t) { set_control((control() & ~flush) | bits); },
                   /*grain_size=*/1);
}

}  // namespace

FlushDenormals::FlushDenormals() : before_(control() & flush) {
  if (in_use()) set_everywhere(flush);
}

FlushDenormals::~FlushDenormals() {
  if (in_use()) set_everywhere(before_);
}

bool FlushDenormals::in_use() const noexcept { return before_ != flush; }

}  // namespace athanor
