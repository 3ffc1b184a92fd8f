// SPDX-License-Identifier: Apache-2.0
#include "athanor/core/denormals.hpp"

#include <ATen/Parallel.h>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "athanor/core/parallel.hpp"

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
/// threads of operators are LibTorch's own; so many pieces as it has threads is one for each.
void set_everywhere(uint64_t bits) {
  parallel_for(at::get_num_threads(), 1, [bits](int64_t, int64_t) { set_control((control() & ~flush) | bits); });
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
