// SPDX-License-Identifier: Apache-2.0
#include "athanor/optim/lbfgs_history.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/dot.h>
#include <ATen/ops/empty_like.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "athanor/core/parallel.hpp"
#include "athanor/optim/pack.hpp"

namespace athanor::optim::detail {
namespace {

/// So many numbers of a few vectors stay in the nearest cache. Sums are taken block by block and do not depend on the
/// number of threads.
constexpr int64_t block = 2048;

bool has_vector_kernel(const at::Tensor& vector) {
  return vector.is_cpu() && has_packs() && (vector.scalar_type() == at::kFloat || vector.scalar_type() == at::kDouble);
}

template <class T>
const T* read(const at::Tensor& vector) {
  return static_cast<const T*>(vector.const_data_ptr());
}
template <class T>
T* write(const at::Tensor& vector) {
  return static_cast<T*>(vector.mutable_data_ptr());
}

template <class Work>
auto with_type(const at::Tensor& vector, const Work& work) {
  return vector.scalar_type() == at::kFloat ? work(float{}) : work(double{});
}

template <class Work>
void each_block(int64_t size, const Work& work) {
  constexpr int64_t blocks_worth_a_thread = 8;
  const int64_t blocks = (size + block - 1) / block;
  parallel_for(blocks, blocks_worth_a_thread, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) work(i, i * block, std::min(size, (i + 1) * block));
  });
}

template <class T>
ATHANOR_PACK double add_up(Pack<T> a, Pack<T> b) {
  double sum = 0;
  for (int64_t i = 0; i < Pack<T>::size; ++i) sum += static_cast<double>(a.v[i]) + static_cast<double>(b.v[i]);
  return sum;
}

/// Both products of `v` with `a` and `b`.
template <class T>
ATHANOR_PACK_ENTRY std::array<double, 2> two_dots(const T* v, const T* a, const T* b, int64_t size) {
  using P = Pack<T>;
  P sum_a = P::all(0), sum_b = sum_a, more_a = sum_a, more_b = sum_a;
  int64_t i = 0;
  for (; i + 2 * P::size <= size; i += 2 * P::size) {
    const P first = P::load(v + i), second = P::load(v + i + P::size);
    sum_a = multiply_add(first, P::load(a + i), sum_a);
    sum_b = multiply_add(first, P::load(b + i), sum_b);
    more_a = multiply_add(second, P::load(a + i + P::size), more_a);
    more_b = multiply_add(second, P::load(b + i + P::size), more_b);
  }
  std::array<double, 2> sums{add_up(sum_a, more_a), add_up(sum_b, more_b)};
  for (; i < size; ++i) {
    sums[0] += static_cast<double>(v[i]) * static_cast<double>(a[i]);
    sums[1] += static_cast<double>(v[i]) * static_cast<double>(b[i]);
  }
  return sums;
}

template <class T>
ATHANOR_PACK_ENTRY void add_scaled(T* to, const T* from, T factor, int64_t size) {
  using P = Pack<T>;
  int64_t i = 0;
  for (; i + P::size <= size; i += P::size) {
    multiply_add(factor, P::load(from + i), P::load(to + i)).store(to + i);
  }
  for (; i < size; ++i) to[i] += factor * from[i];
}

template <class T>
ATHANOR_PACK_ENTRY VectorSizes block_sizes(const T* v, int64_t size) {
  using P = Pack<T>;
  P largest = P::all(0), sum = P::all(0);
  int64_t i = 0;
  for (; i + P::size <= size; i += P::size) {
    const P here = magnitude(P::load(v + i));
    largest = maximum(largest, here);
    sum = sum + here;
  }
  VectorSizes sizes{0, add_up(sum, P::all(0))};
  for (int64_t k = 0; k < P::size; ++k) {
    if (!(static_cast<double>(largest.v[k]) <= sizes.largest)) sizes.largest = static_cast<double>(largest.v[k]);
  }
  for (; i < size; ++i) {
    const double here = std::abs(static_cast<double>(v[i]));
    sizes.sum += here;
    if (!(here <= sizes.largest)) sizes.largest = here;
  }
  return sizes;
}

VectorSizes merged(const std::vector<VectorSizes>& parts) {
  VectorSizes all;
  for (const VectorSizes& part : parts) {
    all.sum += part.sum;
    if (!(part.largest <= all.largest) && !std::isnan(all.largest)) all.largest = part.largest;
  }
  return all;
}

size_t blocks_of(int64_t size) { return static_cast<size_t>((size + block - 1) / block); }

/// For each of the vectors its products with a and with b.
template <class T>
std::vector<std::array<double, 2>> products(const std::vector<const T*>& vectors, const T* a, const T* b,
                                            int64_t size) {
  std::vector<std::array<double, 2>> parts(blocks_of(size) * vectors.size());
  each_block(size, [&](int64_t i, int64_t begin, int64_t end) {
    for (size_t k = 0; k < vectors.size(); ++k) {
      parts[static_cast<size_t>(i) * vectors.size() + k] =
          two_dots(vectors[k] + begin, a + begin, b + begin, end - begin);
    }
  });
  std::vector<std::array<double, 2>> sums(vectors.size(), {0, 0});
  for (size_t i = 0; i < parts.size(); ++i) {
    sums[i % vectors.size()][0] += parts[i][0];
    sums[i % vectors.size()][1] += parts[i][1];
  }
  return sums;
}

}  // namespace

VectorSizes sizes_of(const at::Tensor& vector) {
  if (!has_vector_kernel(vector)) {
    const at::Tensor magnitudes = vector.abs();
    return {magnitudes.max().item<double>(), magnitudes.sum().item<double>()};
  }
  return with_type(vector, [&]<class T>(T) {
    std::vector<VectorSizes> parts(blocks_of(vector.numel()));
    each_block(vector.numel(), [&](int64_t i, int64_t begin, int64_t end) {
      parts[static_cast<size_t>(i)] = block_sizes(read<T>(vector) + begin, end - begin);
    });
    return merged(parts);
  });
}

void LBFGSHistory::add(const at::Tensor& gradient, const at::Tensor& before, const at::Tensor& d, double t,
                       size_t most) {
  constexpr double least_curvature = 1e-10;
  const at::Tensor y = gradient - before;
  const at::Tensor s = d * t;
  double ys = 0, yy = 0;
  if (has_vector_kernel(y)) {
    with_type(y, [&]<class T>(T) {
      const auto both = products<T>({read<T>(y)}, read<T>(s), read<T>(y), y.numel());
      ys = both[0][0];
      yy = both[0][1];
    });
  } else {
    ys = at::dot(y, s).item<double>();
    yy = at::dot(y, y).item<double>();
  }
  if (!(ys > least_curvature)) return;
  if (old_dirs.size() == most) {
    old_dirs.pop_front();
    old_stps.pop_front();
    ro.pop_front();
    if (!columns_.empty()) columns_.pop_front();
    for (Column& column : columns_) {
      column.steps.pop_front();
      column.dirs.pop_front();
    }
  }
  old_dirs.push_back(y);
  old_stps.push_back(s);
  ro.push_back(1 / ys);
  h_diag = ys / yy;
}

Direction LBFGSHistory::direction_by_operators(const at::Tensor& gradient) const {
  const size_t count = old_dirs.size();
  std::vector<at::Tensor> al(count);
  at::Tensor r = gradient.neg();
  for (size_t i = count; i-- > 0;) {
    al[i] = at::dot(old_stps[i], r) * ro[i];
    r.sub_(old_dirs[i] * al[i]);
  }
  r.mul_(h_diag);
  for (size_t i = 0; i < count; ++i) {
    const at::Tensor be = at::dot(old_dirs[i], r) * ro[i];
    r.add_(old_stps[i] * (al[i] - be));
  }
  return {r, at::dot(gradient, r).item<double>(), sizes_of(r).largest};
}

template <class T>
void LBFGSHistory::complete(int64_t size) {
  while (columns_.size() + 1 < old_dirs.size()) {
    const size_t pairs = columns_.size() + 1;
    std::vector<const T*> vectors;
    for (size_t i = 0; i < pairs; ++i) vectors.push_back(read<T>(old_stps[i]));
    for (size_t i = 0; i < pairs; ++i) vectors.push_back(read<T>(old_dirs[i]));
    const T* newest = vectors.back();
    const auto found = products<T>(vectors, newest, newest, size);
    Column& column = columns_.emplace_back();
    for (size_t i = 0; i < pairs; ++i) column.steps.push_back(found[i][1]);
    for (size_t i = 0; i < pairs; ++i) column.dirs.push_back(found[pairs + i][1]);
  }
}

/// The two loops of L-BFGS on inner products: the direction is a sum of the gradient and the vectors of the history,
/// whose factors follow from products that are all taken in one pass.
template <class T>
Direction LBFGSHistory::direction_by_products(const at::Tensor& gradient) {
  const size_t count = old_dirs.size();
  const int64_t size = gradient.numel();
  const T* g = read<T>(gradient);
  complete<T>(size);
  std::vector<const T*> vectors;
  for (const at::Tensor& step : old_stps) vectors.push_back(read<T>(step));
  for (const at::Tensor& change : old_dirs) vectors.push_back(read<T>(change));
  std::vector<std::array<double, 2>> found;
  if (count > 0) found = products<T>(vectors, g, vectors.back(), size);
  if (columns_.size() < count) {
    Column& column = columns_.emplace_back();
    for (size_t i = 0; i < count; ++i) column.steps.push_back(found[i][1]);
    for (size_t i = 0; i < count; ++i) column.dirs.push_back(found[count + i][1]);
  }

  std::vector<double> al(count), factors(2 * count);
  for (size_t i = count; i-- > 0;) {
    double product = -found[i][0];
    for (size_t j = i + 1; j < count; ++j) product -= al[j] * columns_[j].steps[i];
    al[i] = ro[i] * product;
    factors[count + i] = -h_diag * al[i];
  }
  for (size_t i = 0; i < count; ++i) {
    double product = -found[count + i][0];
    for (size_t j = 0; j < count; ++j) product -= al[j] * columns_[std::max(i, j)].dirs[std::min(i, j)];
    product *= h_diag;
    for (size_t j = 0; j < i; ++j) product += factors[j] * columns_[i].steps[j];
    factors[i] = al[i] - ro[i] * product;
  }

  Direction direction{at::empty_like(gradient), 0, 0};
  T* d = write<T>(direction.d);
  std::vector<double> slopes(blocks_of(size));
  std::vector<VectorSizes> sizes(blocks_of(size));
  each_block(size, [&](int64_t i, int64_t begin, int64_t end) {
    std::fill(d + begin, d + end, T(0));
    add_scaled(d + begin, g + begin, static_cast<T>(-h_diag), end - begin);
    for (size_t k = 0; k < vectors.size(); ++k)
      add_scaled(d + begin, vectors[k] + begin, static_cast<T>(factors[k]), end - begin);
    slopes[static_cast<size_t>(i)] = two_dots<T>(d + begin, g + begin, g + begin, end - begin)[0];
    sizes[static_cast<size_t>(i)] = block_sizes<T>(d + begin, end - begin);
  });
  for (const double slope : slopes) direction.slope += slope;
  direction.largest = merged(sizes).largest;
  return direction;
}

Direction LBFGSHistory::direction(const at::Tensor& gradient) {
  if (!has_vector_kernel(gradient)) return direction_by_operators(gradient);
  return with_type(gradient, [&]<class T>(T) { return direction_by_products<T>(gradient); });
}

}  // namespace athanor::optim::detail
