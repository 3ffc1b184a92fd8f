// SPDX-License-Identifier: Apache-2.0
#include "athanor/core/processor.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace athanor {
namespace {

#if defined(__x86_64__)
bool find_avx2() { return __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0; }

bool find_avx512() { return __builtin_cpu_supports("avx512f") != 0; }

bool find_bfloat16_tiles() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned saves_state = 1U << 27;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & saves_state) == 0) return false;
  constexpr unsigned tiles = 1U << 24, bfloat16 = 1U << 22;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & tiles) == 0 || (d & bfloat16) == 0) return false;
  // What the system saves of a program: the tiles and how they are configured.
  constexpr unsigned saved = 3U << 17;
  asm volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
  return (a & saved) == saved;
}
#else
bool find_avx2() { return false; }
bool find_avx512() { return false; }
bool find_bfloat16_tiles() { return false; }
#endif

}  // namespace

bool has_avx2() noexcept {
  static const bool has = find_avx2();
  return has;
}

bool has_avx512() noexcept {
  static const bool has = find_avx512();
  return has;
}

bool has_bfloat16_tiles() noexcept {
  static const bool has = find_bfloat16_tiles();
  return has;
}

}  // namespace athanor
