// SPDX-License-Identifier: Apache-2.0
#include "athanor/callbacks/batch_norm.hpp"

#include <torch/torch.h>

#include <functional>
#include <vector>

#include "athanor/core/error.hpp"
#include "athanor/core/random.hpp"
#include "athanor/train/precision.hpp"
#include "athanor/train/trainer.hpp"

namespace athanor {
namespace {

using Restore = std::function<void()>;

/// Statistics set back, every batch weighing the same from here on, until the function that is returned is called.
template <class Norm>
bool begin_counting(torch::nn::Module& module, std::vector<Restore>& restore) {
  auto* norm = dynamic_cast<Norm*>(&module);
  if (norm == nullptr) return false;
  if (!norm->is_training() || !norm->options.track_running_stats()) return true;
  norm->reset_running_stats();
  restore.emplace_back([norm, momentum = norm->options.momentum()] { norm->options.momentum(momentum); });
  norm->options.momentum(std::nullopt);
  return true;
}

void find_norms(torch::nn::Module& module, std::vector<Restore>& restore) {
  static_cast<void>(begin_counting<torch::nn::BatchNorm1dImpl>(module, restore) ||
                    begin_counting<torch::nn::BatchNorm2dImpl>(module, restore) ||
                    begin_counting<torch::nn::BatchNorm3dImpl>(module, restore));
  for (const auto& child : module.children()) find_norms(*child, restore);
}

struct RestoreAll {
  std::vector<Restore> actions;
  ~RestoreAll() {
    for (const Restore& action : actions) action();
  }
};

}  // namespace

void refresh_batch_norm(Trainer& trainer, const std::optional<Limit>& batches) {
  const torch::NoGradGuard no_grad;
  RestoreAll restore;
  for (const NamedNet& net : trainer.task().nets()) find_norms(*net.module, restore.actions);
  if (restore.actions.empty()) return;
  const Loader* loader = trainer.training_loader();
  if (loader == nullptr) {
    throw Error({.what = "the statistics of BatchNorm can't be computed again without training data",
                 .where = "refresh_batch_norm",
                 .todo = "train with data given to fit, or keep the statistics as they are"});
  }
  if (trainer.optimizers().size() > 1) {
    throw Error({.what = "the statistics of BatchNorm can't be computed again in a task of several optimizers",
                 .where = "refresh_batch_norm",
                 .todo = "keep the statistics as they are (AveragedBuffers::live)"});
  }
  const Position& position = trainer.position();
  const int64_t count = batches ? batches->of(loader->batches()) : loader->batches();
  const uint64_t seed = trainer.options().seed;
  Pass pass = loader->epoch(std::max<int64_t>(position.epoch, 1), 0, count, seed);
  for (int64_t number = 0; const Batch* fetched = pass.next(); ++number) {
    const Batch batch = trainer.prepare(*fetched);
    seed_libtorch(mix({seed, static_cast<uint64_t>(position.step), static_cast<uint64_t>(number), 0x626eU}));
    StepContext context(Stage::train, position.epoch, position.step, number);
    const AutocastGuard autocast(trainer.options().precision, trainer.device().type());
    static_cast<void>(trainer.task().training_step(batch, context));
  }
}

}  // namespace athanor
