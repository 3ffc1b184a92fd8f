// SPDX-License-Identifier: Apache-2.0
// What the tests of the metrics share: tensors from vectors, random problems, and the text of an error.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "athanor/core/error.hpp"

namespace athanor::metrics::testing {

template <class T>
at::Tensor tensor(const std::vector<T>& values, std::vector<int64_t> shape = {}) {
  if (shape.empty()) shape = {static_cast<int64_t>(values.size())};
  at::Tensor made = at::empty(shape, c10::CppTypeToScalarType<T>::value);
  std::copy(values.begin(), values.end(), made.template mutable_data_ptr<T>());
  return made;
}

inline at::Tensor labels(const std::vector<int64_t>& values, std::vector<int64_t> shape = {}) {
  return tensor<int64_t>(values, std::move(shape));
}

inline at::Tensor floats(const std::vector<float>& values, std::vector<int64_t> shape = {}) {
  return tensor<float>(values, std::move(shape));
}

inline at::Tensor doubles(const std::vector<double>& values, std::vector<int64_t> shape = {}) {
  return tensor<double>(values, std::move(shape));
}

inline int64_t product(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return count;
}

/// Scores in steps of a quarter, so that ties are common.
inline at::Tensor random_scores(std::mt19937& random, const std::vector<int64_t>& shape) {
  std::vector<float> values(static_cast<size_t>(product(shape)));
  std::uniform_int_distribution<int> step(-8, 8);
  for (float& value : values) value = static_cast<float>(step(random)) / 4;
  return floats(values, shape);
}

inline at::Tensor random_labels(std::mt19937& random, const std::vector<int64_t>& shape, int64_t classes) {
  std::vector<int64_t> values(static_cast<size_t>(product(shape)));
  std::uniform_int_distribution<int64_t> label(0, classes - 1);
  for (int64_t& value : values) value = label(random);
  return labels(values, shape);
}

inline at::Tensor random_normal(std::mt19937& random, const std::vector<int64_t>& shape, double mean = 0) {
  std::vector<double> values(static_cast<size_t>(product(shape)));
  std::normal_distribution<double> normal(mean, 1);
  for (double& value : values) value = normal(random);
  return doubles(values, shape);
}

/// The message of the Error that `function` throws; empty when it throws none.
template <class F>
std::string message(F&& function) {
  try {
    function();
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

/// What changed hands, bit for bit.
inline bool equal_bits(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == b.scalar_type() && a.sizes() == b.sizes() && a.equal(b);
}

}  // namespace athanor::metrics::testing
