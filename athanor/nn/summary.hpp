// SPDX-License-Identifier: Apache-2.0
// What a net consists of: layers, shapes, parameters, multiply-adds and memory.
//
//     std::cout << athanor::summary(net, torch::zeros({1, 3, 224, 224}));
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

#include "athanor/nn/net.hpp"

namespace athanor {

/// The result of `summary`. Numbers are exact, not rounded.
class Summary {
 public:
  /// Whether the forward pass showed what leaves a layer.
  enum class Output {
    known,     ///< `shapes` has the one shape.
    unsure,    ///< One of `shapes`. The forward() of a module is not known, and operators between its last layer and
               ///< the next one may be its own or not.
    not_seen,  ///< No operator of this layer ran, or none that could be told to be its.
  };
  /// One module in one place; a module that is registered twice is two of these. Parents before their children.
  struct Layer {
    std::string path;   ///< `encoder.0`; empty for the net itself.
    std::string type;   ///< `Linear`, the class without namespaces.
    int64_t depth = 0;  ///< 0 for the net.
    bool is_leaf = true;
    /// Parameters that the module holds itself, not those of its children, and that no module before it holds too.
    int64_t parameters = 0;
    int64_t frozen = 0;  ///< Those of them with requires_grad = false.
    /// Parameters that the module holds and that were counted at `shared_with`, the first module that holds one.
    int64_t shared = 0;
    std::string shared_with = {};
    Output output = Output::not_seen;
    std::vector<std::vector<int64_t>> shapes{};  ///< Of the first result of its first call.
    std::string dtype = {};                      ///< Of that: `float32`; empty when not seen.
    int64_t calls = 0;                           ///< How often a leaf ran; 0 for composite modules.
    /// Of all calls, those of its children left out.
    int64_t multiply_adds = 0;
    /// The first results of all calls of a leaf.
    int64_t output_bytes = 0;
    /// Why something is not known or not what one would expect; empty for most.
    std::string note = {};
  };

  std::vector<Layer> layers;
  int64_t parameters = 0;  ///< Each once, however many layers share it.
  int64_t trainable = 0;
  int64_t frozen = 0;
  /// Of one forward pass in eval mode with the example: the products of weights with numbers, and the biases added, at
  /// each position; the products of attention. Parameters of normalisations once a sample, as torchinfo counts them; an
  /// embedding is looked up and counts nothing; other operators are not counted. FLOPs are about twice as many.
  ///
  /// The same as torchinfo's for convolutions, recurrent layers, normalisations, and linear layers over (N, features).
  /// Torchinfo counts less for a linear layer over sequences (one position a sample) and leaves attention out; it
  /// counts more for embeddings (the whole table) and transposed convolutions (as if each weight met each output).
  int64_t multiply_adds = 0;
  int64_t input_bytes = 0;
  /// Results of layers with parameters, and as much again for their gradients: what training holds at least. What lies
  /// between layers comes on top of it.
  int64_t activation_bytes = 0;
  int64_t parameter_bytes = 0;
  int64_t buffer_bytes = 0;

  struct TextOptions {
    /// Layers that are deeper are added up in the row above them. Below 0: all are shown.
    int64_t depth = -1;
  };
  /// A table, one row a layer, and the totals below it. UTF-8.
  [[nodiscard]] std::string text(const TextOptions& options) const;
  [[nodiscard]] std::string text() const { return text(TextOptions()); }
  /// One object: the totals under the names of the members above, and `layers`, a list of objects with theirs.
  [[nodiscard]] std::string json() const;
};

std::ostream& operator<<(std::ostream& stream, const Summary& summary);

/// Runs the net once with `example`, in eval mode and without gradients, and looks at every operator. The example is
/// what a batch has for input: a tensor (N, …), or a list of tensors for a forward() with several; it is moved to the
/// device of the net. No batch is needed that is larger than 1, and counts are for the one that is given.
///
/// The net is the same bit for bit afterwards: parameters, buffers, modes, requires_grad, gradients; and LibTorch's
/// random generators stand where they stood. What a module remembers elsewhere is its own affair.
///
/// LibTorch's modules have no hooks: a layer with parameters is recognised by its parameters, one without (ReLU,
/// pooling, dropout) by the order of execution. Where that leaves a doubt, the layer says so: Output::unsure, not_seen.
///
/// Throws Error that names the layer and what was there, when the net does not take the example.
[[nodiscard]] Summary summary(const Net& net, const Tree& example);

}  // namespace athanor
