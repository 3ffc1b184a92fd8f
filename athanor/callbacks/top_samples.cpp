// SPDX-License-Identifier: Apache-2.0
#include "athanor/callbacks/top_samples.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <tuple>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"

namespace athanor {
namespace {

constexpr int64_t largest_recorded_picture = int64_t{3} * 512 * 512;
constexpr size_t most_recorded_pictures = 16;

enum class PassMoment { none, begin, batch, end, update_end };

struct PassPlace {
  PassMoment moment = PassMoment::none;
  Stage stage = Stage::train;
};

std::string where_ranked(Stage stage, std::string_view loader) {
  return std::string("TopSamples, ") + stage_name(stage) +
         (loader.empty() || loader == stage_name(stage) ? std::string() : " of '" + std::string(loader) + "'");
}

/// The first tensor of an input when it is a picture (C, H, W), from black at its minimum to white at its maximum.
at::Tensor picture_of(const Tree& input) {
  if (!input.is_tensor()) return {};
  const at::Tensor& pixels = input.tensor();
  const bool is_picture = pixels.dim() == 3 && (pixels.size(0) == 1 || pixels.size(0) == 3) && pixels.size(1) > 3 &&
                          pixels.size(2) > 3 && pixels.numel() <= largest_recorded_picture;
  if (!is_picture || !(pixels.is_floating_point() || pixels.scalar_type() == at::kByte)) return {};
  if (pixels.scalar_type() == at::kByte) return pixels;
  const double low = pixels.min().item<double>();
  const double high = pixels.max().item<double>();
  return (pixels - low) / (high > low ? high - low : 1.0);
}

PassPlace pass_place(Moment moment) noexcept {
  switch (moment) {
    case Moment::epoch_begin:
      return {PassMoment::begin, Stage::train};
    case Moment::forward_end:
      return {PassMoment::batch, Stage::train};
    case Moment::train_batch_end:
      return {PassMoment::update_end, Stage::train};
    case Moment::epoch_end:
      return {PassMoment::end, Stage::train};
    case Moment::validation_begin:
      return {PassMoment::begin, Stage::validation};
    case Moment::validation_batch_end:
      return {PassMoment::batch, Stage::validation};
    case Moment::validation_end:
      return {PassMoment::end, Stage::validation};
    case Moment::test_begin:
      return {PassMoment::begin, Stage::test};
    case Moment::test_batch_end:
      return {PassMoment::batch, Stage::test};
    case Moment::test_end:
      return {PassMoment::end, Stage::test};
    case Moment::predict_begin:
      return {PassMoment::begin, Stage::predict};
    case Moment::predict_batch_end:
      return {PassMoment::batch, Stage::predict};
    case Moment::predict_end:
      return {PassMoment::end, Stage::predict};
    default:
      return {};
  }
}

/// A sample that is kept already, or a row of the batch.
struct RankingCandidate {
  double value;
  int32_t part;
  int64_t index;
  int64_t place;  // in the list
  int64_t row;    // in the batch; -1: it is in the list
};

bool ranks_before(const RankingCandidate& a, const RankingCandidate& b, bool small_first, bool nan_first) {
  const bool a_nan = std::isnan(a.value);
  const bool b_nan = std::isnan(b.value);
  if (a_nan != b_nan) return a_nan == nan_first;
  if (!a_nan && a.value != b.value) return (a.value < b.value) == small_first;
  return std::tie(a.part, a.index) < std::tie(b.part, b.index);
}

Tree ranked_row(const Tree& tree, int64_t row, int64_t rows) {
  return tree.map([&](const at::Tensor& tensor) {
    if (!tensor.defined()) return tensor;
    const bool of_samples = tensor.dim() > 0 && tensor.size(0) == rows;
    const at::Tensor own = (of_samples ? tensor.select(0, row) : tensor).detach();
    return own.is_cpu() ? own.clone() : own.to(at::kCPU);
  });
}

void check_ranking_values(const at::Tensor& values, const Batch& batch) {
  const bool numbered = batch.indices.defined();
  const bool fits = values.defined() && numbered && values.dim() == 1 && values.size(0) == batch.indices.numel();
  if (fits) return;
  if (!numbered) {
    throw Error({.what = "samples can't be ranked without their indices",
                 .where = "TopSamples",
                 .got = "a batch with undefined `indices`",
                 .expected = "int64 (N)",
                 .todo = "set Batch::indices in the source that makes the batches"});
  }
  throw Error({.what = "the value that ranks samples is not one number for each of them",
               .where = "TopSamples",
               .got = describe(values),
               .expected = "(" + std::to_string(batch.indices.numel()) + ")",
               .todo = "leave the reduction over the batch out, or give a loss with by_element()"});
}

Tree ranked_tree(const std::vector<RankedSample>& samples) {
  const auto copy = [](const at::Tensor& tensor) { return tensor.defined() ? tensor.clone() : tensor; };
  Tree::List list;
  for (const RankedSample& sample : samples) {
    list.emplace_back(Tree::Dictionary{{"index", sample.index},
                                       {"part", static_cast<int64_t>(sample.part)},
                                       {"value", sample.value},
                                       {"input", sample.input.map(copy)},
                                       {"prediction", sample.prediction.map(copy)},
                                       {"target", sample.target.map(copy)}});
  }
  return Tree(std::move(list));
}

std::vector<RankedSample> ranked_samples(const Tree& tree) {
  const auto copy = [](const at::Tensor& tensor) { return tensor.defined() ? tensor.clone() : tensor; };
  std::vector<RankedSample> samples;
  for (const Tree& each : tree.items()) {
    samples.push_back({.index = each["index"].integer(),
                       .part = static_cast<int32_t>(each["part"].integer()),
                       .value = each["value"].real(),
                       .input = each["input"].map(copy),
                       .prediction = each["prediction"].map(copy),
                       .target = each["target"].map(copy)});
  }
  return samples;
}

}  // namespace

TopSamples::TopSamples(Value value, TopSamplesOptions options)
    : value_(std::move(value)), options_(std::move(options)) {
  if (!value_) throw Error({.what = "there is no value to rank samples by", .where = "TopSamples"});
  if (options_.k < 1) {
    throw Error({.what = "no samples are to be kept",
                 .where = "TopSamplesOptions::k",
                 .got = std::to_string(options_.k),
                 .expected = "1 or more"});
  }
  if (options_.stages.empty()) {
    throw Error({.what = "no passes are to be looked at",
                 .where = "TopSamplesOptions::stages",
                 .expected = "one or more of Stage::train, validation, test, predict"});
  }
  if (options_.better == Direction::unknown) {
    throw Error({.what = "it is not said which samples are the best",
                 .where = "TopSamplesOptions::better",
                 .expected = "Direction::down for a loss, Direction::up where large values are good"});
  }
}

TopSamples::Value TopSamples::per_sample(ByElement by_element) {
  return [by_element = std::move(by_element)](const Batch& batch, const StepOutput& output) {
    const Tree& target = output.target.empty() ? batch.target : output.target;
    at::Tensor elements = by_element(output.predictions.first_tensor(), target.first_tensor());
    return elements.dim() > 1 ? elements.flatten(1).mean(1) : elements;
  };
}

bool TopSamples::looks_at(Stage stage) const noexcept {
  return std::find(options_.stages.begin(), options_.stages.end(), stage) != options_.stages.end();
}

bool TopSamples::watches(Moment moment) const noexcept {
  if (moment == Moment::fit_begin) return true;
  const PassPlace place = pass_place(moment);
  return place.moment != PassMoment::none && looks_at(place.stage);
}

const TopSamples::RankedPass* TopSamples::find(Stage stage, std::string_view loader) const {
  for (const RankedPass& pass : passes_) {
    if (pass.stage == stage && (loader.empty() || pass.loader == loader)) return &pass;
  }
  return nullptr;
}

const SampleRanking& TopSamples::ranking(Stage stage, std::string_view loader) const {
  if (const RankedPass* pass = find(stage, loader)) return pass->ranking;
  std::vector<std::string> known;
  for (const RankedPass& pass : passes_) known.push_back(stage_name(pass.stage) + (" of '" + pass.loader + "'"));
  throw Error({.what = "no samples were ranked in such a pass",
               .where = "TopSamples::ranking",
               .got = stage_name(stage) + (loader.empty() ? std::string() : " of '" + std::string(loader) + "'"),
               .expected = known.empty() ? "a pass before it" : "one of " + join(known, ", "),
               .todo = looks_at(stage) ? "" : "add the stage to TopSamplesOptions::stages"});
}

const SampleRanking& TopSamples::ranking() const {
  for (const Stage stage : options_.stages) {
    if (const RankedPass* pass = find(stage, {})) return pass->ranking;
  }
  return ranking(options_.stages.front());
}

SampleRanking& TopSamples::begin(Stage stage, std::string_view loader, int64_t epoch) {
  for (RankedPass& pass : passes_) {
    if (pass.stage != stage || pass.loader != loader) continue;
    pass.ranking = {.epoch = epoch};
    return pass.ranking;
  }
  return passes_.emplace_back(RankedPass{stage, std::string(loader), {.epoch = epoch}}).ranking;
}

/// Its begin was not told when a run goes on within an epoch.
SampleRanking& TopSamples::running(Stage stage, std::string_view loader, int64_t epoch) {
  for (RankedPass& pass : passes_) {
    if (pass.stage == stage && pass.loader == loader) return pass.ranking;
  }
  return begin(stage, loader, epoch);
}

void TopSamples::require_enough(std::optional<int64_t> samples, Stage stage, std::string_view loader) const {
  if (!samples || *samples >= options_.k) return;
  throw Error({.what = "more samples are to be kept than there are",
               .where = where_ranked(stage, loader),
               .got = ".k = " + std::to_string(options_.k),
               .expected = "at most " + std::to_string(*samples) + ", the samples of the data",
               .todo = "make k smaller"});
}

void TopSamples::on(Trainer& trainer, MomentInfo& info) {
  if (info.moment == Moment::fit_begin) {
    for (const Stage stage : options_.stages) {
      if (stage == Stage::train || stage == Stage::validation) require_enough(trainer.samples(stage), stage, {});
    }
    return;
  }
  const auto [moment, stage] = pass_place(info.moment);
  // A training batch may come from one part of a combined loader; the epoch is one pass.
  const std::string_view loader = stage == Stage::train ? std::string_view() : info.loader;
  switch (moment) {
    case PassMoment::begin:
      if (stage == Stage::test || stage == Stage::predict) require_enough(trainer.samples(stage), stage, loader);
      begin(stage, loader, stage == Stage::train || stage == Stage::validation ? trainer.position().epoch : 0);
      once_.end_update();
      return;
    case PassMoment::update_end:
      once_.end_update();
      return;
    case PassMoment::end:
      if (const RankedPass* pass = find(stage, loader)) {
        if (stage != Stage::train || trainer.position().epoch_done) conclude(*pass, trainer);
      }
      return;
    case PassMoment::batch:
      if (stage == Stage::train && !once_.counts(*info.batch)) return;
      take(running(stage, loader, trainer.position().epoch), *info.batch, *info.output);
      return;
    case PassMoment::none:
      return;
  }
}

void TopSamples::take(SampleRanking& ranking, const Batch& batch, const StepOutput& output) const {
  const at::NoGradGuard no_grad;
  const at::Tensor given = value_(batch, output);
  check_ranking_values(given, batch);
  const at::Tensor values = given.detach().to(at::kCPU, at::kDouble).contiguous();
  const double* value = values.const_data_ptr<double>();
  const int64_t* index = batch.indices.const_data_ptr<int64_t>();
  const int64_t rows = values.numel();
  ranking.samples += rows;
  ranking.not_a_number += std::count_if(value, value + rows, [](double each) { return std::isnan(each); });
  const Tree& target = output.target.empty() ? batch.target : output.target;
  const auto keep = [&](std::vector<RankedSample>& list, bool small_first, bool nan_first) {
    const auto before = [&](const RankingCandidate& a, const RankingCandidate& b) {
      return ranks_before(a, b, small_first, nan_first);
    };
    const auto k = static_cast<size_t>(options_.k);
    std::vector<RankingCandidate> candidates;
    for (size_t i = 0; i < list.size(); ++i) {
      candidates.push_back({list[i].value, list[i].part, list[i].index, static_cast<int64_t>(i), -1});
    }
    const size_t kept = candidates.size();
    for (int64_t row = 0; row < rows; ++row) {
      const RankingCandidate candidate{value[row], batch.part, index[row], -1, row};
      if (kept == k && !before(candidate, candidates[kept - 1])) continue;
      candidates.push_back(candidate);
    }
    if (candidates.size() == kept) return;
    std::stable_sort(candidates.begin(), candidates.end(), before);
    candidates.resize(std::min(candidates.size(), k));
    std::vector<RankedSample> next;
    for (const RankingCandidate& each : candidates) {
      if (each.row < 0) {
        next.push_back(std::move(list[static_cast<size_t>(each.place)]));
      } else {
        next.push_back({.index = each.index,
                        .part = each.part,
                        .value = each.value,
                        .input = ranked_row(batch.input, each.row, rows),
                        .prediction = ranked_row(output.predictions, each.row, rows),
                        .target = ranked_row(target, each.row, rows)});
      }
    }
    list = std::move(next);
  };
  const bool down = options_.better == Direction::down;
  keep(ranking.best, down, /*nan_first=*/false);
  keep(ranking.worst, !down, /*nan_first=*/true);
}

void TopSamples::conclude(const RankedPass& pass, Trainer& trainer) const {
  const SampleRanking& ranking = pass.ranking;
  require_enough(ranking.samples, pass.stage, pass.loader);
  if (pass.stage == Stage::validation) {
    for (size_t i = 0; i < std::min(ranking.worst.size(), most_recorded_pictures); ++i) {
      const at::Tensor pixels = picture_of(ranking.worst[i].input);
      if (pixels.defined()) trainer.record("worst/" + std::to_string(i + 1), events::Image{pixels});
    }
  }
  if (ranking.not_a_number == 0) return;
  std::vector<std::string> first;
  for (const RankedSample& sample : ranking.worst) {
    if (std::isnan(sample.value) && first.size() < 5) first.push_back(std::to_string(sample.index));
  }
  trainer.message(where_ranked(pass.stage, pass.loader) + ": the value of " + std::to_string(ranking.not_a_number) +
                      " of " + std::to_string(ranking.samples) + " samples is NaN and counts as worst; samples " +
                      join(first, ", ") + (ranking.not_a_number > static_cast<int64_t>(first.size()) ? ", …" : ""),
                  events::Message::Level::warning);
}

void TopSamples::state(State& state) {
  Tree passes = Tree::List{};
  if (state.saving()) {
    for (const RankedPass& pass : passes_) {
      passes.items().emplace_back(Tree::Dictionary{{"stage", static_cast<int64_t>(pass.stage)},
                                                   {"loader", pass.loader},
                                                   {"epoch", pass.ranking.epoch},
                                                   {"samples", pass.ranking.samples},
                                                   {"not_a_number", pass.ranking.not_a_number},
                                                   {"best", ranked_tree(pass.ranking.best)},
                                                   {"worst", ranked_tree(pass.ranking.worst)}});
    }
  }
  state.value("passes", passes);
  if (!state.loading()) return;
  passes_.clear();
  for (const Tree& each : passes.items()) {
    passes_.push_back({static_cast<Stage>(each["stage"].integer()),
                       each["loader"].text(),
                       {.best = ranked_samples(each["best"]),
                        .worst = ranked_samples(each["worst"]),
                        .epoch = each["epoch"].integer(),
                        .samples = each["samples"].integer(),
                        .not_a_number = each["not_a_number"].integer()}});
  }
}

}  // namespace athanor
