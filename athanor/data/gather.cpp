// SPDX-License-Identifier: Apache-2.0
#include "athanor/data/gather.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/index_select.h>

#include <cstring>

#include "athanor/core/parallel.hpp"

namespace athanor {
namespace {

bool may_write_over(const at::Tensor& tensor, const at::Tensor& like, int64_t rows) {
  return tensor.defined() && tensor.use_count() == 1 && tensor.storage().use_count() == 1 && !tensor.requires_grad() &&
         tensor.scalar_type() == like.scalar_type() && tensor.device() == like.device() && tensor.dim() == like.dim() &&
         tensor.size(0) == rows && tensor.sizes().slice(1) == like.sizes().slice(1) && tensor.is_contiguous();
}

void copy_rows(const at::Tensor& source, std::span<const int64_t> indices, at::Tensor& into) {
  if (into.numel() == 0) return;
  const size_t row_bytes = source.nbytes() / static_cast<size_t>(source.size(0));
  const auto* from = static_cast<const char*>(source.const_data_ptr());
  auto* to = static_cast<char*>(into.mutable_data_ptr());
  constexpr int64_t bytes_per_task = int64_t{64} * 1024;
  const int64_t rows_per_task = bytes_per_task / static_cast<int64_t>(row_bytes);
  parallel_for(static_cast<int64_t>(indices.size()), rows_per_task, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      if (i + 1 < last) __builtin_prefetch(from + static_cast<size_t>(indices[i + 1]) * row_bytes);
      std::memcpy(to + static_cast<size_t>(i) * row_bytes, from + static_cast<size_t>(indices[i]) * row_bytes,
                  row_bytes);
    }
  });
}

}  // namespace

void gather(const at::Tensor& source, std::span<const int64_t> indices, at::Tensor& into) {
  const auto rows = static_cast<int64_t>(indices.size());
  if (!source.is_cpu() || !source.is_contiguous() || source.is_conj() || source.is_neg()) {
    at::NoGradGuard no_grad;
    const at::Tensor index =
        at::from_blob(const_cast<int64_t*>(indices.data()), {rows}, at::TensorOptions().dtype(at::kLong));
    into = at::index_select(source, 0, index.to(source.device()));
    return;
  }
  if (!may_write_over(into, source, rows)) {
    std::vector<int64_t> sizes = source.sizes().vec();
    sizes[0] = rows;
    into = at::empty(sizes, source.options());
  }
  copy_rows(source, indices, into);
}

void gather(const Tree& source, std::span<const int64_t> indices, Tree& into) {
  switch (source.kind()) {
    case Tree::Kind::tensor:
      if (!into.is_tensor()) into = Tree(at::Tensor());
      gather(source.tensor(), indices, into.tensor());
      break;
    case Tree::Kind::list: {
      if (!into.is_list() || into.size() != source.size()) into = Tree(Tree::List(source.size()));
      for (size_t i = 0; i < source.size(); ++i) gather(source.items()[i], indices, into.items()[i]);
      break;
    }
    case Tree::Kind::dictionary: {
      const Tree::Dictionary& entries = source.entries();
      auto same_name = [](const Tree::Entry& a, const Tree::Entry& b) { return a.first == b.first; };
      if (!into.is_dictionary() || !std::ranges::equal(into.entries(), entries, same_name)) into = Tree::Dictionary{};
      for (const auto& [name, item] : entries) gather(item, indices, into.at_or_insert(name));
      break;
    }
    default:
      into = source;
  }
}

}  // namespace athanor
