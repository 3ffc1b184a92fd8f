// SPDX-License-Identifier: Apache-2.0
#include "athanor/callbacks/serving_copy.hpp"

#include <torch/torch.h>

#include <algorithm>
#include <map>

#include "athanor/core/error.hpp"
#include "athanor/core/join_numbers.hpp"
#include "athanor/core/text.hpp"
#include "athanor/train/trainer.hpp"

namespace athanor {
namespace {

const NamedNet& served_net(const Nets& nets, const std::string& name) {
  std::vector<std::string> names;
  for (const NamedNet& net : nets) {
    if (net.name == name || (name.empty() && nets.size() == 1)) return net;
    names.push_back(net.name);
  }
  throw Error({.what = name.empty() ? "the task has several nets, and it is not said which is served"
                                    : "the task has no net of that name",
               .where = "ServingCopyOptions::net",
               .got = name,
               .expected = "one of " + join(names, ", ")});
}

/// Dtype and shape, without the device.
std::string form(const at::Tensor& tensor) {
  return dtype_name(tensor.scalar_type()) + " (" + join_numbers(tensor.sizes()) + ")";
}

/// The tensors of `trained` in the order of `copy`.
NamedTensors match(const NamedTensors& trained, const NamedTensors& copy) {
  std::map<std::string, at::Tensor> sources(trained.begin(), trained.end());
  std::vector<std::string> differences;
  NamedTensors matched;
  for (const auto& [name, tensor] : copy) {
    const auto found = sources.find(name);
    if (found == sources.end()) {
      differences.push_back(name + ": only in the serving copy");
      continue;
    }
    if (form(found->second) != form(tensor)) {
      differences.push_back(name + ": " + form(found->second) + " in training, " + form(tensor) +
                            " in the serving copy");
    }
    matched.emplace_back(name, found->second);
    sources.erase(found);
  }
  for (const auto& [name, tensor] : sources) differences.push_back(name + ": only in training");
  if (differences.empty()) return matched;
  constexpr size_t shown = 20;
  const size_t more = differences.size() > shown ? differences.size() - shown : 0;
  differences.resize(differences.size() - more);
  if (more > 0) differences.push_back("and " + std::to_string(more) + " more");
  throw Error({.what = "the serving copy is another net than the one in training",
               .where = "ServingCopy, before the first step",
               .got = join(differences, "\n            "),
               .expected = "the same names, shapes and dtypes",
               .todo = "build both nets with the same code"});
}

}  // namespace

ServingCopy::ServingCopy(std::shared_ptr<torch::nn::Module> net, Forward forward, ServingCopyOptions options)
    : net_(std::move(net)), forward_(std::move(forward)), options_(std::move(options)) {
  if (net_ == nullptr || !forward_) {
    throw Error({.what = "a serving copy needs a net and its forward function", .where = "ServingCopy"});
  }
  if (options_.every.count() <= 0) {
    throw Error({.what = "the interval of a serving copy is empty",
                 .where = "ServingCopyOptions::every",
                 .got = options_.every.describe(),
                 .expected = "more than nothing"});
  }
  net_->eval();
  weights_ = named_tensors({{"net", net_}});
}

std::shared_lock<std::shared_mutex> ServingCopy::newest() {
  std::shared_lock reading(reading_);
  if (stored_ == taken_) return reading;
  reading.unlock();
  {
    const std::unique_lock alone(reading_);
    const std::lock_guard store(store_mutex_);
    if (stored_ != taken_) {
      for (size_t i = 0; i < store_.size(); ++i) weights_[i].second.copy_(store_[i]);
      taken_ = stored_;
      step_ = stored_step_;
    }
  }
  reading.lock();
  return reading;
}

Tree ServingCopy::predict(const Tree& input) {
  const at::NoGradGuard no_grad;
  const auto reading = newest();
  const at::Device device = weights_.empty() ? at::Device(at::kCPU) : weights_.front().second.device();
  return forward_(input.to(device));
}

void ServingCopy::read(const std::function<void(torch::nn::Module&)>& function) {
  const at::NoGradGuard no_grad;
  const auto reading = newest();
  function(*net_);
}

void ServingCopy::hand_over(Trainer& trainer) {
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < source_.size(); ++i) store_[i].copy_(source_[i].second);
  stored_step_ = trainer.position().step;
  ++stored_;
  handed_over_ = trainer.position().elapsed();
}

void ServingCopy::on_fit_begin(Trainer& trainer) {
  const NamedNet& net = served_net(trainer.task().nets(), options_.net);
  if (net.module == net_) {
    throw Error({.what = "the serving copy is the net in training itself",
                 .where = "ServingCopy",
                 .expected = "a second instance",
                 .todo = "build the net once more"});
  }
  source_ = match(named_tensors({net}), weights_);
  const std::lock_guard lock(store_mutex_);
  if (store_.empty()) {
    for (const auto& [name, tensor] : weights_) store_.push_back(at::empty_like(tensor));
  }
  hand_over(trainer);
}

void ServingCopy::on_step_end(Trainer& trainer) {
  if (!options_.every.passed(handed_over_, trainer.position().elapsed())) return;
  const std::unique_lock lock(store_mutex_, std::try_to_lock);
  if (lock.owns_lock()) hand_over(trainer);
}

void ServingCopy::on_fit_end(Trainer& trainer) {
  const std::lock_guard lock(store_mutex_);
  hand_over(trainer);
}

}  // namespace athanor
