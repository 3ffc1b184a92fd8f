// SPDX-License-Identifier: Apache-2.0
// Level 1: a net, a loss, an optimizer and metrics, trained by one call.
//
//     athanor::Model model(net, {.loss = athanor::loss::cross_entropy,
//                                .optimizer = athanor::optim::Adam({.lr = 1e-3}),
//                                .metrics = {athanor::metrics::accuracy()}});
//     athanor::History history = model.fit({images, labels}, {.validation = {test_images, test_labels}, .epochs = 20});
#pragma once

#include "athanor/callbacks/keep_best.hpp"
#include "athanor/checkpoint/weights_report.hpp"
#include "athanor/core/owned.hpp"
#include "athanor/nn/loss.hpp"
#include "athanor/nn/net.hpp"
#include "athanor/train/initialise.hpp"
#include "athanor/train/trainer.hpp"

namespace athanor {

struct ModelOptions {
  /// Any callable or LibTorch loss module; needed to train and to evaluate, not to predict.
  Loss loss = {};
  /// `optim::Adam`, `AdamW`, `SGD`, or a shared_ptr to any optimizer of `torch::optim`. Unset: Adam with lr 1e-3, and
  /// the header of the run says so.
  optim::Recipe optimizer = {};
  Metrics metrics = {};
  /// Options of the optimizer for some parameters: `{{"*.bias", {.weight_decay = 0}}}`. The first pattern that matches
  /// a name counts.
  std::vector<GroupPattern> groups{};
  /// Learning rate over time, for the default or the given optimizer.
  std::optional<Schedule> schedule = {};
};

struct FitOptions {
  // ---- behaviour
  Data validation = {};
  /// Instead of validation data: the last fraction of the training data, in their order, as Keras does.
  double validation_split = 0;
  int64_t epochs = 10;
  /// The value that decides what is best. Empty: `val_loss`, without validation `train_loss`.
  std::string monitor = {};
  /// Stop after so many epochs without improvement. Unset: never.
  std::optional<int64_t> patience = {};
  /// Folder for run.json, history.csv, curves.svg and best.safetensors; a folder in use is never written over, the next
  /// free name is taken. Unset: nothing is written.
  std::optional<std::filesystem::path> run = {};
  /// Resume::automatic(): the same program started again on the same folder continues. `Checkpoints` are among the
  /// callbacks then, by themselves when they are not given.
  Resume resume = {};
  int64_t batch_size = 32;
  bool shuffle = true;
  /// Unset: known for losses and our metrics, else asked for.
  std::optional<Mode> mode = {};
  /// What counts as an improvement must exceed this.
  double min_change = 0;
  RestoreBest restore_best = RestoreBest::at_end;
  /// Passes are cut off: `100` batches, or `0.1` of them.
  std::optional<Limit> train_batches = {};
  std::optional<Limit> validation_batches = {};
  Callbacks callbacks = {};
  uint64_t seed = 0;
  /// A weight for each class, multiplied with those of the samples (`Data(input, target, weight)`); needs class numbers
  /// as targets. The loss is the mean of weight x loss.
  std::vector<double> class_weight{};
  /// Everything else that a trainer can do: accumulation, clipping, precision, limits. What is named above counts from
  /// above.
  TrainerOptions trainer = {};

  // ---- what is shown
  Verbosity verbosity = Verbosity::normal;
  Listeners track = {};

  // ---- performance
  /// `auto`, `cpu`, `cuda`, `cuda:1`.
  std::string device = "auto";
  /// Threads inside operators, for the time of the call. Unset: as they are.
  std::optional<int> threads = {};
  /// Background threads that prepare training batches.
  int workers = 0;
  /// What may be changed in the host process.
  HostOptions host = {};
  /// `steps(20)`: so many steps are profiled; see TrainerOptions::profile.
  ProfileSteps profile = {};

  // ---- the standard console
  /// Decimals of its values.
  int digits = 4;
  /// Where it writes. Null: std::cout. It must live as long as the call.
  std::ostream* stream = nullptr;
};

struct EvaluateOptions {
  int64_t batch_size = 32;
  Verbosity verbosity = Verbosity::silent;
};

/// A net with all that is needed to train it. Values are called `train_NAME` and `val_NAME`. Not thread-safe. It shares
/// the net; a net that was given as an object, not as a holder or pointer, must outlive it.
class Model {
 public:
  explicit Model(Net net, ModelOptions options = {});
  ~Model();
  Model(Model&&) noexcept;
  Model& operator=(Model&&) noexcept;

  /// Trains and returns the history of all calls; the net then holds the best weights unless told otherwise. A second
  /// call continues with the optimizer's state and the numbering of epochs. Throws Error before the first step for
  /// whatever can be checked then.
  History fit(Data train, FitOptions options = {});

  /// `NAME_loss`, `NAME_acc`, … under the name of the data, `test` when it has none. Every module is in eval mode
  /// meanwhile and gets its own mode back.
  Values evaluate(const Data& data, EvaluateOptions options = {});

  /// The net's outputs for all samples in their order, on the CPU: a tensor, or a tree of what the net returns.
  Tree predict(const Data& data, EvaluateOptions options = {});

  /// Parameters and buffers as safetensors, under the names that Python gives them.
  void save_weights(const std::filesystem::path& path) const;
  /// A safetensors file, a folder of several with their index, or a state dictionary of Python's torch.save. Throws
  /// Error that tells each difference in names, dtypes and shapes, and then nothing has changed.
  WeightsReport load_weights(const std::filesystem::path& path, LoadOptions options = {});

  /// Weights of another net or file for some or all parameters and buffers of this one: a start, not a continuation.
  /// Throws Error as athanor::initialise_from does.
  InitialiseReport initialise_from(const std::filesystem::path& source, const InitialiseOptions& options = {});

  /// Where the last `fit` keeps its files; unset when it keeps none.
  [[nodiscard]] const std::optional<std::filesystem::path>& run_folder() const noexcept;

  /// The task that this model is, for a Trainer or a loop of one's own.
  [[nodiscard]] Task& task() noexcept;

 private:
  struct Implementation;
  Owned<Implementation> implementation_;
};

}  // namespace athanor
