// SPDX-License-Identifier: Apache-2.0
// Collects what LayerStatistics reports of one update.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "athanor/callbacks/layer_statistics.hpp"
#include "athanor/train/layer_match.hpp"
#include "athanor/train/trainer.hpp"

namespace athanor {

class LayerStatistics::Collector {
 public:
  /// Throws Error for a pattern that matches no layer.
  Collector(const Nets& nets, const LayerStatisticsOptions& options);

  /// A new update: forgets the one before.
  void begin();
  void begin_forward(const Trainer& trainer, const Batch* batch, std::string_view optimizer);
  void end_forward();
  void end_backward() { open_ = false; }
  /// Gradients and weights as they are before the step of an optimizer.
  void before_step(const Parameters& parameters);
  void after_step(const Parameters& parameters);
  /// What there is at the end of the update.
  LayerSnapshot finish();
  /// Stops recording operators.
  void abandon() { trace_.reset(); }

 private:
  struct Activation {
    TensorSums sums;
    at::Tensor dead;       // bool for each unit
    at::Tensor saturated;  // undefined for functions that can't be
    bool sure = true;
  };
  struct Tracked {
    size_t node;
    std::string name;
    at::Tensor tensor;
    TensorSums gradients = {};
    at::Tensor before = {};
    std::optional<ChangeNorms> change = {};
  };

  void on_operator(size_t number, const at::Tensor& output);
  [[nodiscard]] int64_t unit_dimension(const TracedOperator& op, const at::Tensor& output);
  [[nodiscard]] Activation look_at(const std::string& op, const at::Tensor& output, int64_t units) const;
  static void merge(Activation& into, const Activation& more);
  void add_function_calls(const LayerMatch& match, std::vector<bool>& used);
  [[nodiscard]] ActivationReport report(const std::string& name, const Activation& activation) const;

  LayerStatisticsOptions options_;
  LayerTree tree_;
  std::vector<bool> watched_;  // nodes
  std::vector<Tracked> parameters_;
  std::unordered_map<const c10::TensorImpl*, size_t> numbers_;  // of parameters

  // Of the update.
  double scale_ = 1;
  bool stepped_ = false;
  bool open_ = false;    // a forward pass whose backward pass did not end
  bool closed_ = false;  // the batches come again: an optimizer evaluates them once more
  const Batch* first_batch_ = nullptr;
  std::string first_optimizer_;
  std::map<size_t, Activation> of_layers_;                                          // by node
  std::map<size_t, std::vector<std::pair<std::string, Activation>>> of_functions_;  // by node of the layer before

  // Of the forward pass.
  std::optional<ParameterPlaces> places_;
  std::unique_ptr<LayerTrace> trace_;
  std::unordered_map<size_t, Activation> seen_;                     // by operator
  std::unordered_map<const c10::TensorImpl*, int64_t> dimensions_;  // of units, of results so far
};

}  // namespace athanor
