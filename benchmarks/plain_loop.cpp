// SPDX-License-Identifier: Apache-2.0
//
// Side (a): the loop that a LibTorch user writes by hand after the C++ front-end tutorial. A permutation each epoch and
// `index_select` for a batch, `torch::optim::Adam`, `item()` each step for the running mean, the allocator as it comes.
#include "common.hpp"

namespace {

struct Evaluation {
  double loss, accuracy;
};

Evaluation evaluate(torch::nn::Sequential& net, const benchmarks::Split& split, const benchmarks::Options& options) {
  torch::NoGradGuard no_grad;
  net->eval();
  double loss_sum = 0;
  int64_t correct = 0, seen = 0;
  const int64_t batches = benchmarks::batches_per_pass(split.images.size(0), options);
  for (int64_t i = 0; i < batches; ++i) {
    const int64_t begin = i * options.batch;
    const int64_t end = std::min(begin + options.batch, split.images.size(0));
    torch::Tensor images = split.images.slice(0, begin, end);
    torch::Tensor labels = split.labels.slice(0, begin, end);
    torch::Tensor output = net->forward(images);
    loss_sum += torch::nn::functional::cross_entropy(output, labels).item<double>() * static_cast<double>(end - begin);
    correct += output.argmax(1).eq(labels).sum().item<int64_t>();
    seen += end - begin;
  }
  return {loss_sum / static_cast<double>(seen), static_cast<double>(correct) / static_cast<double>(seen)};
}

benchmarks::Result train(const benchmarks::Options& options) {
  const benchmarks::Data data = benchmarks::read_data(options);
  torch::nn::Sequential net = benchmarks::make_net(options);
  torch::optim::Adam optimizer(net->parameters(), torch::optim::AdamOptions(1e-3));
  benchmarks::Result result;
  benchmarks::reset_peak_memory();

  const benchmarks::Stopwatch total;
  const int64_t samples = data.train.images.size(0);
  const int64_t batches = benchmarks::batches_per_pass(samples, options);
  for (int64_t epoch = 1; epoch <= options.epochs; ++epoch) {
    const benchmarks::Stopwatch training;
    net->train();
    double loss_sum = 0;
    int64_t seen = 0;
    torch::Tensor order = torch::randperm(samples);
    for (int64_t i = 0; i < batches; ++i) {
      const int64_t begin = i * options.batch;
      const int64_t end = std::min(begin + options.batch, samples);
      torch::Tensor indices = order.slice(0, begin, end);
      torch::Tensor images = data.train.images.index_select(0, indices);
      torch::Tensor labels = data.train.labels.index_select(0, indices);
      optimizer.zero_grad();
      torch::Tensor loss = torch::nn::functional::cross_entropy(net->forward(images), labels);
      loss.backward();
      optimizer.step();
      loss_sum += loss.item<double>() * static_cast<double>(end - begin);
      seen += end - begin;
      ++result.steps;
    }
    result.train_loss = loss_sum / static_cast<double>(seen);
    result.train_seconds += training.seconds();

    const benchmarks::Stopwatch validation;
    const Evaluation evaluation = evaluate(net, data.test, options);
    result.val_loss = evaluation.loss;
    result.val_acc = evaluation.accuracy;
    result.validation_seconds += validation.seconds();
    std::printf("epoch %lld train_loss=%.4f val_loss=%.4f val_acc=%.4f\n", static_cast<long long>(epoch),
                result.train_loss, result.val_loss, result.val_acc);
    std::fflush(stdout);
  }
  result.total_seconds = total.seconds();
  return result;
}

}  // namespace

int main(int argument_count, char** arguments) { return benchmarks::run_side(argument_count, arguments, train); }
