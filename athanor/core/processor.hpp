// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace athanor {

/// Whether the processor has AVX2 and FMA of x86-64: LibTorch's own condition for what it compiles for AVX2. False on
/// other processors.
[[nodiscard]] bool has_avx2() noexcept;

/// Whether the processor has the foundation of AVX-512 of x86-64. False on other processors.
[[nodiscard]] bool has_avx512() noexcept;

/// Whether the processor multiplies matrices of bfloat16 in tiles (AMX of x86-64), and the system lets programs use
/// them. Without, LibTorch's products of bfloat16 on an x86-64 processor take up to twice as long as those of float32,
/// also where it has other instructions for bfloat16 (AVX512-BF16). False on other processors.
[[nodiscard]] bool has_bfloat16_tiles() noexcept;

}  // namespace athanor
