// SPDX-License-Identifier: Apache-2.0
// From the bytes of a .pt file to tensors that view them. torch_file_writer is the way back.
#include "athanor/checkpoint/torch_file.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_neg_view.h>
#include <ATen/ops/conj.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

#include "athanor/checkpoint/torch_dtypes.hpp"
#include "athanor/core/error.hpp"
#include "athanor/core/file.hpp"
#include "athanor/core/parallel.hpp"

namespace athanor {
namespace {

// In the order of TorchType.
constexpr std::array<at::ScalarType, torch_types> scalar_types{
    at::kDouble,
    at::kFloat,
    at::kHalf,
    at::kBFloat16,
    at::kComplexDouble,
    at::kComplexFloat,
    at::kComplexHalf,
    at::kLong,
    at::kInt,
    at::kShort,
    at::kChar,
    at::kUInt64,
    at::kUInt32,
    at::kUInt16,
    at::kByte,
    at::kBool,
    at::kFloat8_e5m2,
    at::kFloat8_e4m3fn,
    at::kFloat8_e5m2fnuz,
    at::kFloat8_e4m3fnuz,
    at::kFloat8_e8m0fnu,
    at::kFloat4_e2m1fn_x2,
    at::kBits8,
    at::kBits16,
    at::kBits1x8,
    at::kBits2x4,
    at::kBits4x2,
};

class TorchFile {
 public:
  TorchFile(const std::filesystem::path& path, const LoadTorchOptions& options)
      : name_(path.string()), mapping_(std::make_shared<MappedFile>(path)), verify_(options.verify) {}

  Tree read() {
    const auto file = std::as_const(*mapping_).bytes();
    if (looks_like_zip(file)) {
      const ZipIndex archive = parse_zip(file, name_);
      const ZipEntry& pickle = torch_pickle_entry(archive, name_);
      // Zero is what torch.save leaves where it was told to compute none.
      if (pickle.crc32 != 0) require_checksum(pickle.begin, pickle.bytes, pickle.crc32, pickle.name);
      index_ = parse_torch_archive(file, archive, name_);
    } else {
      index_ = parse_torch_legacy(file, name_);
    }
    if (verify_) {
      mapping_->advise_sequential();
      parallel_for(static_cast<std::int64_t>(index_.storages.size()), 1, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          const TorchStorage& storage = index_.storages[static_cast<std::size_t>(i)];
          if (storage.crc32) require_checksum(storage.begin, storage.bytes, *storage.crc32, storage.name);
        }
      });
    }
    bases_.resize(index_.storages.size());
    are_booleans_.resize(index_.storages.size());
    tensors_.resize(index_.tensors.size());
    const at::NoGradGuard no_grad;
    return tree_of(index_.root);
  }

 private:
  void require_checksum(std::uint64_t begin, std::uint64_t bytes, std::uint32_t expected,
                        const std::string& what) const {
    if (crc32_of(std::as_const(*mapping_).bytes().subspan(begin, bytes)) == expected) return;
    throw Error({.what = "a .pt file is damaged: a checksum does not fit",
                 .where = name_ + ", file '" + what + "' in it",
                 .todo = "copy or download the file again, or take an older one"});
  }

  Tree tree_of(const TorchValue& value) {
    return std::visit([&](const auto& held) { return tree_of(held); }, value.value);
  }
  Tree tree_of(std::monostate) { return {}; }
  Tree tree_of(TorchValue::Tensor tensor) { return tensor_at(tensor.index); }
  template <class T>
  requires(std::same_as<T, bool> || std::same_as<T, std::int64_t> || std::same_as<T, double> ||
           std::same_as<T, std::string>) Tree tree_of(const T& value) {
    return Tree(value);
  }
  Tree tree_of(const TorchValue::List& list) {
    Tree::List items;
    items.reserve(list.size());
    for (const TorchValue& each : list) items.push_back(tree_of(each));
    return Tree::list(std::move(items));
  }
  Tree tree_of(const TorchValue::Dictionary& dictionary) {
    Tree::Dictionary entries;
    entries.reserve(dictionary.size());
    for (const auto& [name, each] : dictionary) entries.emplace_back(name, tree_of(each));
    return Tree(std::move(entries));
  }

  at::Tensor tensor_at(std::size_t place) {
    at::Tensor& tensor = tensors_[place];
    if (tensor.defined()) return tensor;
    const TorchTensor& from = index_.tensors[place];
    const at::Tensor& base = base_at(from.storage);
    if (from.dtype == TorchType::boolean && !are_booleans_[from.storage]) require_booleans(base, from.storage);
    // Not by at::empty, which warns of rare types.
    tensor = at::detail::make_tensor<c10::TensorImpl>(c10::Storage(base.storage()),
                                                      c10::DispatchKeySet(c10::DispatchKey::CPU),
                                                      c10::scalarTypeToTypeMeta(to_aten(from.dtype)));
    tensor.unsafeGetTensorImpl()->set_sizes_and_strides(from.sizes, from.strides, from.offset);
    if (from.conjugate) tensor = tensor.conj();
    if (from.negative) tensor = at::_neg_view(tensor);
    if (from.requires_grad) tensor.set_requires_grad(true);
    return tensor;
  }

  void require_booleans(const at::Tensor& base, std::size_t storage) {
    are_booleans_[storage] = true;
    const auto* bytes = base.const_data_ptr<std::uint8_t>();
    if (std::none_of(bytes, bytes + base.numel(), [](std::uint8_t each) { return each > 1; })) return;
    throw Error({.what = "a tensor of booleans in a .pt file holds bytes that are neither 0 nor 1", .where = name_});
  }

  /// The bytes of a storage.
  const at::Tensor& base_at(std::size_t place) {
    constexpr std::uintptr_t alignment = 8;
    at::Tensor& base = bases_[place];
    if (base.defined()) return base;
    const TorchStorage& from = index_.storages[place];
    const auto size = static_cast<std::int64_t>(from.bytes);
    const auto options = at::TensorOptions().dtype(at::kByte);
    std::byte* data = from.own || from.bytes == 0 ? nullptr : mapping_->mutable_bytes().data() + from.begin;
    if (data != nullptr && reinterpret_cast<std::uintptr_t>(data) % alignment == 0) {
      base = at::from_blob(
          data, {size}, [keep = mapping_](void*) {}, options);
      return base;
    }
    base = at::empty({size}, options);
    const void* source = from.own ? static_cast<const void*>(from.own->data()) : data;
    if (size > 0) std::memcpy(base.mutable_data_ptr(), source, from.bytes);
    return base;
  }

  std::string name_;
  std::shared_ptr<MappedFile> mapping_;
  bool verify_;
  TorchIndex index_;
  std::vector<at::Tensor> bases_;
  std::vector<at::Tensor> tensors_;
  std::vector<bool> are_booleans_;
};

}  // namespace

at::ScalarType to_aten(TorchType type) noexcept { return scalar_types[static_cast<std::size_t>(type)]; }

std::optional<TorchType> torch_type_of(at::ScalarType type) noexcept {
  const auto* found = std::find(scalar_types.begin(), scalar_types.end(), type);
  if (found == scalar_types.end()) return std::nullopt;
  return static_cast<TorchType>(found - scalar_types.begin());
}

Tree load_torch_file(const std::filesystem::path& path, const LoadTorchOptions& options) {
  return TorchFile(path, options).read();
}

}  // namespace athanor
