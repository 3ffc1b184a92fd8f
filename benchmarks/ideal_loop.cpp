// SPDX-License-Identifier: Apache-2.0
//
// Side (b): the loop of somebody who knows LibTorch's prices. A fused step on state that is allocated once, batches
// gathered by index, nothing read back before the epoch ends, gradients set to none, and a heap that keeps its pages.
#include <malloc.h>

#include "common.hpp"

namespace {

// glibc gives large blocks back to the system at every free, and the next step faults their pages in again.
void keep_pages() {
  mallopt(M_MMAP_THRESHOLD, 32 << 20);  // the highest that glibc takes
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, 64 << 20);
}

class FusedAdam {
 public:
  explicit FusedAdam(std::vector<torch::Tensor> parameters) : parameters_(std::move(parameters)) {
    const torch::Tensor step = torch::zeros({}, torch::kFloat32);
    for (const torch::Tensor& parameter : parameters_) {
      averages_.push_back(torch::zeros_like(parameter));
      square_averages_.push_back(torch::zeros_like(parameter));
      steps_.push_back(step);  // all parameters step together, so one counter serves them
    }
    gradients_.resize(parameters_.size());
  }

  void step() {
    torch::NoGradGuard no_grad;
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      gradients_[i] = parameters_[i].grad();
    }
    steps_.front().add_(1);
    at::_fused_adam_(parameters_, gradients_, averages_, square_averages_, {}, steps_, 1e-3, 0.9, 0.999, 0.0, 1e-8,
                     /*amsgrad=*/false, /*maximize=*/false);
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      gradients_[i].reset();
      parameters_[i].mutable_grad().reset();
    }
  }

 private:
  std::vector<torch::Tensor> parameters_, gradients_, averages_, square_averages_, steps_;
};

struct Evaluation {
  double loss, accuracy;
};

Evaluation evaluate(torch::nn::Sequential& net, const benchmarks::Split& split, const benchmarks::Options& options) {
  const c10::InferenceMode inference;
  net->eval();
  torch::Tensor loss_sum = torch::zeros({}), correct = torch::zeros({}, torch::kInt64);
  int64_t seen = 0;
  const int64_t batches = benchmarks::batches_per_pass(split.images.size(0), options);
  for (int64_t i = 0; i < batches; ++i) {
    const int64_t begin = i * options.batch;
    const int64_t count = std::min(options.batch, split.images.size(0) - begin);
    const torch::Tensor labels = split.labels.narrow(0, begin, count);
    const torch::Tensor output = net->forward(split.images.narrow(0, begin, count));
    loss_sum.add_(at::cross_entropy_loss(output, labels), static_cast<double>(count));
    correct.add_(output.argmax(1).eq_(labels).sum());
    seen += count;
  }
  return {loss_sum.item<double>() / static_cast<double>(seen), correct.item<double>() / static_cast<double>(seen)};
}

benchmarks::Result train(const benchmarks::Options& options) {
  const benchmarks::Data data = benchmarks::read_data(options);
  torch::nn::Sequential net = benchmarks::make_net(options);
  FusedAdam optimizer(net->parameters());
  benchmarks::Result result;
  benchmarks::reset_peak_memory();

  const benchmarks::Stopwatch total;
  const int64_t samples = data.train.images.size(0);
  const int64_t batches = benchmarks::batches_per_pass(samples, options);
  for (int64_t epoch = 1; epoch <= options.epochs; ++epoch) {
    const benchmarks::Stopwatch training;
    net->train();
    torch::Tensor loss_sum = torch::zeros({});
    int64_t seen = 0;
    const torch::Tensor order = torch::randperm(samples);
    for (int64_t i = 0; i < batches; ++i) {
      const int64_t begin = i * options.batch;
      const int64_t count = std::min(options.batch, samples - begin);
      const torch::Tensor indices = order.narrow(0, begin, count);
      const torch::Tensor loss = at::cross_entropy_loss(net->forward(data.train.images.index_select(0, indices)),
                                                        data.train.labels.index_select(0, indices));
      loss.backward();
      optimizer.step();
      loss_sum.add_(loss.detach(), static_cast<double>(count));
      seen += count;
      ++result.steps;
    }
    result.train_loss = loss_sum.item<double>() / static_cast<double>(seen);
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

int main(int argument_count, char** arguments) {
  keep_pages();
  return benchmarks::run_side(argument_count, arguments, train);
}
