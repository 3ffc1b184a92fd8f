// SPDX-License-Identifier: Apache-2.0
#include "athanor/callbacks/weight_soup.hpp"

#include <torch/torch.h>

#include <algorithm>
#include <map>

#include "athanor/callbacks/batch_norm.hpp"
#include "athanor/core/error.hpp"

namespace athanor {

WeightSoup::WeightSoup(WeightSoupOptions options) : options_(options) {
  if (options_.last >= 1) return;
  throw Error({.what = "a soup of nothing",
               .where = "WeightSoupOptions::last",
               .got = std::to_string(options_.last),
               .expected = "1 or more"});
}

void WeightSoup::on_check(Trainer& trainer) {
  Tree weights;
  if (static_cast<int64_t>(kept_.size()) == options_.last) {  // its memory is used again
    weights = std::move(kept_.front());
    kept_.erase(kept_.begin());
  }
  NetsState nets(trainer.task().nets());
  save_state(nets, weights);
  kept_.push_back(std::move(weights));
}

void WeightSoup::on_fit_end(Trainer& trainer) {
  if (kept_.empty()) return;
  const torch::NoGradGuard no_grad;
  std::map<std::string, bool> is_parameter;
  const Nets& nets = trainer.task().nets();
  for (const NamedNet& net : nets) {
    const std::string prefix = nets.size() == 1 ? "" : net.name + ".";
    for (const auto& item : net.module->named_parameters()) is_parameter[prefix + item.key()] = true;
  }
  for (auto& [name, tensor] : named_tensors(nets)) {
    if (!is_parameter[name] && (options_.buffers != AveragedBuffers::averaged || !tensor.is_floating_point())) continue;
    torch::Tensor sum;
    for (const Tree& weights : kept_) {
      const torch::Tensor term = weights[name].tensor().to(torch::kDouble);
      sum = sum.defined() ? sum + term : term;
    }
    tensor.copy_(sum / static_cast<double>(kept_.size()));
  }
  if (options_.buffers == AveragedBuffers::refreshed) refresh_batch_norm(trainer, options_.refresh_batches);
  trainer.message("the weights are the mean of those of the last " + std::to_string(kept_.size()) +
                  (kept_.size() == 1 ? " check" : " checks"));
}

void WeightSoup::state(State& state) {
  const auto copy = [](const at::Tensor& tensor) { return tensor.clone(); };
  Tree list = Tree::List{};
  for (const Tree& weights : kept_) {
    if (state.saving()) list.items().push_back(weights.map(copy));
  }
  state.value("kept", list);
  if (!state.loading()) return;
  kept_.clear();
  for (const Tree& weights : list.items()) kept_.push_back(weights.map(copy));
}

}  // namespace athanor
