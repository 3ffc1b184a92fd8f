// SPDX-License-Identifier: Apache-2.0
// The files of Python's torch.save and torch.load.
//
//     athanor::Tree checkpoint = athanor::load_torch_file("checkpoint.pt");
//     athanor::copy_into(checkpoint["model"], athanor::named_tensors(net));
//     athanor::save_torch_file("weights.pt", {{"model", weights}, {"epoch", 3}});
#pragma once

#include <filesystem>

#include "athanor/core/tree.hpp"

namespace athanor {

struct LoadTorchOptions {
  /// Compares the checksum of every storage before anything is returned, which reads the whole file: some 0.3 s for a
  /// gigabyte in memory. Without it the data is read when it is touched, as by `torch.load(mmap=True)`, which checks
  /// none. The checksum of the values themselves is always compared.
  bool verify = true;
};

/// Reads what `torch.save` wrote: archives of today, of any pickle protocol from 2 to 5, and the format before 1.6.
///
/// | in Python | in the Tree |
/// |---|---|
/// | None | empty |
/// | bool, int, float, str | boolean, integer, real, text; an int from 2^63 to 2^64 - 1 is a text |
/// | list, tuple, set, frozenset, torch.Size | list |
/// | dict, OrderedDict, Counter | dictionary in the same order; whole numbers as keys become texts, "0" |
/// | Tensor, Parameter, Buffer | tensor on the CPU, wherever it was, with its strides and `requires_grad` |
/// | bytes, bytearray | tensor of uint8 |
/// | complex | complex128 tensor without dimensions |
/// | a storage | tensor of one dimension |
/// | numpy array, numpy scalar | tensor; integer, real or boolean, or a tensor without dimensions |
/// | torch.dtype, torch.device, torch.layout | text: "torch.float32", "cuda:0", "torch.strided" |
///
/// Attributes of dictionaries and tensors, such as the `_metadata` of a state dictionary, are left out. Tensors that
/// shared a storage share it again, and a tensor that was in two places is one. They view the mapped file and keep it
/// open; nothing is copied, but for a storage that does not lie at a multiple of 8 bytes (the older format). Writing
/// into them never reaches the file.
///
/// Nothing is executed: classes and functions other than those that the types above need are refused by name, as are
/// sparse, quantized and nested tensors and those without data (meta). Every size is checked before it is used. Throws
/// Error that names file and value, `model.0.weight`, for these, for a damaged file, for TorchScript archives, and for
/// a dictionary that has the same key twice.
[[nodiscard]] Tree load_torch_file(const std::filesystem::path& path, const LoadTorchOptions& options = {});

/// Writes a file that `torch.load(path, weights_only=True)` opens, as a whole or not at all (`write_file_atomically`),
/// laid out like those of torch.save. The same tree gives the same bytes.
///
/// Empty, boolean, integer, real, text, list and dictionary become None, bool, int, float, str, list and dict. One kind
/// of dictionary has whole numbers as keys: `state` beside `param_groups`, as optimizers of Python have it, when all
/// its names are whole numbers. Tensors keep strides, `requires_grad` and lazy conjugation; those that share a storage
/// share one in the file, of which the part that they reach is written. From another device than the CPU they are
/// copied, one storage at a time.
///
/// Throws Error that names the value for a tensor that is undefined, sparse, quantized or without data, for a text that
/// is not UTF-8, and when the file can't be written.
void save_torch_file(const std::filesystem::path& path, const Tree& tree);

}  // namespace athanor
