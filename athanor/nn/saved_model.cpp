// SPDX-License-Identifier: Apache-2.0
#include "athanor/nn/saved_model.hpp"

#include <torch/torch.h>

#include "athanor/checkpoint/safetensors.hpp"
#include "athanor/nn/allocation_limit.hpp"
#include "athanor/train/nets.hpp"

namespace athanor::detail {
namespace {

constexpr const char* options_key = "athanor.options";

NamedTensors tensors_of(const torch::nn::Module& net) {
  auto* module = const_cast<torch::nn::Module*>(&net);
  return named_tensors({{.name = "net", .module = {std::shared_ptr<void>(), module}}});
}

}  // namespace

void save_model(const torch::nn::Module& net, const std::string& options, const std::filesystem::path& path) {
  write_safetensors(path, tensors_of(net), {{"format", "pt"}, {options_key, options}});
}

std::string options_of_model(const std::filesystem::path& path) {
  const SafetensorsFile file(path);
  const auto found = file.metadata().find(options_key);
  if (found != file.metadata().end()) return found->second;
  throw Error({.what = "this file does not tell how its net was built",
               .where = path.string(),
               .expected = std::string("the metadata ") + options_key + ", as save_model writes them",
               .todo = "build the net here and load the weights alone, by Model::load_weights or copy_file_into"});
}

void build_model(const std::filesystem::path& path, const LoadModelOptions& options,
                 const std::function<void()>& build) {
  constexpr uint64_t share = 16;
  constexpr uint64_t further_bytes = uint64_t{256} << 20;
  constexpr uint64_t further_tensors = 10'000;
  uint64_t bytes = 0;
  uint64_t tensors = 0;
  {
    const SafetensorsFile file(path);
    for (const auto& [name, tensor] : file.tensors()) bytes += tensor.nbytes();
    tensors = file.tensors().size();
  }
  const AllocationLimit limit(options.most_bytes.value_or(share * bytes + further_bytes),
                              share * tensors + further_tensors, path.string());
  try {
    build();
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    const std::string words = error.what();
    throw Error({.what = "no net can be built from the options of this file",
                 .where = path.string(),
                 .got = words.substr(0, words.find('\n')),
                 .todo = "look at its metadata athanor.options; athanor inspect shows them"});
  }
}

void load_model_weights(torch::nn::Module& net, const std::filesystem::path& path) {
  copy_into(SafetensorsFile(path), tensors_of(net));
}

}  // namespace athanor::detail
