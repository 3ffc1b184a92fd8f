// SPDX-License-Identifier: Apache-2.0
#include "athanor/callbacks/loss_spikes.hpp"

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cmath>

#include "athanor/core/batch.hpp"
#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"

namespace athanor {
namespace {

double median_of(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

std::string sample_list(const at::Tensor& indices) {
  constexpr int64_t shown = 8;
  if (!indices.defined() || indices.numel() == 0) return {};
  std::vector<std::string> numbers;
  for (int64_t i = 0; i < std::min(shown, indices.numel()); ++i)
    numbers.push_back(std::to_string(indices.const_data_ptr<int64_t>()[i]));
  if (indices.numel() > shown) numbers.emplace_back("…");
  return "; samples " + join(numbers, ", ");
}

}  // namespace

LossSpikes::LossSpikes(LossSpikesOptions options) : options_(options) {
  const auto require = [](bool ok, const char* option, const std::string& got, const char* expected) {
    if (ok) return;
    throw Error({.what = "an option of the search for loss spikes is out of range",
                 .where = std::string("LossSpikesOptions::") + option,
                 .got = got,
                 .expected = expected});
  };
  require(options_.window >= 10, "window", std::to_string(options_.window), "10 or more");
  require(options_.deviations > 0, "deviations", format_number(options_.deviations), "above 0");
  require(options_.read_every.count() > 0, "read_every", options_.read_every.describe(), "above 0");
}

void LossSpikes::on_train_batch_end(Trainer& trainer, MomentInfo& info) {
  const at::Tensor& loss = trainer.last_update().loss;
  if (!loss.defined()) return;
  at::Tensor indices = info.batch != nullptr ? info.batch->indices : at::Tensor();
  if (indices.defined()) indices = indices.clone();  // the loader writes the next batch over them
  waiting_.push_back({loss, indices, trainer.position().epoch, trainer.position().step});
}

void LossSpikes::on_step_end(Trainer& trainer) {
  if (options_.read_every.passed(trainer.elapsed_before_update(), trainer.position().elapsed())) read(trainer);
}

void LossSpikes::read(Trainer& trainer) {
  constexpr size_t least = 10;
  for (const Waiting& each : std::exchange(waiting_, {})) {
    const double loss = each.loss.item<double>();
    if (!std::isfinite(loss)) continue;
    if (window_.size() >= least) {
      const double usual = median_of(window_);
      std::vector<double> distances;
      for (const double other : window_) distances.push_back(std::abs(other - usual));
      const double deviation = 1.4826 * median_of(std::move(distances));
      if (loss - usual > options_.deviations * deviation && loss > usual) {
        spikes_.push_back({each.epoch, each.step, loss, usual, each.indices});
        trainer.message("the loss of step " + std::to_string(each.step) + " in epoch " + std::to_string(each.epoch) +
                            " is " + format_number(loss) + ", where " + format_number(usual) + " is usual" +
                            sample_list(each.indices),
                        events::Message::Level::warning);
      }
    }
    if (window_.size() < static_cast<size_t>(options_.window)) {
      window_.push_back(loss);
    } else {
      window_[next_] = loss;
      next_ = (next_ + 1) % window_.size();
    }
  }
}

void LossSpikes::state(State& state) {
  Tree window = Tree::List{};
  for (const double loss : window_) window.items().emplace_back(loss);
  auto next = static_cast<int64_t>(next_);
  Tree waiting = Tree::List{};
  for (const Waiting& each : waiting_) {
    if (!state.saving()) break;
    waiting.items().push_back(Tree{{"loss", each.loss.clone()},
                                   {"indices", each.indices.defined() ? Tree(each.indices) : Tree()},
                                   {"epoch", each.epoch},
                                   {"step", each.step}});
  }
  state.value("window", window);
  state.value("next", next);
  state.value("waiting", waiting);
  if (!state.loading()) return;
  window_.clear();
  for (const Tree& loss : window.items()) window_.push_back(loss.real());
  next_ = static_cast<size_t>(next);
  waiting_.clear();
  for (const Tree& each : waiting.items()) {
    waiting_.push_back({each["loss"].tensor().clone(),
                        each["indices"].is_tensor() ? each["indices"].tensor().clone() : at::Tensor(),
                        each["epoch"].integer(), each["step"].integer()});
  }
}

}  // namespace athanor
