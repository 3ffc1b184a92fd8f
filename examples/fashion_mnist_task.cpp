// SPDX-License-Identifier: Apache-2.0
// The same problem as a task: you say what a step is, the trainer says when.
#include <torch/torch.h>

#include <athanor/athanor.hpp>
#include <athanor/options.hpp>
#include <iostream>

using namespace athanor::literals;

struct Classifier : athanor::Task {
  torch::nn::Linear hidden = register_net("hidden", torch::nn::Linear(784, 128));
  torch::nn::Linear output = register_net("output", torch::nn::Linear(128, 10));

  athanor::StepOutput training_step(const athanor::Batch& batch, athanor::StepContext& step) override {
    const torch::Tensor logits = output(torch::relu(hidden(batch.input.tensor().flatten(1))));
    const torch::Tensor probabilities = logits.detach().softmax(1);
    step.log("confidence", std::get<0>(probabilities.max(1)).mean());
    return {torch::nn::functional::cross_entropy(logits, batch.target.tensor()), logits};
  }

  athanor::Optimizers configure_optimizers() override {
    return athanor::optim::AdamW({.lr = 1e-3, .weight_decay = 0.01}).on(parameters());
  }

  athanor::Metrics configure_metrics(athanor::Stage) override {
    return {athanor::metrics::accuracy(), athanor::metrics::f1({.average = athanor::metrics::Average::macro})};
  }
};

int main(int argc, char** argv) {
  athanor::TrainerOptions options{
      .max_duration = 5_epochs, .batch_size = 64, .callbacks = {athanor::KeepBest({.monitor = {.monitor = "val_f1"}})}};
  athanor::set_options_from_command_line(options, argc,
                                         argv);  // --max_duration "2 epochs" --accumulate 4 --clip.norm 1

  const athanor::FashionMnist data = athanor::read_fashion_mnist();
  Classifier task;
  athanor::Trainer trainer(options);
  std::cout << trainer.fit(task, {data.train_images, data.train_labels}, {data.test_images, data.test_labels});
}
