// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/shown_pass.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>

#include <algorithm>

#include "athanor/core/error.hpp"
#include "athanor/core/file.hpp"
#include "athanor/data/concatenate.hpp"

namespace athanor {

void show_figure(Trainer& trainer, const std::string& name, const Figure& figure, const ShowOptions& options) {
  trainer.record(name, events::Image{figure.pixels(options.scale)});
  if (!options.files || !trainer.folder()) return;
  const std::filesystem::path folder = *trainer.folder() / "figures";
  require_writable_directory(folder);
  std::string file = name;
  std::replace(file.begin(), file.end(), '/', '-');
  write_file_atomically(folder / (file + ".svg"), figure.svg());
}

namespace detail {

void check_shown(const ShowOptions& options, const char* callback) {
  if (options.stage != Stage::validation && options.stage != Stage::test) {
    throw Error({.what = "pictures are shown of validation and test passes only",
                 .where = std::string(callback) + ", ShowOptions::stage",
                 .got = stage_name(options.stage),
                 .expected = "Stage::validation or Stage::test"});
  }
  if (!(options.scale >= 0.1 && options.scale <= 8)) {
    throw Error({.what = "a figure can't be drawn at this scale",
                 .where = std::string(callback) + ", ShowOptions::scale",
                 .got = std::to_string(options.scale),
                 .expected = "0.1 to 8"});
  }
}

ShownMoment shown_moment(Moment moment, Stage stage) noexcept {
  const bool test = stage == Stage::test;
  if (moment == (test ? Moment::test_begin : Moment::validation_begin)) return ShownMoment::begin;
  if (moment == (test ? Moment::test_batch_end : Moment::validation_batch_end)) return ShownMoment::batch;
  if (moment == (test ? Moment::test_end : Moment::validation_end)) return ShownMoment::end;
  return ShownMoment::none;
}

void FirstSamples::take(const Batch& batch, const StepOutput& output, int64_t count) {
  const at::NoGradGuard no_grad;
  const at::Tensor input = batch.input.first_tensor();
  if (taken_ >= count || !input.defined() || input.dim() == 0) return;
  const int64_t rows = input.size(0), wanted = std::min(rows, count - taken_);
  const auto own = [](const at::Tensor& tensor) { return tensor.defined() ? tensor.detach().clone() : tensor; };
  Batch first = batch.slice(0, wanted);
  first.input = first.input.map(own);
  first.target = first.target.map(own);
  batches_.push_back(std::move(first));
  const auto add = [&](std::vector<at::Tensor>& list, const at::Tensor& values) {
    if (!values.defined() || values.dim() == 0 || values.size(0) != rows) return;
    list.push_back(values.detach().slice(0, 0, wanted).clone());
  };
  add(predictions_, output.predictions.first_tensor());
  add(targets_, output.target.empty() ? batch.target.first_tensor() : output.target.first_tensor());
  taken_ += wanted;
}

void FirstSamples::clear() {
  batches_.clear();
  predictions_.clear();
  targets_.clear();
  taken_ = 0;
}

Batch FirstSamples::batch() const { return concatenate_batches(batches_); }

at::Tensor FirstSamples::predictions() const {
  return predictions_.size() == batches_.size() && !batches_.empty() ? at::cat(predictions_) : at::Tensor();
}

at::Tensor FirstSamples::target() const {
  return targets_.size() == batches_.size() && !batches_.empty() ? at::cat(targets_) : at::Tensor();
}

at::Tensor class_numbers(const at::Tensor& target) {
  const bool fits = target.defined() && target.dim() > 0 && target.numel() == target.size(0) &&
                    !target.is_floating_point() && target.scalar_type() != at::kBool;
  return fits ? target.flatten().to(at::kCPU, at::kLong) : at::Tensor();
}

void tell_left_out(Trainer& trainer, const std::string& name, const std::string& why) {
  trainer.message(name + ": no picture, " + why, events::Message::Level::warning);
}

}  // namespace detail
}  // namespace athanor
