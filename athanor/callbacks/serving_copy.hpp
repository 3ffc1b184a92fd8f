// SPDX-License-Identifier: Apache-2.0
// Predictions from other threads while a net is being trained.
//
//     auto serving = std::make_shared<athanor::ServingCopy>(athanor::Net(make_net()));   // a second instance
//     std::thread server([&] { while (running) answer(serving->predict(question())); });
//     model.fit(train, {.callbacks = {serving}});
#pragma once

#include <atomic>
#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <utility>
#include <vector>

#include "athanor/core/duration.hpp"
#include "athanor/core/tree.hpp"
#include "athanor/train/nets.hpp"

namespace athanor {

class Trainer;

struct ServingCopyOptions {
  /// How often newer weights are handed over. Each time costs the training thread one copy of all weights.
  Duration every = Duration::steps(1);
  /// Which net of the task is served; may stay empty when it has only one.
  std::string net = {};
};

/// A second instance of a net that follows the one in training. Readers see parameters and buffers of one single
/// update, never a mixture of two, in eval mode and without gradients.
///
/// The training thread copies the weights into a store between two updates. The reader that comes next takes them over
/// into the net that it reads: it waits for the readers before it and copies. Training never waits for a reader that
/// predicts; when a reader is taking over at that moment, newer weights are handed over after a later step. Only at the
/// begin and the end of fit it waits for that one copy.
///
/// Memory: the copy and the store, twice the weights besides the net in training. With the copy on another device than
/// the net, handing over waits for the device. On a GPU training thread and readers must use the same stream, as they
/// do unless told otherwise.
///
/// Several threads may read at the same time; the net's forward() must allow that in eval mode, as those of LibTorch's
/// layers do. In the list of callbacks it stands behind one that changes weights (KeepBest), so that the last weights
/// are the final ones.
class ServingCopy {
 public:
  using Forward = std::function<Tree(const Tree&)>;

  /// `net` has the structure of the net in training, lies on the device that is to predict, and belongs to this from
  /// now on: it is put in eval mode, and nobody else may change it. `forward` runs that net.
  ServingCopy(std::shared_ptr<torch::nn::Module> net, Forward forward, ServingCopyOptions options = {});

  /// From an athanor::Net.
  template <class N>
  requires requires(const N& net, const Tree& input) {
    { net.module() } -> std::convertible_to<std::shared_ptr<torch::nn::Module>>;
    { net.forward(input) } -> std::convertible_to<Tree>;
  }
  explicit ServingCopy(N net, ServingCopyOptions options = {})
      : ServingCopy(
            net.module(), [net](const Tree& input) { return net.forward(input); }, std::move(options)) {}

  // ---- from any thread
  /// Predicts with the newest weights that were handed over. The input is moved to the device of the copy, where the
  /// result stays.
  [[nodiscard]] Tree predict(const Tree& input);
  /// Calls `function` with the net, for whatever else reads it. It must not write to it and must not call `predict`.
  void read(const std::function<void(torch::nn::Module&)>& function);
  /// After which step of the run the weights were taken that the copy has now; -1 before the first. Within `read` it
  /// does not change.
  [[nodiscard]] int64_t step() const noexcept { return step_; }

  // ---- hooks, on the training thread
  /// Throws Error when names, shapes or dtypes of the two nets differ.
  void on_fit_begin(Trainer& trainer);
  void on_step_end(Trainer& trainer);
  void on_fit_end(Trainer& trainer);

 private:
  [[nodiscard]] std::shared_lock<std::shared_mutex> newest();
  /// With store_mutex_ held.
  void hand_over(Trainer& trainer);

  std::shared_ptr<torch::nn::Module> net_;
  Forward forward_;
  ServingCopyOptions options_;
  NamedTensors weights_;  // of the copy

  std::shared_mutex reading_;  // shared by those who read the copy, held alone by who writes to it
  int64_t taken_ = 0;          // number of the hand-over that the copy has
  std::atomic<int64_t> step_ = -1;

  std::mutex store_mutex_;
  std::vector<at::Tensor> store_;  // on the device of the copy, in the order of weights_
  int64_t stored_step_ = -1;
  std::atomic<int64_t> stored_ = 0;  // number of the last hand-over

  NamedTensors source_;  // of the net in training
  Elapsed handed_over_;
};

}  // namespace athanor
