// SPDX-License-Identifier: Apache-2.0
// Weights in several safetensors files with an index beside them, as Hugging Face keeps large models.
//
//     athanor::copy_into(athanor::ShardedSafetensors("models/large"), athanor::named_tensors(net));
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "athanor/checkpoint/safetensors.hpp"

namespace athanor {

struct ShardOptions {
  /// No file is longer than this many bytes of tensors, unless a single tensor is. Hugging Face's default.
  std::uint64_t max_shard_bytes = 5'000'000'000;
  /// What the files are called: NAME.safetensors, or NAME-00001-of-00002.safetensors and NAME.safetensors.index.json.
  std::string name = "model";
  /// Travels in each file. Hugging Face's libraries ask for this `format`.
  SafetensorsMetadata metadata = {{"format", "pt"}};
};

/// Writes tensors into one or several safetensors files in `folder`, which exists, and the index that says which tensor
/// is where; without an index when one file is enough. Each file is filled in the order given. Types and errors are
/// those of `write_safetensors`; tensors that are not contiguous on the CPU are copied there one at a time.
///
/// Each file is written as a whole or not at all. An older index goes first and the new one comes last, so a folder
/// whose writing was interrupted has no index and is refused, never a mixture. Files of an older, longer set of the
/// same name are removed at the end.
///
/// Throws Error also for a shard size of 0 and for a name with a `/`.
void write_sharded_safetensors(const std::filesystem::path& folder,
                               std::span<const std::pair<std::string, at::Tensor>> tensors,
                               const ShardOptions& options = {});

/// Weights in several files, opened for reading: headers are read and checked, data when it is touched.
///
/// Copies share the mappings. All functions may be called from several threads at once.
class ShardedSafetensors {
 public:
  /// `path` is an index, or a folder with `NAME.safetensors.index.json` or, without one, `NAME.safetensors`.
  ///
  /// Throws Error when there is neither, for an index that is not one (`parse_sharded_index`) or names files outside
  /// its folder, for a file that is missing or no safetensors file, and when files and index do not have the same
  /// tensors.
  explicit ShardedSafetensors(const std::filesystem::path& path, std::string_view name = "model");

  /// The index, or the one file.
  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
  [[nodiscard]] const std::vector<SafetensorsFile>& files() const noexcept { return files_; }

  /// The names of all tensors, file by file.
  [[nodiscard]] std::vector<std::string> names() const;
  [[nodiscard]] bool contains(std::string_view name) const;
  /// The file that has this tensor. Throws Error when none has.
  [[nodiscard]] const SafetensorsFile& file_of(std::string_view name) const;
  /// A view of the mapped file, as `SafetensorsFile::tensor` gives it.
  [[nodiscard]] at::Tensor tensor(std::string_view name) const { return file_of(name).tensor(name); }

 private:
  std::filesystem::path path_;
  std::vector<SafetensorsFile> files_;
  std::shared_ptr<const detail::NamePlaces> file_of_name_;
};

/// As for one file: compares names, types and shapes; copies nothing and never throws for a difference.
[[nodiscard]] WeightsReport compare_weights(const ShardedSafetensors& files,
                                            std::span<const std::pair<std::string, at::Tensor>> destination);

/// As for one file. Everything is compared before anything is copied; then each file is mapped, copied tensor by tensor
/// and let go, so that beside the net at most one file is in memory, in pages that the system can take back.
WeightsReport copy_into(const ShardedSafetensors& files,
                        std::span<const std::pair<std::string, at::Tensor>> destination,
                        const LoadOptions& options = {});

}  // namespace athanor
