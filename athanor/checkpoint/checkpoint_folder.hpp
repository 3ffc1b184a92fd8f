// SPDX-License-Identifier: Apache-2.0
// A state tree as a folder on disk: tensors as safetensors, the rest as JSON, a manifest with sizes and checksums.
//
//     000007-epoch-3-step-18/
//       manifest.json            facts for people and programs; size and CRC-32 of every file, and of itself
//       weights.safetensors      parameters and buffers under the names that Python gives them
//       optimizer.safetensors
//       state.safetensors        all other tensors
//       state.json               everything else, and where each tensor is
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "athanor/checkpoint/manifest.hpp"
#include "athanor/core/tree.hpp"

namespace athanor {

/// Which tensors of a state go to a file of their own.
struct TensorFile {
  std::string file;    ///< `weights` for `weights.safetensors`.
  std::string prefix;  ///< Of the paths of its tensors: `task.nets.`.
  bool strip = false;  ///< Whether the names in the file are without the prefix.
};

/// Writes `state` as the folder `path`, as a whole or not at all, flushed to the disk (write_folder_atomically).
/// Tensors whose path begins with no prefix go to `state.safetensors`; tensors that aren't contiguous are read back
/// with their strides. `facts` are numbers and texts for the manifest, readable without the state. With an empty state
/// only the files of `files` that get tensors, and the manifest, are written.
///
/// Checksums are CRC-32 as in zip, gzip and PNG (zlib): no new library, 2.8 GB/s, faster than disks, and
/// `python -c "import zlib"` checks it. Every damage of up to 32 bits in a row is found, any other with all but one in
/// 4e9.
///
/// Reads the tensors on the calling thread: they must not change meanwhile. Throws Error when the disk is full, can't
/// be written to or flushed, and for tensors that safetensors can't hold.
void write_checkpoint(const std::filesystem::path& path, const Tree& state, const Tree& facts,
                      const std::vector<TensorFile>& files);

/// Tensors only, as `weights.safetensors` with a manifest: a checkpoint that can be started from, not continued.
void write_weights_checkpoint(const std::filesystem::path& path, const Tree& weights, const Tree& facts);

struct SavedCheckpoint {
  Tree facts;
  Tree state;  ///< Empty for one with weights only.
};

/// Reads a checkpoint after all of it was verified: the manifest by its own checksum, each file by size and checksum.
/// Throws Error that names the file and what differs. Tensors are views of the mapped files, so the folder may be
/// removed meanwhile; nothing is written to it.
[[nodiscard]] SavedCheckpoint read_checkpoint(const std::filesystem::path& path);

/// The facts alone, from the verified manifest; the other files are not looked at.
[[nodiscard]] Tree read_checkpoint_facts(const std::filesystem::path& path);

/// The verified weights file of a checkpoint. Throws Error as `read_checkpoint`, and when it has none.
[[nodiscard]] std::filesystem::path verified_weights(const std::filesystem::path& path);

}  // namespace athanor
