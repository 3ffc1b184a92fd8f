// SPDX-License-Identifier: Apache-2.0
#include "athanor/callbacks/weight_noise.hpp"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty_like.h>

#include <algorithm>
#include <cmath>

#include "athanor/core/error.hpp"
#include "athanor/core/random.hpp"
#include "athanor/core/text.hpp"

namespace athanor {
namespace {

constexpr uint64_t weight_noise_stream = 0x6e6f697365ull;

/// One of its own, so that the draws of the step stay as they are.
at::Generator generator_for(at::Device device, uint64_t key) {
  if (device.is_cpu()) return at::make_generator<at::CPUGeneratorImpl>(key);
  at::Generator generator =
      at::globalContext().getAcceleratorHooksInterface(device.type()).getNewGenerator(device.index());
  generator.set_current_seed(key);
  return generator;
}

}  // namespace

WeightNoise::WeightNoise(WeightNoiseOptions options) : options_(std::move(options)) {
  if (options_.stddev > 0 && std::isfinite(options_.stddev)) return;
  throw Error({.what = "the noise on weights is out of range",
               .where = "WeightNoiseOptions::stddev",
               .got = shortest(options_.stddev),
               .expected = "above 0"});
}

void WeightNoise::on_fit_begin(Trainer& trainer) {
  take_away();
  if (trainer.task().manual_optimization()) {
    throw Error({.what = "noise on weights does not go with manual optimization",
                 .where = "WeightNoise",
                 .expected = "a task whose steps the trainer makes"});
  }
  parameters_.clear();
  for (const NamedOptimizer& named : trainer.optimizers()) {
    for (const Parameter& parameter : named.optimizer->parameters()) {
      if (matches(options_.pattern, parameter.name)) parameters_.push_back(parameter);
    }
  }
  clean_.assign(parameters_.size(), at::Tensor());
  if (!parameters_.empty()) return;
  throw Error({.what = "the pattern fits no trainable parameter",
               .where = "WeightNoiseOptions::pattern",
               .got = options_.pattern,
               .expected = "a pattern of parameter names, such as *.weight"});
}

void WeightNoise::on_forward_begin(Trainer& trainer, MomentInfo& info) {
  const at::NoGradGuard no_grad;
  take_away();
  const uint64_t key = mix({trainer.options().seed, weight_noise_stream, static_cast<uint64_t>(info.context->step())});
  noisy_ = true;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const at::Tensor weight = parameters_[i].tensor.detach();
    if (!clean_[i].defined()) clean_[i] = at::empty_like(weight);
    clean_[i].copy_(weight);
  }
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const at::Tensor weight = parameters_[i].tensor.detach();
    at::Tensor noise = at::empty_like(weight);
    noise.normal_(0, options_.stddev, generator_for(weight.device(), mix({key, i})));
    if (options_.relative) noise.mul_(weight.square().mean().sqrt());
    weight.add_(noise);
  }
}

void WeightNoise::on_backward_end(Trainer&, MomentInfo&) { take_away(); }
void WeightNoise::on_train_batch_end(Trainer&) { take_away(); }
void WeightNoise::on_exception(Trainer&) { take_away(); }

void WeightNoise::take_away() {
  if (!std::exchange(noisy_, false)) return;
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < parameters_.size(); ++i) parameters_[i].tensor.detach().copy_(clean_[i]);
}

}  // namespace athanor
