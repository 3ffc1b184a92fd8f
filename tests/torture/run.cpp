// SPDX-License-Identifier: Apache-2.0
// A training run to be killed: torture_run CONFIGURATION RUN_FOLDER [milliseconds a step].
//
// It resumes by itself, and in the end leaves its whole state as a checkpoint RUN_FOLDER/final/000001-…; kill.py starts
// it, kills it, and compares.
#include <torch/torch.h>

#include <chrono>
#include <iostream>
#include <thread>

#include "athanor/callbacks/checkpoints.hpp"
#include "athanor/callbacks/early_stopping.hpp"
#include "athanor/callbacks/keep_best.hpp"
#include "athanor/callbacks/reduce_on_plateau.hpp"
#include "athanor/callbacks/weight_average.hpp"
#include "athanor/core/file.hpp"
#include "athanor/metrics/accuracy.hpp"
#include "athanor/optim/adam.hpp"
#include "athanor/optim/schedules.hpp"
#include "athanor/optim/sgd.hpp"
#include "athanor/track/tables.hpp"
#include "athanor/train/trainer.hpp"

namespace {

using namespace athanor::literals;
using athanor::Philox, athanor::Tree;

constexpr int64_t samples = 84;
constexpr int64_t size = 10;

/// Four patterns in noise, shifted and mirrored anew in each epoch.
struct Patterns {
  int64_t count;
  bool augmented;
  [[nodiscard]] size_t size() const { return static_cast<size_t>(count); }
  [[nodiscard]] athanor::Sample get(int64_t index, Philox& random) const {
    Philox fixed(static_cast<uint64_t>(index) + (augmented ? 0 : 1000));
    torch::Tensor image = torch::empty({1, ::size, ::size});
    for (int64_t i = 0; i < ::size * ::size; ++i) {
      const int64_t wave = index % 2 == 0 ? i / ::size : i % ::size;
      const bool bright = (wave / (index % 4 < 2 ? 1 : 2)) % 2 == 0;
      image.data_ptr<float>()[i] = static_cast<float>(fixed.normal() * 0.8 + (bright ? 1 : 0));
    }
    if (augmented) {
      image = image.roll(static_cast<int64_t>(random.below(3)), 2);
      if (random.uniform() < 0.5) image = image.flip({1});
    }
    return {Tree(image), Tree(torch::tensor(index % 4))};
  }
};

struct Net : torch::nn::Module {
  Net() {
    torch::manual_seed(3);
    first = register_module("first", torch::nn::Conv2d(torch::nn::Conv2dOptions(1, 8, 3).padding(1)));
    norm = register_module("norm", torch::nn::BatchNorm2d(8));
    second = register_module("second", torch::nn::Conv2d(torch::nn::Conv2dOptions(8, 8, 3)));
    drop = register_module("drop", torch::nn::Dropout(0.3));
    out = register_module("out", torch::nn::Linear(8 * 4 * 4, 4));
  }
  torch::Tensor forward(torch::Tensor images) {
    images = torch::relu(norm(first(images)));
    images = torch::max_pool2d(torch::relu(second(images)), 2);
    return out(drop(images.flatten(1)));
  }
  torch::nn::Conv2d first = nullptr, second = nullptr;
  torch::nn::BatchNorm2d norm = nullptr;
  torch::nn::Dropout drop = nullptr;
  torch::nn::Linear out = nullptr;
};

enum class Configuration { one_cycle_bf16, plateau, two_optimizers };

class Patterned : public athanor::Task {
 public:
  explicit Patterned(Configuration configuration)
      : net(register_net("net", std::make_shared<Net>())), configuration_(configuration) {}
  athanor::StepOutput training_step(const athanor::Batch& batch, athanor::StepContext& context) override {
    const torch::Tensor logits = net->forward(batch.input.tensor());
    context.log("spread", (logits.max() - logits.min()).to(torch::kFloat));
    return {torch::cross_entropy_loss(logits.to(torch::kFloat), batch.target.tensor()), logits};
  }
  athanor::Optimizers configure_optimizers() override {
    if (configuration_ == Configuration::plateau) return athanor::optim::Adam({.lr = 0.01}).on(parameters());
    if (configuration_ == Configuration::one_cycle_bf16) {
      return {athanor::NamedOptimizer{.name = "all",
                                      .optimizer = athanor::optim::AdamW({.lr = 0.01}).on(parameters()),
                                      .schedule = athanor::schedules::one_cycle()}};
    }
    const auto warmed =
        athanor::schedules::sequence({athanor::schedules::linear_warmup(6_steps, 0.1), athanor::schedules::cosine()});
    return {{.name = "all", .optimizer = athanor::optim::Adam({.lr = 0.01}).on(parameters()), .schedule = warmed},
            {.name = "out",
             .optimizer = athanor::optim::SGD({.lr = 0.02, .momentum = 0.9}).on(net->out),
             .every = 2,
             .schedule = athanor::schedules::step(2_epochs, 0.5)}};
  }
  athanor::Metrics configure_metrics(athanor::Stage) override { return {athanor::metrics::accuracy()}; }
  std::shared_ptr<Net> net;

 private:
  Configuration configuration_;
};

/// Every sample and every loss, in order: the surviving history of the run.
struct Journal {
  std::string seen;
  std::string losses;
  bool told = false;  // kill.py waits for it
  void on_train_batch_begin(athanor::Trainer& trainer, athanor::MomentInfo& moment) {
    if (!std::exchange(told, true)) std::cout << "training" << std::endl;
    const torch::Tensor indices = moment.batch->indices;
    for (int64_t i = 0; i < indices.numel(); ++i) {
      seen += std::to_string(trainer.position().epoch) + ":" + std::to_string(indices[i].item<int64_t>()) + " ";
    }
  }
  void on_step_end(athanor::Trainer& trainer) {
    const torch::Tensor loss = trainer.last_update().loss;
    char text[64];
    std::snprintf(text, sizeof text, "%a ", loss.defined() ? loss.item<double>() : 0.0);
    losses += text;
  }
  void state(athanor::State& state) {
    state.value("seen", seen);
    state.value("losses", losses);
  }
};

athanor::TrainerOptions options_of(Configuration configuration, const std::string& run, int pause) {
  athanor::TrainerOptions options{.max_duration = 4_epochs, .batch_size = 8, .seed = 7};
  options.accumulate = {{1, 2}, {3, 1}};
  options.clip = athanor::Clip{.norm = 1.0};
  options.precision =
      configuration == Configuration::one_cycle_bf16 ? athanor::Precision::bf16 : athanor::Precision::float32;
  options.validate_every = configuration == Configuration::two_optimizers ? athanor::Duration::epochs(0.5) : 1_epochs;
  options.run = run;
  options.resume = athanor::Resume::automatic();
  options.verbosity = athanor::Verbosity::quiet;
  options.log_every = 1_steps;
  options.track = {athanor::track::csv(), athanor::track::json_lines()};
  options.device = "cpu";
  options.workers = 2;
  options.host.threads = 1;
  options.host.signals = athanor::Signals::exit;
  athanor::MonitorOptions monitor{.monitor = "val_loss"};
  options.callbacks = {Journal{}, athanor::Ema({.decay = 0.9}), athanor::KeepBest({.monitor = monitor})};
  if (configuration == Configuration::plateau) {
    options.max_duration = 20_epochs;
    monitor.min_change = 0.05;  // so that the rate falls and the run stops before its length
    options.callbacks.emplace_back(athanor::ReduceOnPlateau({.monitor = monitor, .factor = 0.5, .patience = 1}));
    options.callbacks.emplace_back(athanor::EarlyStopping({.monitor = monitor, .patience = 3}));
  }
  options.callbacks.emplace_back(athanor::every(
      1_steps, [pause](athanor::Trainer&) { std::this_thread::sleep_for(std::chrono::milliseconds(pause)); }));
  options.callbacks.emplace_back(
      athanor::Checkpoints({.every = 2_steps, .keep_last = 2, .keep_best = 1, .monitor = monitor}));
  options.callbacks.emplace_back(athanor::Checkpoints(
      {.folder = "best", .every = {}, .keep_last = 0, .keep_best = 1, .monitor = monitor, .weights_only = true}));
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  try {
    const auto configuration = static_cast<Configuration>(std::stoi(argv[1]));
    const std::string run = argv[2];
    const int pause = argc > 3 ? std::stoi(argv[3]) : 0;
    Patterned task(configuration);
    athanor::Trainer trainer(options_of(configuration, run, pause));
    trainer.fit(task, athanor::Data(Patterns{samples, true}), athanor::Data(Patterns{24, false}));
    const Tree state = trainer.save_state();
    const std::filesystem::path final = std::filesystem::path(run) / "final";
    std::filesystem::remove_all(final);
    athanor::write_checkpoint(final, state, Tree::Dictionary{}, athanor::trainer_tensor_files());
    return 0;
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
