// SPDX-License-Identifier: Apache-2.0
// A net of one's own in one file: its weights, and the options that it was built from.
//
//     struct MlpOptions {
//       int64_t inputs = 784;
//       std::vector<int64_t> hidden = {128};
//     };
//     template <class Visitor>
//     void fields(Visitor& visit, MlpOptions& o) {
//       visit("inputs", o.inputs);
//       visit("hidden", o.hidden);
//     }
//     struct Mlp : torch::nn::Module {
//       explicit Mlp(MlpOptions given) : options(std::move(given)) { … }
//       MlpOptions options;
//     };
//
//     athanor::save_model(*net, "mlp.safetensors");
//     std::shared_ptr<Mlp> again = athanor::load_model<Mlp>("mlp.safetensors");
#pragma once

#include <concepts>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "athanor/core/error.hpp"
#include "athanor/core/options.hpp"

namespace torch::nn {
class Module;
}

namespace athanor {

/// A module that keeps the options it was built from in a public member `options`, and can be built from them again.
/// Options are told in athanor/core/options.hpp.
template <class N>
concept RebuildableNet = requires(N& net) {
  { net } -> std::convertible_to<torch::nn::Module&>;
  requires Options<std::remove_cvref_t<decltype(net.options)>>;
  requires std::constructible_from<N, std::remove_cvref_t<decltype(net.options)>>;
};

struct LoadModelOptions {
  /// What the constructor may ask of the CPU's allocator, in bytes, what it gives back included. Unset: sixteen times
  /// the tensors of the file and 256 MiB. Raise it for a net whose constructor needs much more than the net keeps.
  std::optional<uint64_t> most_bytes = {};
};

namespace detail {
void save_model(const torch::nn::Module& net, const std::string& options, const std::filesystem::path& path);
[[nodiscard]] std::string options_of_model(const std::filesystem::path& path);
/// Calls `build` with a limit on what it may allocate.
void build_model(const std::filesystem::path& path, const LoadModelOptions& options,
                 const std::function<void()>& build);
void load_model_weights(torch::nn::Module& net, const std::filesystem::path& path);
}  // namespace detail

/// Writes parameters and buffers as safetensors, with the options as JSON in the metadata under `athanor.options`, as a
/// whole or not at all. Python reads the weights by `safetensors.torch.load_file`, and the options by
/// `json.loads(safe_open(path, "pt").metadata()["athanor.options"])`. A module holder is given as `*net`. Throws Error
/// as `write_safetensors` does.
template <RebuildableNet N>
void save_model(const N& net, const std::filesystem::path& path) {
  detail::save_model(net, options_to_json(net.options), path);
}

/// Builds a net from the options in the file and loads its weights, on the CPU and in train mode, as every new net is.
/// An option that the file does not tell, because the class got it later, has its default.
///
/// Throws Error for a file without options, for options that the class does not have or whose values do not fit, and
/// tells each tensor whose name, type or shape differs. The net has to be built before that: a file whose options ask
/// for much more memory or many more tensors than it holds is refused before the memory is taken (LoadModelOptions).
/// The limit is on tensors that the constructor makes on the CPU in the calling thread; LibTorch's allocator of the CPU
/// is wrapped meanwhile.
template <RebuildableNet N>
[[nodiscard]] std::shared_ptr<N> load_model(const std::filesystem::path& path, const LoadModelOptions& loading = {}) {
  std::remove_cvref_t<decltype(std::declval<N&>().options)> options{};
  set_options_from_json_text(options, detail::options_of_model(path), path.string() + ", metadata athanor.options");
  std::shared_ptr<N> net;
  detail::build_model(path, loading, [&] { net = std::make_shared<N>(std::move(options)); });
  detail::load_model_weights(*net, path);
  return net;
}

}  // namespace athanor
