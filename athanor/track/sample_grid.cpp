// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/sample_grid.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/stack.h>

#include <algorithm>
#include <numeric>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"
#include "athanor/track/tiles.hpp"

namespace athanor {
namespace {

constexpr int64_t usual_count = 16;
constexpr const char* in_grid = "sample_grid";

int64_t shown_count(const SampleGridOptions& options, int64_t there, const char* of) {
  const int64_t count = options.count.value_or(std::min(usual_count, there));
  if (count < 1 || count > there) {
    throw Error({.what = "so many samples can't be shown",
                 .where = "SampleGridOptions::count",
                 .got = std::to_string(count),
                 .expected = "1 to " + std::to_string(there) + ", " + of});
  }
  return count;
}

std::string class_name(int64_t number, const std::vector<std::string>& names) {
  if (names.empty()) return std::to_string(number);
  if (number < 0 || number >= static_cast<int64_t>(names.size())) {
    throw Error({.what = "a class has no name",
                 .where = "SampleGridOptions::names",
                 .got = "class " + std::to_string(number) + ", and " + std::to_string(names.size()) + " names",
                 .expected = "a name for each class, from 0 on"});
  }
  return names[static_cast<size_t>(number)];
}

/// One number for each image.
at::Tensor numbers_of_images(const at::Tensor& values, int64_t images, const char* what) {
  const bool fits = values.dim() > 0 && values.size(0) == images && values.numel() == images;
  if (!fits) {
    throw Error({.what = std::string("the ") + what + " are not one for each image",
                 .where = in_grid,
                 .got = describe(values),
                 .expected = "(" + std::to_string(images) + ")"});
  }
  return values.detach().to(at::kCPU).flatten();
}

struct Prediction {
  int64_t number = 0;
  std::optional<double> probability = {};
};

std::vector<Prediction> read_predictions(const at::Tensor& given, int64_t images, bool from_logits) {
  std::vector<Prediction> read;
  if (!given.defined()) return read;
  if (!given.is_floating_point()) {
    const at::Tensor classes = numbers_of_images(given, images, "predictions").to(at::kLong);
    for (int64_t i = 0; i < images; ++i) read.push_back({classes[i].item<int64_t>()});
    return read;
  }
  if (given.dim() != 2 || given.size(0) != images || given.size(1) < 2) {
    throw Error({.what = "the predictions are not those of the images",
                 .where = "SampleGridOptions::predictions",
                 .got = describe(given),
                 .expected = "classes, int64 (" + std::to_string(images) + "), or scores, floating (" +
                             std::to_string(images) + ", classes)"});
  }
  const at::Tensor scores = given.detach().to(at::kCPU, at::kDouble);
  const at::Tensor shares = from_logits ? at::softmax(scores, 1) : scores;
  const auto [greatest, number] = shares.max(1);
  for (int64_t i = 0; i < images; ++i) read.push_back({number[i].item<int64_t>(), greatest[i].item<double>()});
  return read;
}

draw::TileLook look_of(const SampleGridOptions& options, std::string summary) {
  return {.title = options.title,
          .summary = std::move(summary),
          .columns = options.columns,
          .size = static_cast<double>(options.tile),
          .theme = options.theme};
}

draw::ImageReading reading_of(const SampleGridOptions& options, std::vector<int64_t> numbers) {
  return {.mean = options.mean,
          .deviation = options.deviation,
          .range = options.range,
          .mark_non_finite = options.mark_non_finite,
          .where = in_grid,
          .numbers = std::move(numbers)};
}

std::string joined(const std::string& first, const std::string& second) {
  return first.empty() || second.empty() ? first + second : first + " · " + second;
}

/// The grid; `notes` go below the titles, and are empty or one for each image.
Figure draw_grid(const at::Tensor& images, const at::Tensor& target, const SampleGridOptions& options,
                 const std::vector<int64_t>& numbers, const std::vector<std::string>& notes,
                 const std::string& summary) {
  draw::ReadImages read = draw::read_images(images, reading_of(options, numbers));
  const auto count = static_cast<int64_t>(read.pixels.size());
  if (!options.titles.empty() && static_cast<int64_t>(options.titles.size()) != count) {
    throw Error({.what = "the titles are not one for each image",
                 .where = "SampleGridOptions::titles",
                 .got = std::to_string(options.titles.size()) + " titles",
                 .expected = std::to_string(count)});
  }
  const at::Tensor targets = target.defined() ? numbers_of_images(target, count, "targets") : at::Tensor();
  const bool classes = targets.defined() && !targets.is_floating_point();
  const std::vector<Prediction> predictions = read_predictions(options.predictions, count, options.from_logits);
  std::vector<draw::Tile> tiles;
  int64_t right = 0;
  for (int64_t i = 0; i < count; ++i) {
    const auto at = static_cast<size_t>(i);
    draw::Tile tile{.pixels = read.pixels[at]};
    std::string truth;
    if (targets.defined()) {
      truth =
          classes ? class_name(targets[i].item<int64_t>(), options.names) : format_number(targets[i].item<double>());
    }
    if (predictions.empty()) {
      tile.title = truth;
    } else {
      const Prediction& said = predictions[at];
      tile.title = class_name(said.number, options.names);
      if (said.probability) tile.title += " " + format_number(*said.probability, 2);
      tile.wrong = classes && said.number != targets[i].item<int64_t>();
      right += classes && !tile.wrong;
      if (!truth.empty()) tile.note = "is " + truth;
    }
    if (!options.titles.empty()) tile.title = options.titles[at];
    if (!notes.empty()) tile.note = joined(tile.note, notes[at]);
    tiles.push_back(std::move(tile));
  }
  std::string said = summary;
  if (!predictions.empty() && classes) {
    said = joined(said, std::to_string(right) + " of " + std::to_string(count) + " right");
  }
  return draw::tile_figure(tiles, look_of(options, joined(said, read.remark)));
}

}  // namespace

Figure sample_grid(const at::Tensor& images, const SampleGridOptions& options, const at::Tensor& target) {
  const at::NoGradGuard no_grad;
  const std::string count = images.defined() && images.dim() > 0 ? std::to_string(images.size(0)) + " images" : "";
  return draw_grid(images, target, options, {}, {}, count);
}

Figure sample_grid(const Dataset& data, const SampleGridOptions& options) {
  const at::NoGradGuard no_grad;
  std::vector<int64_t> indices = options.indices;
  if (indices.empty()) {
    indices.resize(static_cast<size_t>(shown_count(options, data.size(), "the samples of the data")));
    std::iota(indices.begin(), indices.end(), 0);
  }
  for (const int64_t index : indices) {
    if (index >= 0 && index < data.size()) continue;
    throw Error({.what = "there is no such sample",
                 .where = "SampleGridOptions::indices",
                 .got = std::to_string(index),
                 .expected = "0 to " + std::to_string(data.size() - 1)});
  }
  Batch batch;
  data.batch(indices, SampleRandom{}, batch);
  std::vector<std::string> notes;
  if (!options.indices.empty()) {
    for (const int64_t index : indices) notes.push_back("sample " + std::to_string(index));
  }
  const at::Tensor target = batch.target.first_tensor();
  const bool one_each = target.defined() && target.dim() > 0 && target.numel() == target.size(0);
  return draw_grid(batch.input.first_tensor(), one_each ? target : at::Tensor(), options, indices, notes,
                   std::to_string(indices.size()) + " of " + std::to_string(data.size()) + " samples");
}

Figure sample_grid(const SampleRanking& ranking, const SampleGridOptions& options) {
  const at::NoGradGuard no_grad;
  const auto& kept = options.worst ? ranking.worst : ranking.best;
  const auto count = static_cast<size_t>(
      shown_count(options, static_cast<int64_t>(kept.size()), "the samples that the ranking keeps"));
  std::vector<at::Tensor> images, targets, predictions;
  std::vector<int64_t> numbers;
  std::vector<std::string> notes;
  for (size_t i = 0; i < count; ++i) {
    const RankedSample& sample = kept[i];
    images.push_back(sample.input.first_tensor());
    if (!images.back().defined() || images.back().sizes() != images.front().sizes()) {
      throw Error({.what = "the ranked samples have no images of one shape",
                   .where = std::string(in_grid) + ", sample " + std::to_string(sample.index),
                   .got = describe(images.back()),
                   .expected = describe(images.front()),
                   .todo = "draw them one after another"});
    }
    const at::Tensor target = sample.target.first_tensor(), prediction = sample.prediction.first_tensor();
    if (target.defined() && target.numel() == 1) targets.push_back(target.reshape({}));
    if (prediction.defined() && prediction.dim() == 1 && prediction.numel() > 1) predictions.push_back(prediction);
    numbers.push_back(sample.index);
    notes.push_back("#" + std::to_string(sample.index) + " " + format_number(sample.value, 3));
  }
  SampleGridOptions own = options;
  const bool scored = predictions.size() == count && predictions.front().is_floating_point();
  own.predictions = scored ? at::stack(predictions) : at::Tensor();
  const at::Tensor target = targets.size() == count ? at::stack(targets) : at::Tensor();
  std::string summary = std::string(options.worst ? "the worst " : "the best ") + std::to_string(count) + " of " +
                        std::to_string(ranking.samples) + " samples";
  if (ranking.epoch > 0) summary += ", epoch " + std::to_string(ranking.epoch);
  if (ranking.not_a_number > 0) summary += " · the value of " + std::to_string(ranking.not_a_number) + " is NaN";
  return draw_grid(at::stack(images), target, own, numbers, notes, summary);
}

}  // namespace athanor
