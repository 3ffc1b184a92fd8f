// SPDX-License-Identifier: Apache-2.0
// Fashion-MNIST: 70,000 pictures of clothes in ten classes, from the four files it is distributed as.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>

namespace athanor {

/// All on the CPU, contiguous.
struct FashionMnist {
  at::Tensor train_images;  ///< (60000, 1, 28, 28) float32, from 0 (background) to 1.
  at::Tensor train_labels;  ///< (60000) int64, from 0 to 9.
  at::Tensor test_images;   ///< (10000, 1, 28, 28) float32.
  at::Tensor test_labels;   ///< (10000) int64.
};

/// The folder that the environment variable ATHANOR_FASHION_MNIST names, else /usr/share/datasets/fashion-mnist, where
/// the Debian package dataset-fashion-mnist puts the files.
[[nodiscard]] std::filesystem::path fashion_mnist_folder();

/// Reads train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, each
/// plain or with `.gz`, on two threads. Images and labels may be fewer than in the original; their numbers must agree.
/// Throws Error when the folder or a file is missing, a file is damaged, or the shapes are not those of this data.
[[nodiscard]] FashionMnist read_fashion_mnist(const std::filesystem::path& folder = fashion_mnist_folder());

}  // namespace athanor
