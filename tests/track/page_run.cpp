// SPDX-License-Identifier: Apache-2.0
//
// A small training with the live page, for the test in a browser: page_run <run folder> <epochs> <lr> [<port>]
#include <torch/torch.h>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <thread>

#include "athanor/callbacks/checkpoints.hpp"
#include "athanor/callbacks/class_report.hpp"
#include "athanor/callbacks/top_samples.hpp"
#include "athanor/metrics/accuracy.hpp"
#include "athanor/nn/loss.hpp"
#include "athanor/optim/adam.hpp"
#include "athanor/track/dashboard.hpp"
#include "athanor/train/trainer.hpp"

namespace {

/// Pictures of four kinds of stripes, with noise.
athanor::Data stripes(int64_t samples, uint64_t seed) {
  torch::manual_seed(seed);
  const torch::Tensor target = torch::randint(0, 4, {samples});
  const torch::Tensor y = torch::arange(12).view({1, 12, 1});
  const torch::Tensor x = torch::arange(12).view({1, 1, 12});
  const torch::Tensor kind = target.view({-1, 1, 1});
  const torch::Tensor phase = torch::where(
      kind == 0, x + 0 * y, torch::where(kind == 1, y + 0 * x, torch::where(kind == 2, x + y, x - y + 12)));
  const torch::Tensor pixels = phase.remainder(4).lt(2).to(torch::kFloat) + 0.9 * torch::randn({samples, 12, 12});
  return {pixels.unsqueeze(1), target};
}

class Stripes : public athanor::Task {
 public:
  explicit Stripes(double lr) : lr_(lr) {
    torch::manual_seed(1);
    net_ = register_net("net", torch::nn::Sequential(torch::nn::Flatten(), torch::nn::Linear(144, 32),
                                                     torch::nn::ReLU(), torch::nn::Linear(32, 4)));
  }
  athanor::StepOutput training_step(const athanor::Batch& batch, athanor::StepContext&) override {
    const torch::Tensor logits = net_->forward(batch.input.tensor());
    return {torch::cross_entropy_loss(logits, batch.target.tensor()), logits};
  }
  athanor::Optimizers configure_optimizers() override { return athanor::optim::Adam({.lr = lr_}).on(parameters()); }
  athanor::Metrics configure_metrics(athanor::Stage) override { return {athanor::metrics::accuracy()}; }

 private:
  double lr_;
  torch::nn::Sequential net_{nullptr};
};

}  // namespace

int main(int count, char** arguments) {
  if (count < 4) return 2;
  const double lr = std::atof(arguments[3]);
  Stripes task(lr);
  athanor::Trainer trainer(
      {.max_duration = athanor::Duration::epochs(std::atof(arguments[2])),
       .batch_size = 16,
       .clip = athanor::Clip{.norm = 5.0},
       .callbacks =
           {athanor::Checkpoints(),
            athanor::ClassReport({.names = {"vertical", "horizontal", "<b>rising</b>", "falling"}, .show = false}),
            athanor::TopSamples(athanor::loss::cross_entropy, {.k = 8}),
            athanor::every(athanor::Duration::steps(1),
                           [](athanor::Trainer&) { std::this_thread::sleep_for(std::chrono::milliseconds(2)); })},
       .run = arguments[1],
       .log_every = athanor::Duration::steps(2),
       .track = {athanor::track::dashboard({.port = count > 4 ? std::atoi(arguments[4]) : 0})},
       .header = {{"lr", arguments[3]}, {"a <b>name</b> & more", "größe \"x\""}}});
  const athanor::History history = trainer.fit(task, stripes(1600, 1), stripes(400, 2));
  std::cout << "ended: " << history.stop_reason() << std::endl;
  // The page lives on until somebody ends the program, or closes its input.
  std::cin.get();
}
