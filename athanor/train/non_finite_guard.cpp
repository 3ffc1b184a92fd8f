// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/non_finite_guard.hpp"

#include <algorithm>
#include <array>

#include "athanor/train/trainer.hpp"
#include "athanor/train/update.hpp"

namespace athanor {
namespace {

constexpr size_t notes_between_reads = 50;

std::string describe_samples(const std::vector<at::Tensor>& indices) {
  constexpr int64_t shown = 8;
  int64_t all = 0;
  std::string text;
  for (const at::Tensor& some : indices) {
    if (!some.defined()) continue;
    for (int64_t i = 0; i < some.numel(); ++i, ++all) {
      if (all < shown) text += (all > 0 ? ", " : "") + std::to_string(some.const_data_ptr<int64_t>()[i]);
    }
  }
  if (all == 0) return {};
  return (all == 1 ? ", sample " : ", samples ") + text + (all > shown ? ", …" : "");
}

}  // namespace

std::span<const std::pair<const char*, NonFinite>> enum_names(NonFinite) noexcept {
  static constexpr std::array names = {std::pair{"stop", NonFinite::stop}, std::pair{"skip", NonFinite::skip},
                                       std::pair{"roll_back", NonFinite::roll_back},
                                       std::pair{"ignore", NonFinite::ignore}};
  return names;
}

void NonFiniteGuard::reset() {
  notes_.clear();
  left_out_.clear();
  found_ = 0;
  good_ = {};
  kept_ = {};
}

void NonFiniteGuard::keep() {
  if (options_.policy != NonFinite::roll_back) return;
  within_ = true;
  trainer_.save_state(good_);
  within_ = false;
  kept_ = trainer_.position().elapsed();
}

bool NonFiniteGuard::after_update(const UpdateResult& result, std::span<const Batch> window,
                                  const StepContext& context) {
  if (options_.policy == NonFinite::ignore) return false;
  if (!result.finite || result.not_finite.defined()) {
    Note note{.epoch = context.epoch(),
              .step = context.step() + 1,
              .batch = context.batch(),
              .indices = {},
              .flag = result.not_finite,
              .layer = {}};
    for (const Batch& batch : window) note.indices.push_back(batch.indices);
    if (!result.finite) {
      if (options_.policy == NonFinite::stop) {
        note.layer = trainer_.update_->find_layer({window.begin(), window.end()}, context);
      }
      return react(note);
    }
    notes_.push_back(std::move(note));
    if (notes_.size() >= notes_between_reads && poll()) return true;
  }
  if (options_.policy == NonFinite::roll_back && options_.keep_every.passed(kept_, trainer_.position().elapsed())) {
    if (poll()) return true;
    keep();
  }
  return false;
}

bool NonFiniteGuard::poll() {
  std::vector<Note> notes = std::exchange(notes_, {});
  for (const Note& note : notes) {
    if (note.flag.item<double>() != 0 && react(note)) return true;
  }
  return false;
}

bool NonFiniteGuard::react(const Note& note) {
  found_ += 1;
  const std::string where = "the loss or a gradient is not finite in epoch " + std::to_string(note.epoch) + ", step " +
                            std::to_string(note.step) + describe_samples(note.indices);
  if (options_.policy == NonFinite::stop) {
    trainer_.request_stop(where + (note.layer.empty() ? "" : ", " + note.layer) +
                          "; the weights are those before that step");
    return false;
  }
  if (found_ > options_.at_most) {
    trainer_.request_stop(where + ", for the " + std::to_string(found_) + "th time");
    return false;
  }
  if (options_.policy == NonFinite::skip) {
    trainer_.message(where + "; the step was left out", events::Message::Level::warning);
    return false;
  }
  left_out_.emplace_back(note.epoch, note.batch);
  const auto left_out = left_out_;
  const int64_t found = found_;
  within_ = true;
  trainer_.load_state(trainer_.task(), good_);
  within_ = false;
  left_out_ = left_out;
  found_ = found;
  notes_.clear();
  trainer_.message(where + "; back to step " + std::to_string(trainer_.position().step) + ", without that batch",
                   events::Message::Level::warning);
  return true;
}

bool NonFiniteGuard::leaves_out(int64_t epoch, int64_t batch) const {
  return std::find(left_out_.begin(), left_out_.end(), std::pair{epoch, batch}) != left_out_.end();
}

void NonFiniteGuard::state(State& state) {
  state.value("found", found_);
  if (options_.policy == NonFinite::roll_back && !within_) {
    // Copies, because the next good state is written over the tensors that are here.
    const auto copy = [](const at::Tensor& tensor) { return tensor.clone(); };
    Tree good = state.saving() ? good_.map(copy) : Tree();
    state.value("good", good);
    if (state.loading()) good_ = good.map(copy);
    state.child("kept", kept_);
  }
  Tree list = Tree::List{};
  for (const auto& [epoch, batch] : left_out_) {
    list.items().emplace_back(epoch);
    list.items().emplace_back(batch);
  }
  state.value("left_out", list);
  if (!state.loading()) return;
  left_out_.clear();
  for (size_t i = 0; i + 1 < list.size(); i += 2) left_out_.emplace_back(list[i].integer(), list[i + 1].integer());
}

}  // namespace athanor
