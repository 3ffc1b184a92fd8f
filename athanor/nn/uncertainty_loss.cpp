// SPDX-License-Identifier: Apache-2.0
#include "athanor/nn/uncertainty_loss.hpp"

#include <torch/torch.h>

#include <set>

#include "athanor/core/error.hpp"
#include "athanor/nn/loss_input.hpp"

namespace athanor::loss {
namespace {

const Tree& part_of(const Tree& tree, const std::string& name, size_t place, const char* what) {
  const Tree* found = nullptr;
  if (tree.is_dictionary()) found = tree.find(name);
  if (tree.is_list() && place < tree.size()) found = &tree[place];
  if (found != nullptr) return *found;
  throw Error({.what = "a task is not among the " + std::string(what),
               .where = "loss::UncertaintyWeighted, task " + name,
               .got = tree.describe(),
               .expected = "a dictionary with the names of the tasks, or a list in their order"});
}

Tree in_full_precision(const Tree& tree) {
  return tree.map([](const at::Tensor& tensor) {
    const bool half = tensor.defined() && (tensor.scalar_type() == at::kHalf || tensor.scalar_type() == at::kBFloat16);
    return half ? tensor.to(at::kFloat) : tensor;
  });
}

}  // namespace

struct UncertaintyWeighted::Weights : torch::nn::Module {
  explicit Weights(int64_t tasks) : log_variance(register_parameter("log_variance", torch::zeros({tasks}))) {}
  at::Tensor log_variance;
};

UncertaintyWeighted::UncertaintyWeighted(std::vector<UncertainTask> tasks) : tasks_(std::move(tasks)) {
  std::set<std::string> names;
  for (const UncertainTask& task : tasks_) {
    if (names.insert(task.name).second && task.loss.defined()) continue;
    throw Error({.what = task.loss.defined() ? "two tasks have one name" : "a task has no loss",
                 .where = "loss::UncertaintyWeighted",
                 .got = task.name});
  }
  if (tasks_.empty()) throw Error({.what = "a sum of losses has no task", .where = "loss::UncertaintyWeighted"});
  weights_ = std::make_shared<Weights>(static_cast<int64_t>(tasks_.size()));
}

at::Tensor UncertaintyWeighted::operator()(const Tree& predictions, const Tree& target) const {
  const detail::FullPrecision full;
  at::Tensor sum;
  for (size_t i = 0; i < tasks_.size(); ++i) {
    const UncertainTask& task = tasks_[i];
    const Tree own_predictions = in_full_precision(part_of(predictions, task.name, i, "predictions"));
    const Tree own_target = in_full_precision(part_of(target, task.name, i, "targets"));
    const at::Tensor each = detail::in_full(task.loss(own_predictions, own_target), "loss::UncertaintyWeighted");
    const at::Tensor s = weights_->log_variance[static_cast<int64_t>(i)].to(each.device(), each.scalar_type());
    const at::Tensor weight = task.noise == Noise::gaussian ? (-s).exp() / 2 : (-s).exp();
    const at::Tensor term = weight * each + s / 2;
    sum = sum.defined() ? sum + term : term;
  }
  return sum;
}

const at::Tensor& UncertaintyWeighted::log_variance() const { return weights_->log_variance; }
std::shared_ptr<torch::nn::Module> UncertaintyWeighted::module() const { return weights_; }

}  // namespace athanor::loss
