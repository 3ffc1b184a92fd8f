// SPDX-License-Identifier: Apache-2.0
// 32 bytes of float32 or float64 that are worked on at once, for the loops of optimizers on a CPU.
//
// Every operation rounds once, as LibTorch's operators do, and `multiply_add` stands where they fuse: so a loop that
// names the operations of a Python optimizer in their order gives Python's bits, wherever in a tensor a number lies.
// Square roots are exact; LibTorch's, from MKL, may be off by one unit in the last place.
//
// Functions that use packs carry ATHANOR_PACK. On x86-64 they may be called where `has_packs()` alone.
#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>

#include "athanor/core/processor.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#define ATHANOR_PACK [[gnu::target("avx2,fma"), gnu::always_inline]] inline
/// For the function that all others are drawn into. The compiler must not fuse what is written apart.
#define ATHANOR_PACK_ENTRY [[gnu::target("avx2,fma"), gnu::optimize("fp-contract=off")]]
#else
#define ATHANOR_PACK [[gnu::always_inline]] inline
#define ATHANOR_PACK_ENTRY [[gnu::optimize("fp-contract=off")]]
#endif

namespace athanor::optim::detail {

/// Whether the processor has the instructions.
inline bool has_packs() noexcept {
#if defined(__x86_64__)
  return has_avx2();
#else
  return true;
#endif
}

template <class T>
struct Pack {
  static constexpr int64_t size = 32 / sizeof(T);
  typedef T Vector __attribute__((vector_size(32)));
  typedef T Unaligned __attribute__((vector_size(32), aligned(alignof(T)), may_alias));

  Vector v;

  ATHANOR_PACK static Pack load(const T* from) { return {*reinterpret_cast<const Unaligned*>(from)}; }
  /// The first `count` of a pack; the others are 1, with which nothing goes wrong.
  ATHANOR_PACK static Pack load(const T* from, int64_t count) {
    Pack pack = all(1);
    for (int64_t i = 0; i < count; ++i) pack.v[i] = from[i];
    return pack;
  }
  ATHANOR_PACK static Pack all(T value) { return {value - Vector{}}; }
  ATHANOR_PACK void store(T* to) const { *reinterpret_cast<Unaligned*>(to) = v; }
  ATHANOR_PACK void store(T* to, int64_t count) const {
    for (int64_t i = 0; i < count; ++i) to[i] = v[i];
  }

  ATHANOR_PACK friend Pack operator+(Pack a, Pack b) { return {a.v + b.v}; }
  ATHANOR_PACK friend Pack operator-(Pack a, Pack b) { return {a.v - b.v}; }
  ATHANOR_PACK friend Pack operator*(Pack a, Pack b) { return {a.v * b.v}; }
  ATHANOR_PACK friend Pack operator/(Pack a, Pack b) { return {a.v / b.v}; }
  ATHANOR_PACK friend Pack operator+(Pack a, T b) { return {a.v + b}; }
  ATHANOR_PACK friend Pack operator*(Pack a, T b) { return {a.v * b}; }
  ATHANOR_PACK friend Pack operator/(Pack a, T b) { return {a.v / b}; }
  ATHANOR_PACK friend Pack operator/(T a, Pack b) { return {a / b.v}; }
  ATHANOR_PACK friend Pack operator-(Pack a) { return {-a.v}; }

  /// `yes` where a > b, else `no`.
  ATHANOR_PACK static Pack if_greater(Pack a, Pack b, Pack yes, Pack no) { return {a.v > b.v ? yes.v : no.v}; }
};

/// a * b + c, rounded once.
ATHANOR_PACK Pack<float> multiply_add(Pack<float> a, Pack<float> b, Pack<float> c) {
#if defined(__x86_64__)
  return {(Pack<float>::Vector)_mm256_fmadd_ps((__m256)a.v, (__m256)b.v, (__m256)c.v)};
#else
  for (int i = 0; i < Pack<float>::size; ++i) c.v[i] = std::fma(a.v[i], b.v[i], c.v[i]);
  return c;
#endif
}
ATHANOR_PACK Pack<double> multiply_add(Pack<double> a, Pack<double> b, Pack<double> c) {
#if defined(__x86_64__)
  return {(Pack<double>::Vector)_mm256_fmadd_pd((__m256d)a.v, (__m256d)b.v, (__m256d)c.v)};
#else
  for (int i = 0; i < Pack<double>::size; ++i) c.v[i] = std::fma(a.v[i], b.v[i], c.v[i]);
  return c;
#endif
}
template <class T>
ATHANOR_PACK Pack<T> multiply_add(std::type_identity_t<T> a, Pack<T> b, Pack<T> c) {
  return multiply_add(Pack<T>::all(a), b, c);
}

ATHANOR_PACK Pack<float> root(Pack<float> a) {
#if defined(__x86_64__)
  return {(Pack<float>::Vector)_mm256_sqrt_ps((__m256)a.v)};
#else
  for (int i = 0; i < Pack<float>::size; ++i) a.v[i] = std::sqrt(a.v[i]);
  return a;
#endif
}
ATHANOR_PACK Pack<double> root(Pack<double> a) {
#if defined(__x86_64__)
  return {(Pack<double>::Vector)_mm256_sqrt_pd((__m256d)a.v)};
#else
  for (int i = 0; i < Pack<double>::size; ++i) a.v[i] = std::sqrt(a.v[i]);
  return a;
#endif
}

/// NaN where one of them is.
template <class T>
ATHANOR_PACK Pack<T> maximum(Pack<T> a, Pack<T> b) {
  return {a.v > b.v ? a.v : (a.v == a.v ? b.v : a.v)};
}
template <class T>
ATHANOR_PACK Pack<T> magnitude(Pack<T> a) {
  return {(a.v < 0 ? -a.v : a.v) + T(0)};  // the sum makes -0 to 0
}
/// 1, -1, or 0, also for NaN.
template <class T>
ATHANOR_PACK Pack<T> sign(Pack<T> a) {
  const Pack<T> zero = Pack<T>::all(0), one = Pack<T>::all(1);
  return Pack<T>::if_greater(a, zero, one, Pack<T>::if_greater(zero, a, -one, zero));
}

/// `tensor.lerp(end, weight)` as LibTorch computes it.
template <class T>
ATHANOR_PACK Pack<T> lerp(Pack<T> start, Pack<T> end, std::type_identity_t<T> weight) {
  const bool small = weight < T(0.5) && weight > T(-0.5);
  return multiply_add(small ? weight : weight - 1, end - start, small ? start : end);
}
/// `tensor.addcmul(a, b, value)`
template <class T>
ATHANOR_PACK Pack<T> addcmul(Pack<T> tensor, Pack<T> a, Pack<T> b, std::type_identity_t<T> value) {
  return multiply_add(a * value, b, tensor);
}
/// `tensor.addcdiv(a, b, value)`
template <class T>
ATHANOR_PACK Pack<T> addcdiv(Pack<T> tensor, Pack<T> a, Pack<T> b, std::type_identity_t<T> value) {
  return tensor + a * value / b;
}

}  // namespace athanor::optim::detail
