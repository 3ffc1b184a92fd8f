// SPDX-License-Identifier: Apache-2.0
// The layers of nets as a forward pass that runs anyway shows them: no pass of its own.
#pragma once

#include <memory>
#include <string>

#include "athanor/train/events.hpp"
#include "athanor/train/nets.hpp"

namespace athanor {

/// Looks on while a step runs on this thread. Costs a few µs an operator.
///
/// LibTorch's modules have no hooks: a layer with parameters is recognised by these, one without by the order of
/// execution (layer_match.hpp), and who hands what to whom by the tensors themselves.
class LayerSight {
 public:
  explicit LayerSight(const Nets& nets);
  ~LayerSight();
  LayerSight(const LayerSight&) = delete;
  LayerSight& operator=(const LayerSight&) = delete;

  /// Runs `step` and looks on; of several the one that ran most of the layers counts. What it throws comes through.
  /// Throws Error when two others (LayerTrace) look on at this thread.
  template <class Step>
  auto watch(const Step& step) {
    const Watch running(*this);
    return step();
  }
  /// Whether a step ran one of the layers.
  [[nodiscard]] bool has_seen() const noexcept;

  /// A Markdown table, a row for each layer in the order of registration: name, type, shape of the first result of its
  /// first call, parameters that no row above has counted. The output is empty where it is not known: layers that did
  /// not run, and modules whose forward() is their own.
  [[nodiscard]] std::string markdown() const;
  /// Layers and what runs between them, each under the modules around it (`encoder/0`), from `input` on, with the edges
  /// that the tensors took and the shapes of results. A layer that runs again has a further node (`relu_1`), up to 16.
  /// What follows the last layer outside of all modules with tensors, as a loss, is left out. Empty: nothing was seen.
  [[nodiscard]] events::Graph graph() const;

 private:
  struct Implementation;
  class Watch {
   public:
    explicit Watch(LayerSight& sight);
    ~Watch();
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;

   private:
    LayerSight& sight_;
  };

  std::unique_ptr<Implementation> implementation_;
};

}  // namespace athanor
