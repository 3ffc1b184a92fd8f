// SPDX-License-Identifier: Apache-2.0
// Records the operators of a forward pass: LibTorch's modules have no hooks, but every operator passes here.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "athanor/train/parameter_places.hpp"

namespace athanor {

/// An operator that the program called; those that it calls itself are a part of it.
struct TracedOperator {
  struct Output {
    /// Only for its identity: the numbers are not kept.
    c10::weak_intrusive_ptr<c10::TensorImpl> tensor;
    std::vector<int64_t> shape;
    at::ScalarType dtype;
    [[nodiscard]] int64_t bytes() const;
  };
  std::string name;                 ///< `conv2d`, `add_`
  std::vector<size_t> places = {};  ///< Numbers of the parameters and buffers that it reads, each once.
  bool only_places = false;         ///< It reads nothing else, as the transpose of a weight.
  std::vector<const c10::TensorImpl*> inputs = {};
  std::vector<std::string> input_forms = {};  ///< `float32 (2, 3)`; only of the last operator, for messages.
  std::vector<Output> outputs = {};
  int64_t multiply_adds = 0;
  bool finished = false;  ///< It did not throw.
};

/// How many multiply-adds an operator makes: those that `counts` names are asked for, and what they call is not.
struct MultiplyAddCounter {
  bool (*counts)(std::string_view op) = nullptr;
  int64_t (*count)(std::string_view op, const std::vector<c10::IValue>& inputs, const at::Tensor& output) = nullptr;
};

struct LayerTraceOptions {
  MultiplyAddCounter counter = {};
  /// Called at the end of each operator with its number and first result; operators in it are not recorded.
  std::function<void(size_t, const at::Tensor&)> on_end = {};
  /// Whether parameters and buffers are copied before an operator writes into them, for `restore`.
  bool keep_written = false;
  /// Whether the inputs of the last operator are described, for messages.
  bool describe_inputs = false;
};

/// While it lives, the operators of the thread that made it are recorded, without those that a backward pass runs. Two
/// can live on a thread at a time. Parameters are recognised by their memory. Costs a few µs an operator.
class LayerTrace {
 public:
  /// `places` must outlive this. Throws Error when two others live on this thread.
  explicit LayerTrace(ParameterPlaces& places, LayerTraceOptions options = {});
  ~LayerTrace();
  LayerTrace(const LayerTrace&) = delete;
  LayerTrace& operator=(const LayerTrace&) = delete;

  /// In the order in which they ran.
  [[nodiscard]] const std::vector<TracedOperator>& operators() const noexcept;
  /// Ends the recording; what was recorded stays.
  void stop();
  /// Writes the parameters and buffers back that an operator has written to. Ends the recording.
  void restore();

  /// While it lives, nothing is recorded on this thread: for what is no part of a net, as an optimizer's step.
  class Pause {
   public:
    Pause();
    ~Pause();
    Pause(const Pause&) = delete;
    Pause& operator=(const Pause&) = delete;

   private:
    bool before_;
  };

  struct Implementation;

 private:
  std::unique_ptr<Implementation> implementation_;
  uint64_t handle_ = 0;
};

}  // namespace athanor
