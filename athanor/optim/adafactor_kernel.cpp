// SPDX-License-Identifier: Apache-2.0
#include "athanor/optim/adafactor_kernel.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "athanor/core/parallel.hpp"
#include "athanor/optim/pack.hpp"
#include "athanor/optim/sum_of_squares.hpp"

namespace athanor::optim::detail {
namespace {

/// Columns are summed over so many rows in their own precision, then in float64.
constexpr int64_t rows_in_block = 32;
constexpr int64_t numbers_worth_a_thread = 1 << 15;
/// Sums within a row go into float64 after so many, so that float32 does not lose digits in long rows.
constexpr int64_t packs_in_run = 64;

template <class T>
ATHANOR_PACK double sum_of(Pack<T> pack) {
  double sum = 0;
  for (int64_t i = 0; i < Pack<T>::size; ++i) sum += static_cast<double>(pack.v[i]);
  return sum;
}

/// Adds the squares of a row to `columns`; returns their sum.
template <class T>
ATHANOR_PACK_ENTRY double add_row_squares(const T* row, int64_t size, T* columns) {
  using P = Pack<T>;
  P sum = P::all(0);
  double total = 0;
  int64_t i = 0;
  for (int64_t in_run = 0; i + P::size <= size; i += P::size) {
    const P g = P::load(row + i);
    const P square = g * g;
    sum = sum + square;
    (P::load(columns + i) + square).store(columns + i);
    if (++in_run % packs_in_run != 0) continue;
    total += sum_of(sum);
    sum = P::all(0);
  }
  total += sum_of(sum);
  for (; i < size; ++i) {
    columns[i] += row[i] * row[i];
    total += static_cast<double>(row[i] * row[i]);
  }
  return total;
}

/// What a row of updates is made from: g * r * c[j], or g / sqrt(max(v * w[j], floor)) where the product may be small.
template <class T>
struct RowScale {
  bool plain;
  T r;         ///< 1 / sqrt of the row's part.
  const T* c;  ///< 1 / sqrt of the columns' parts.
  T v;
  const T* w;
  T floor;
};

template <class T>
ATHANOR_PACK Pack<T> updates_at(const RowScale<T>& s, const T* row, int64_t i) {
  using P = Pack<T>;
  const P g = P::load(row + i);
  if (s.plain) return g * s.r * P::load(s.c + i);
  const P variance = P::load(s.w + i) * s.v, floor = P::all(s.floor);
  return g / root(P::if_greater(floor, variance, floor, variance));
}

template <class T>
T update_at(const RowScale<T>& s, const T* row, int64_t i) {
  if (s.plain) return row[i] * s.r * s.c[i];
  const T variance = s.w[i] * s.v;
  return row[i] / std::sqrt(s.floor > variance ? s.floor : variance);
}

template <class T>
ATHANOR_PACK_ENTRY double update_squares(const RowScale<T>& s, const T* row, int64_t size) {
  using P = Pack<T>;
  P sum = P::all(0);
  double total = 0;
  int64_t i = 0;
  for (int64_t in_run = 0; i + P::size <= size; i += P::size) {
    const P u = updates_at(s, row, i);
    sum = multiply_add(u, u, sum);
    if (++in_run % packs_in_run != 0) continue;
    total += sum_of(sum);
    sum = P::all(0);
  }
  total += sum_of(sum);
  for (; i < size; ++i) {
    const auto u = static_cast<double>(update_at(s, row, i));
    total += u * u;
  }
  return total;
}

template <class T>
ATHANOR_PACK_ENTRY void add_updates(const RowScale<T>& s, const T* row, int64_t size, T* weights, T shrink, T step) {
  using P = Pack<T>;
  int64_t i = 0;
  for (; i + P::size <= size; i += P::size) {
    const P p = P::load(weights + i) * shrink;
    multiply_add(step, updates_at(s, row, i), p).store(weights + i);
  }
  for (; i < size; ++i) weights[i] = weights[i] * shrink + step * update_at(s, row, i);
}

/// `a + weight (b - a)`, the way round that is exact at both ends.
template <class T>
void move_towards(T& a, T b, T weight) {
  a = weight < T(0.5) ? a + weight * (b - a) : b - (b - a) * (1 - weight);
}

template <class T>
class Step {
 public:
  Step(const AdafactorShape& shape, const AdafactorTensors<T>& tensors, const AdafactorScalars& scalars)
      : shape_(shape), at_(tensors), scalars_(scalars), blocks_((shape.rows + rows_in_block - 1) / rows_in_block) {}

  void run() {
    const bool is_vector = at_.variance != nullptr;
    weight_squares_.assign(static_cast<size_t>(shape_.count * blocks_), 0);
    is_vector ? average_vector() : average_matrices();
    scales_.resize(static_cast<size_t>(shape_.count * shape_.rows));
    is_vector ? prepare_vector() : prepare_matrices();
    const auto numbers = static_cast<double>(shape_.count * shape_.rows * shape_.columns);
    const double root_numbers = std::sqrt(numbers);
    const double size = std::sqrt(total(weight_squares_)) / root_numbers;
    const double length = std::sqrt(squares_of_updates());
    const double alpha = std::max(scalars_.eps2, size) * scalars_.rho;
    const double step = -alpha / std::max(1.0, length / (root_numbers * scalars_.d)) * scalars_.direction;
    each_block([&](int64_t, int64_t first, int64_t last) {
      for (int64_t row = first; row < last; ++row) {
        add_updates(scales_[static_cast<size_t>(row)], gradient(row), shape_.columns, weights(row),
                    static_cast<T>(scalars_.shrink), static_cast<T>(step));
      }
    });
  }

 private:
  const T* gradient(int64_t row) const { return at_.gradient + row * shape_.columns; }
  T* weights(int64_t row) const { return at_.weights + row * shape_.columns; }

  static double total(const std::vector<double>& parts) {
    double sum = 0;
    for (const double part : parts) sum += part;
    return sum;
  }

  /// Blocks of rows of one matrix; rows are counted through all matrices.
  template <class Work>
  void each_block(const Work& work) const {
    const int64_t blocks = shape_.count * blocks_;
    const int64_t numbers = std::min(rows_in_block, shape_.rows) * shape_.columns;
    const auto run = [&](int64_t begin, int64_t end) {
      for (int64_t block = begin; block < end; ++block) {
        const int64_t first = block / blocks_ * shape_.rows + block % blocks_ * rows_in_block;
        work(block, first, std::min(first + rows_in_block, (block / blocks_ + 1) * shape_.rows));
      }
    };
    parallel_for(blocks, (numbers_worth_a_thread + numbers - 1) / numbers, run);
  }

  void measure_weights(int64_t block, int64_t first, int64_t last) {
    weight_squares_[static_cast<size_t>(block)] = sum_of_squares(weights(first), (last - first) * shape_.columns);
  }

  void average_matrices() {
    const auto weight = static_cast<T>(scalars_.one_minus_beta2);
    const auto columns = static_cast<size_t>(shape_.columns);
    std::vector<T> column_squares(static_cast<size_t>(shape_.count * blocks_) * columns);
    each_block([&](int64_t block, int64_t first, int64_t last) {
      measure_weights(block, first, last);
      T* into = column_squares.data() + static_cast<size_t>(block) * columns;
      for (int64_t row = first; row < last; ++row) {
        const double squares = add_row_squares(gradient(row), shape_.columns, into);
        move_towards(at_.row_var[row], static_cast<T>(squares / static_cast<double>(shape_.columns)), weight);
      }
    });
    std::vector<double> sums(columns);
    for (int64_t matrix = 0; matrix < shape_.count; ++matrix) {
      std::fill(sums.begin(), sums.end(), 0);
      for (int64_t block = matrix * blocks_; block < (matrix + 1) * blocks_; ++block) {
        const T* from = column_squares.data() + static_cast<size_t>(block) * columns;
        for (size_t j = 0; j < columns; ++j) sums[j] += static_cast<double>(from[j]);
      }
      T* col_var = at_.col_var + matrix * shape_.columns;
      for (size_t j = 0; j < columns; ++j)
        move_towards(col_var[j], static_cast<T>(sums[j] / static_cast<double>(shape_.rows)), weight);
    }
  }

  void prepare_matrices() {
    const auto floor = static_cast<T>(scalars_.eps1 * scalars_.eps1);
    column_roots_.resize(static_cast<size_t>(shape_.count * shape_.columns));
    for (int64_t matrix = 0; matrix < shape_.count; ++matrix) {
      const T* col_var = at_.col_var + matrix * shape_.columns;
      const T* row_var = at_.row_var + matrix * shape_.rows;
      T* roots = column_roots_.data() + matrix * shape_.columns;
      for (int64_t j = 0; j < shape_.columns; ++j) roots[j] = 1 / std::sqrt(col_var[j]);
      double sum = 0;
      for (int64_t i = 0; i < shape_.rows; ++i) sum += static_cast<double>(row_var[i]);
      const auto mean = static_cast<T>(std::max(sum / static_cast<double>(shape_.rows), scalars_.eps1));
      const T least = *std::min_element(col_var, col_var + shape_.columns);
      for (int64_t i = 0; i < shape_.rows; ++i) {
        const T variance = row_var[i] / mean;
        scales_[static_cast<size_t>(matrix * shape_.rows + i)] = {.plain = least * row_var[i] / mean > floor,
                                                                  .r = 1 / std::sqrt(variance),
                                                                  .c = roots,
                                                                  .v = variance,
                                                                  .w = col_var,
                                                                  .floor = floor};
      }
    }
  }

  void average_vector() {
    measure_weights(0, 0, 1);
    const auto weight = static_cast<T>(scalars_.one_minus_beta2);
    for (int64_t j = 0; j < shape_.columns; ++j)
      move_towards(at_.variance[j], at_.gradient[j] * at_.gradient[j], weight);
  }

  void prepare_vector() {
    scales_[0] = {.plain = false,
                  .r = 1,
                  .c = nullptr,
                  .v = 1,
                  .w = at_.variance,
                  .floor = static_cast<T>(scalars_.eps1 * scalars_.eps1)};
  }

  double squares_of_updates() const {
    std::vector<double> parts(static_cast<size_t>(shape_.count * blocks_));
    each_block([&](int64_t block, int64_t first, int64_t last) {
      for (int64_t row = first; row < last; ++row) {
        parts[static_cast<size_t>(block)] +=
            update_squares(scales_[static_cast<size_t>(row)], gradient(row), shape_.columns);
      }
    });
    return total(parts);
  }

  AdafactorShape shape_;
  AdafactorTensors<T> at_;
  AdafactorScalars scalars_;
  int64_t blocks_;
  std::vector<double> weight_squares_;
  std::vector<T> column_roots_;
  std::vector<RowScale<T>> scales_;
};

}  // namespace

void adafactor_step(const AdafactorShape& shape, const AdafactorTensors<float>& tensors,
                    const AdafactorScalars& scalars) {
  Step<float>(shape, tensors, scalars).run();
}

void adafactor_step(const AdafactorShape& shape, const AdafactorTensors<double>& tensors,
                    const AdafactorScalars& scalars) {
  Step<double>(shape, tensors, scalars).run();
}

}  // namespace athanor::optim::detail
