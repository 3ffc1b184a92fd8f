// SPDX-License-Identifier: Apache-2.0
#include "athanor/checkpoint/weights_file.hpp"

#include <unordered_map>

#include "athanor/checkpoint/sharded_safetensors.hpp"
#include "athanor/checkpoint/torch_file.hpp"
#include "athanor/checkpoint/weights_source.hpp"
#include "athanor/checkpoint/zip_index.hpp"
#include "athanor/core/error.hpp"

namespace athanor {
namespace {

/// The tensors of a tree by their paths, and the names of everything.
class TreeWeights {
 public:
  explicit TreeWeights(const Tree& tree) {
    tree.walk([&](const std::string& path, const Tree& leaf) {
      names_.push_back(path);
      if (leaf.is_tensor() && leaf.tensor().defined()) tensors_.emplace(path, leaf.tensor());
    });
  }

  [[nodiscard]] detail::WeightsSource source(std::string where) const {
    return {.where = std::move(where),
            .names = names_,
            .layout = [this](const std::string& name) -> std::optional<detail::TensorLayout> {
              const auto found = tensors_.find(name);
              if (found == tensors_.end()) return std::nullopt;
              return detail::TensorLayout{found->second.scalar_type(), found->second.sizes()};
            },
            .tensor = [this](const std::string& name) { return tensors_.at(name); }};
  }

 private:
  std::vector<std::string> names_;
  std::unordered_map<std::string, at::Tensor> tensors_;
};

/// Both formats of torch.save, by how they begin.
bool looks_like_torch(std::span<const std::byte> file) {
  constexpr std::byte pickle{0x80};
  return looks_like_zip(file) || (file.size() > 1 && file[0] == pickle && file[1] == std::byte{2});
}

}  // namespace

WeightsReport compare_weights(const Tree& weights, std::span<const std::pair<std::string, at::Tensor>> destination) {
  return detail::compare_weights(TreeWeights(weights).source({}), destination);
}

WeightsReport copy_into(const Tree& weights, std::span<const std::pair<std::string, at::Tensor>> destination,
                        const LoadOptions& options) {
  if (!weights.is_dictionary()) {
    throw Error({.what = "this is not a state dictionary",
                 .got = weights.describe().substr(0, 200),
                 .expected = "a dictionary of tensors",
                 .todo = "give the path of a file to copy_file_into"});
  }
  return detail::copy_weights(TreeWeights(weights).source("a state dictionary"), destination, options);
}

WeightsReport copy_file_into(const std::filesystem::path& path,
                             std::span<const std::pair<std::string, at::Tensor>> destination,
                             const LoadOptions& options) {
  if (std::filesystem::is_directory(path) || path.extension() == ".json") {
    return copy_into(ShardedSafetensors(path), destination, options);
  }
  if (looks_like_torch(MappedFile(path).bytes())) {
    const Tree weights = load_torch_file(path);
    return detail::copy_weights(TreeWeights(weights).source(path.string()), destination, options);
  }
  return copy_into(SafetensorsFile(path), destination, options);
}

}  // namespace athanor
