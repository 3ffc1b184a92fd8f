// SPDX-License-Identifier: Apache-2.0
// Reads Fashion-MNIST on two threads, since unpacking takes most of the time.
#include "athanor/data/fashion_mnist.hpp"

#include <ATen/ops/empty.h>
#include <sys/mman.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <future>
#include <string>
#include <system_error>

#include "athanor/core/error.hpp"
#include "athanor/core/join_numbers.hpp"
#include "athanor/data/idx.hpp"

namespace athanor {
namespace {

namespace fs = std::filesystem;

constexpr int64_t side = 28;
constexpr int64_t classes = 10;
constexpr auto how_to_get =
    "apt-get install dataset-fashion-mnist, or let the environment variable ATHANOR_FASHION_MNIST name the folder that "
    "holds the files";

std::string shape_text(const at::Tensor& tensor) {
  return std::string(c10::toString(tensor.scalar_type())) + " " + join_numbers(tensor.sizes(), " x ");
}

void scale(const std::uint8_t* from, float* to, std::size_t count) {
  std::array<float, 256> scaled{};
  for (std::size_t value = 0; value < scaled.size(); ++value) scaled[value] = static_cast<float>(value) / 255.0F;
  for (std::size_t i = 0; i < count; ++i) to[i] = scaled[from[i]];
}

at::Tensor read_labels(const fs::path& path) {
  const at::Tensor bytes = read_idx(path);
  if (bytes.scalar_type() != at::kByte || bytes.dim() != 1) {
    throw Error({.what = "the labels of Fashion-MNIST have another shape than expected",
                 .where = path.string(),
                 .got = shape_text(bytes),
                 .expected = "Byte with one dimension"});
  }
  at::Tensor labels = at::empty(bytes.sizes(), at::TensorOptions().dtype(at::kLong));
  const auto* from = bytes.const_data_ptr<std::uint8_t>();
  auto* to = labels.mutable_data_ptr<int64_t>();
  for (int64_t row = 0; row < bytes.numel(); ++row) {
    if (from[row] >= classes) {
      throw Error({.what = "a label of Fashion-MNIST is out of range",
                   .where = path.string() + ", row " + std::to_string(row),
                   .got = std::to_string(from[row]),
                   .expected = "0 to 9"});
    }
    to[row] = from[row];
  }
  return labels;
}

at::Tensor read_image_bytes(const fs::path& path) {
  at::Tensor bytes = read_idx(path);
  if (bytes.scalar_type() != at::kByte || bytes.dim() != 3 || bytes.size(1) != side || bytes.size(2) != side) {
    throw Error({.what = "the images of Fashion-MNIST have another shape than expected",
                 .where = path.string(),
                 .got = shape_text(bytes),
                 .expected = "Byte N x 28 x 28"});
  }
  return bytes;
}

// Fresh memory is handed out by the system page by page at the first write, which takes as long as filling it. Done
// here, with large pages where the system has them, it runs while the other thread unpacks.
at::Tensor touched_images(int64_t count) {
  constexpr std::uintptr_t page = 4096;
  at::Tensor images = at::empty({count, 1, side, side}, at::TensorOptions().dtype(at::kFloat));
  const auto first = reinterpret_cast<std::uintptr_t>(images.mutable_data_ptr());
  const std::uintptr_t last = first + images.nbytes();
  const std::uintptr_t begin = (first + page - 1) / page * page;
  const std::uintptr_t end = last / page * page;
  if (begin >= end) return images;
  ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
  for (std::uintptr_t each = begin; each < end; each += page) *reinterpret_cast<volatile char*>(each) = 0;
  return images;
}

void require_same_length(const at::Tensor& images, const at::Tensor& labels, const fs::path& folder, const char* part) {
  if (images.size(0) == labels.size(0)) return;
  throw Error({.what = "Fashion-MNIST has another number of images than of labels",
               .where = folder.string() + ", " + part,
               .got = std::to_string(images.size(0)) + " images and " + std::to_string(labels.size(0)) + " labels",
               .todo = how_to_get});
}

void scale_into(at::Tensor& images, const at::Tensor& bytes) {
  const auto* from = bytes.const_data_ptr<std::uint8_t>();
  auto* to = images.mutable_data_ptr<float>();
  const auto count = static_cast<std::size_t>(bytes.numel());
  const std::size_t half = count / 2;
  auto second_half = std::async(std::launch::async, [=] { scale(from + half, to + half, count - half); });
  scale(from, to, half);
  second_half.get();
}

}  // namespace

fs::path fashion_mnist_folder() {
  const char* named = std::getenv("ATHANOR_FASHION_MNIST");
  return named != nullptr && *named != '\0' ? named : "/usr/share/datasets/fashion-mnist";
}

FashionMnist read_fashion_mnist(const fs::path& folder) {
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored)) {
    throw Error({.what = "Fashion-MNIST is not on this machine",
                 .where = folder.string(),
                 .got = "no such folder",
                 .todo = how_to_get});
  }
  for (const char* name :
       {"train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"}) {
    const std::string packed = std::string(name) + ".gz";
    if (fs::exists(folder / name, ignored) || fs::exists(folder / packed, ignored)) continue;
    throw Error({.what = "a file of Fashion-MNIST is missing",
                 .where = folder.string(),
                 .got = std::string("neither ") + name + " nor " + packed + " is there",
                 .todo = how_to_get});
  }
  auto train_bytes =
      std::async(std::launch::async, [&] { return read_image_bytes(folder / "train-images-idx3-ubyte"); });
  FashionMnist data;
  data.train_labels = read_labels(folder / "train-labels-idx1-ubyte");
  data.train_images = touched_images(data.train_labels.size(0));
  data.test_labels = read_labels(folder / "t10k-labels-idx1-ubyte");
  data.test_images = touched_images(data.test_labels.size(0));
  const at::Tensor test_bytes = read_image_bytes(folder / "t10k-images-idx3-ubyte");
  require_same_length(test_bytes, data.test_labels, folder, "test part");
  scale_into(data.test_images, test_bytes);
  const at::Tensor train = train_bytes.get();
  require_same_length(train, data.train_labels, folder, "training part");
  scale_into(data.train_images, train);
  return data;
}

}  // namespace athanor
