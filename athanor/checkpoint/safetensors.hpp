// SPDX-License-Identifier: Apache-2.0
// Tensors to and from safetensors files, the format that the Python package `safetensors` reads and writes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "athanor/checkpoint/safetensors_index.hpp"
#include "athanor/checkpoint/weights_report.hpp"
#include "athanor/core/file.hpp"
#include "athanor/core/named_tensors.hpp"

namespace athanor {

namespace detail {
struct NamePlaces;
}

/// Writes tensors to a safetensors file, as a whole or not at all (`write_file_atomically`).
///
/// Tensors may have any strides and lie on any device; one that is not already contiguous on the CPU is copied there
/// while it is written, one tensor at a time. Tensors that share memory are each written in full. The order in the file
/// is that of the format (`arrange_safetensors`), not the one given.
///
/// Types: float64, float32, float16, bfloat16, float8_e4m3fn, float8_e5m2, complex64, bool and all integers. Throws
/// Error for another type, for a tensor that is undefined, sparse, quantized or without data, for a name that occurs
/// twice, and when the file can't be written.
void write_safetensors(const std::filesystem::path& path, std::span<const std::pair<std::string, at::Tensor>> tensors,
                       const SafetensorsMetadata& metadata = {});

/// A safetensors file opened for reading. The header is read and checked when it is opened, the data when it is
/// touched.
///
/// Copies of this object share the mapping. All functions may be called from several threads at once.
class SafetensorsFile {
 public:
  /// Opens and checks the file. Throws Error when it can't be read or is not a safetensors file (`parse_safetensors`).
  explicit SafetensorsFile(const std::filesystem::path& path);

  /// Where it was opened.
  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

  /// The tensors in the order of the header, with dtype, shape and place.
  [[nodiscard]] const std::vector<TensorEntry>& entries() const noexcept { return index_.entries; }

  /// The names in the order of the header.
  [[nodiscard]] std::vector<std::string> names() const;

  /// The strings that travel with the tensors; empty when there are none.
  [[nodiscard]] const SafetensorsMetadata& metadata() const noexcept { return index_.metadata; }

  [[nodiscard]] bool contains(std::string_view name) const;

  /// What the header says of one tensor. Throws Error, with the nearest names, when there is none of that name.
  [[nodiscard]] const TensorEntry& entry(std::string_view name) const;

  /// A CPU tensor of the type and shape in the header, without gradient. It is a view of the mapped file and keeps it
  /// open; nothing is copied (but for a file of another writer whose data is not aligned). Writing into the tensor
  /// is seen by all tensors of that name from this object, and never reaches the file. Throws Error when there is no
  /// tensor of that name, and when a bool is neither 0 nor 1.
  [[nodiscard]] at::Tensor tensor(std::string_view name) const;

  /// All tensors, in the order of the header, each as `tensor(name)` gives it.
  [[nodiscard]] NamedTensors tensors() const;

  /// The CRC-32 of the whole file, header and data; reads all of it. The format has none of its own.
  [[nodiscard]] std::uint32_t crc32() const;

  /// Throws Error unless the file has this CRC-32, as whoever wrote it has noted it.
  void verify(std::uint32_t expected) const;

  /// Tells the system that all data will be read soon, from front to end.
  void advise_sequential() const noexcept { mapping_->advise_sequential(); }

 private:
  std::filesystem::path path_;
  std::shared_ptr<MappedFile> mapping_;
  SafetensorsIndex index_;
  std::shared_ptr<const detail::NamePlaces> position_;
};

/// Compares names, types and shapes; copies nothing and never throws for a difference.
[[nodiscard]] WeightsReport compare_weights(const SafetensorsFile& file,
                                            std::span<const std::pair<std::string, at::Tensor>> destination);

/// Copies a file into existing tensors, in place and without a trace in autograd, so that addresses, strides, devices
/// and views stay. Names, types and shapes are compared first: either everything that is asked for fits and is copied,
/// or nothing is changed and an Error tells each difference (20 of them, and how many more). A type or shape that
/// differs is never allowed. Returns the differences that were allowed.
WeightsReport copy_into(const SafetensorsFile& file, std::span<const std::pair<std::string, at::Tensor>> destination,
                        const LoadOptions& options = {});

}  // namespace athanor
