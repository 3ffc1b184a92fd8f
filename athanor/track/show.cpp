// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/show.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "athanor/core/error.hpp"
#include "athanor/track/class_figures.hpp"
#include "athanor/track/embedding_figure.hpp"
#include "athanor/track/grad_cam.hpp"
#include "athanor/track/layer_figures.hpp"
#include "athanor/train/layer_capture.hpp"

namespace athanor {
namespace {

using detail::ShownMoment;

template <class T>
void require_shown(const std::shared_ptr<T>& source, const char* callback) {
  if (source == nullptr) throw Error({.what = "there is nothing to show", .where = callback, .got = "a null pointer"});
}

void require_some(int64_t count, const char* where) {
  if (count >= 1) return;
  throw Error(
      {.what = "no samples are to be shown", .where = where, .got = std::to_string(count), .expected = "1 or more"});
}

void require_layer_of(Trainer& trainer, const std::string& layer, const char* callback) {
  require_layer(trainer.task().nets(), layer, std::string(callback) + ", before the first step");
}

std::string of_loader(const char* name, const MomentInfo& info) {
  return std::string(name) + "/" + std::string(info.loader);
}

bool all_finite(const at::Tensor& values) { return values.isfinite().all().item<bool>(); }

bool watches_pass(Moment moment, const ShowOptions& show) noexcept {
  return detail::shown_moment(moment, show.stage) != ShownMoment::none;
}

std::string at_epoch(const Trainer& trainer, const ShowOptions& show) {
  const int64_t epoch = show.stage == Stage::validation ? trainer.position().epoch : 0;
  return epoch > 0 ? ", epoch " + std::to_string(epoch) : "";
}

}  // namespace

// ---- predictions

ShowPredictions::ShowPredictions(ShowPredictionsOptions options) : options_(std::move(options)) {
  detail::check_shown(options_.show, "ShowPredictions");
  options_.grid.count = options_.grid.count.value_or(16);
  require_some(*options_.grid.count, "ShowPredictionsOptions::grid, count");
  options_.grid.indices.clear();
  options_.grid.titles.clear();
  options_.grid.mark_non_finite = true;
  options_.grid.theme = options_.show.theme;
}

bool ShowPredictions::watches(Moment moment) const noexcept { return watches_pass(moment, options_.show); }

void ShowPredictions::on(Trainer& trainer, MomentInfo& info) {
  switch (detail::shown_moment(info.moment, options_.show.stage)) {
    case ShownMoment::begin:
      return samples_.clear();
    case ShownMoment::batch:
      return samples_.take(*info.batch, *info.output, *options_.grid.count);
    case ShownMoment::none:
      return;
    case ShownMoment::end:
      break;
  }
  if (samples_.empty()) return;
  const Batch batch = samples_.batch();
  SampleGridOptions grid = options_.grid;
  const at::Tensor said = samples_.predictions();
  const bool scores = said.defined() && said.is_floating_point() && said.dim() == 2 && said.size(1) > 1;
  grid.predictions = scores ? said : detail::class_numbers(said);
  at::Tensor target = detail::class_numbers(samples_.target());
  const at::Tensor measured = samples_.target();
  if (!target.defined() && measured.defined() && measured.numel() == measured.size(0)) target = measured;
  grid.title += " of " + std::string(info.loader) + at_epoch(trainer, options_.show);
  show_figure(trainer, of_loader("predictions", info), sample_grid(batch.input.first_tensor(), grid, target),
              options_.show);
  samples_.clear();
}

// ---- best and worst

ShowTopSamples::ShowTopSamples(std::shared_ptr<TopSamples> samples, ShowTopSamplesOptions options)
    : samples_(std::move(samples)), options_(std::move(options)) {
  require_shown(samples_, "ShowTopSamples");
  detail::check_shown(options_.show, "ShowTopSamples");
  options_.grid.mark_non_finite = true;
  options_.grid.theme = options_.show.theme;
}

bool ShowTopSamples::watches(Moment moment) const noexcept {
  return detail::shown_moment(moment, options_.show.stage) == ShownMoment::end;
}

void ShowTopSamples::on(Trainer& trainer, MomentInfo& info) {
  const SampleRanking& ranking = samples_->ranking(options_.show.stage, info.loader);
  for (const bool worst : {true, false}) {
    if (!(worst ? options_.worst : options_.best)) continue;
    SampleGridOptions grid = options_.grid;
    grid.worst = worst;
    if (grid.title.empty() || grid.title == SampleGridOptions().title)
      grid.title = worst ? "Worst samples" : "Best samples";
    if (grid.count) {
      grid.count = std::min<int64_t>(*grid.count, static_cast<int64_t>((worst ? ranking.worst : ranking.best).size()));
    }
    show_figure(trainer, of_loader(worst ? "worst" : "best", info), sample_grid(ranking, grid), options_.show);
  }
}

// ---- classes

ShowClasses::ShowClasses(std::shared_ptr<ClassReport> report, ShowClassesOptions options)
    : report_(std::move(report)), options_(options) {
  require_shown(report_, "ShowClasses");
  detail::check_shown(options_.show, "ShowClasses");
}

bool ShowClasses::watches(Moment moment) const noexcept {
  return detail::shown_moment(moment, options_.show.stage) == ShownMoment::end;
}

void ShowClasses::on(Trainer& trainer, MomentInfo& info) {
  const ClassTable& table = report_->table(info.loader);
  const Theme theme = options_.show.theme;
  show_figure(trainer, of_loader("confusion", info),
              confusion_figure(table, {.normalize = options_.normalize, .theme = theme}), options_.show);
  show_figure(trainer, of_loader("classes", info), class_scores_figure(table, {.theme = theme}), options_.show);
  trainer.record(of_loader("classes", info), events::Text{class_markdown(table)});
}

// ---- calibration

ShowCalibration::ShowCalibration(ShowCalibrationOptions options) : options_(options), counts_(options_.reliability) {
  detail::check_shown(options_.show, "ShowCalibration");
}

bool ShowCalibration::watches(Moment moment) const noexcept { return watches_pass(moment, options_.show); }

void ShowCalibration::on(Trainer& trainer, MomentInfo& info) {
  const at::NoGradGuard no_grad;
  switch (detail::shown_moment(info.moment, options_.show.stage)) {
    case ShownMoment::begin:
      counts_.reset();
      not_a_number_ = false;
      return;
    case ShownMoment::batch: {
      const Tree& target = info.output->target.empty() ? info.batch->target : info.output->target;
      const at::Tensor predictions = info.output->predictions.first_tensor();
      not_a_number_ = not_a_number_ || (predictions.defined() && predictions.isnan().any().item<bool>());
      if (!not_a_number_) counts_.update(predictions, target.first_tensor());
      return;
    }
    case ShownMoment::none:
      return;
    case ShownMoment::end:
      break;
  }
  const std::string name = of_loader("calibration", info);
  if (not_a_number_) return detail::tell_left_out(trainer, name, "predictions are NaN");
  if (counts_.empty()) return;
  const std::string title = "Calibration of " + std::string(info.loader) + at_epoch(trainer, options_.show);
  show_figure(trainer, name, reliability_diagram(counts_.compute(), {.title = title, .theme = options_.show.theme}),
              options_.show);
}

// ---- embeddings

ShowEmbeddings::ShowEmbeddings(ShowEmbeddingsOptions options) : options_(std::move(options)) {
  detail::check_shown(options_.show, "ShowEmbeddings");
  require_some(options_.count, "ShowEmbeddingsOptions::count");
}

bool ShowEmbeddings::watches(Moment moment) const noexcept {
  return moment == Moment::fit_begin || watches_pass(moment, options_.show);
}

void ShowEmbeddings::on(Trainer& trainer, MomentInfo& info) {
  if (info.moment == Moment::fit_begin) {
    if (!options_.layer.empty()) require_layer_of(trainer, options_.layer, "ShowEmbeddings");
    return;
  }
  switch (detail::shown_moment(info.moment, options_.show.stage)) {
    case ShownMoment::begin:
      return samples_.clear();
    case ShownMoment::batch:
      return samples_.take(*info.batch, *info.output, options_.count);
    case ShownMoment::none:
      return;
    case ShownMoment::end:
      break;
  }
  const std::string name = of_loader("embeddings", info);
  if (samples_.size() < 2) return detail::tell_left_out(trainer, name, "the pass has fewer than two samples");
  at::Tensor embeddings =
      options_.layer.empty() ? samples_.predictions() : layer_output(trainer.task(), options_.layer, samples_.batch());
  if (embeddings.defined() && embeddings.dim() == 4) embeddings = embeddings.mean({2, 3});
  if (embeddings.defined() && !all_finite(embeddings)) {
    return detail::tell_left_out(trainer, name, "embeddings are not finite");
  }
  if (embeddings.defined() && embeddings.flatten(1).size(1) < 2) {
    return detail::tell_left_out(trainer, name, "the embeddings have one dimension");
  }
  const std::string title = (options_.layer.empty() ? "Predictions" : "Layer " + options_.layer) + " of " +
                            std::string(info.loader) + at_epoch(trainer, options_.show);
  show_figure(trainer, name,
              embedding_figure(embeddings, {.title = title,
                                            .classes = detail::class_numbers(samples_.target()),
                                            .names = options_.names,
                                            .theme = options_.show.theme}),
              options_.show);
  samples_.clear();
}

// ---- Grad-CAM

ShowGradCam::ShowGradCam(ShowGradCamOptions options) : options_(std::move(options)) {
  detail::check_shown(options_.show, "ShowGradCam");
  require_some(options_.count, "ShowGradCamOptions::count");
}

bool ShowGradCam::watches(Moment moment) const noexcept {
  return moment == Moment::fit_begin || watches_pass(moment, options_.show);
}

void ShowGradCam::on(Trainer& trainer, MomentInfo& info) {
  if (info.moment == Moment::fit_begin) {
    return require_layer_of(trainer, options_.layer, "ShowGradCam");
  }
  switch (detail::shown_moment(info.moment, options_.show.stage)) {
    case ShownMoment::begin:
      return samples_.clear();
    case ShownMoment::batch:
      return samples_.take(*info.batch, *info.output, options_.count);
    case ShownMoment::none:
      return;
    case ShownMoment::end:
      break;
  }
  if (samples_.empty()) return;
  const Batch batch = samples_.batch();
  const at::Tensor target = options_.predicted ? at::Tensor() : detail::class_numbers(samples_.target());
  const GradCam cam = grad_cam(trainer.task(), batch, {.layer = options_.layer, .target = target});
  const std::string title = "Grad-CAM of " + std::string(info.loader) + at_epoch(trainer, options_.show);
  show_figure(trainer, of_loader("grad-cam", info),
              grad_cam_figure(batch.input.first_tensor(), cam,
                              {.title = title,
                               .names = options_.names,
                               .mean = options_.mean,
                               .deviation = options_.deviation,
                               .theme = options_.show.theme}),
              options_.show);
  samples_.clear();
}

// ---- layers

ShowLayers::ShowLayers(ShowLayersOptions options) : options_(std::move(options)) {
  detail::check_shown(options_.show, "ShowLayers");
  if (options_.layers.empty() && options_.statistics == nullptr) {
    throw Error({.what = "no layers are to be shown",
                 .where = "ShowLayersOptions::layers",
                 .expected = "one or more, or `statistics`"});
  }
}

bool ShowLayers::watches(Moment moment) const noexcept {
  return moment == Moment::fit_begin || watches_pass(moment, options_.show);
}

void ShowLayers::on(Trainer& trainer, MomentInfo& info) {
  if (info.moment == Moment::fit_begin) {
    for (const std::string& layer : options_.layers) {
      require_layer_of(trainer, layer, "ShowLayers");
    }
    return;
  }
  switch (detail::shown_moment(info.moment, options_.show.stage)) {
    case ShownMoment::begin:
      return samples_.clear();
    case ShownMoment::batch:
      return samples_.take(*info.batch, *info.output, 1);
    case ShownMoment::none:
      return;
    case ShownMoment::end:
      break;
  }
  for (const std::string& layer : options_.layers) show_layer(trainer, layer);
  if (options_.statistics != nullptr && !options_.statistics->history().empty()) {
    show_figure(trainer, "layers", layer_statistics_figure(options_.statistics->last(), {.theme = options_.show.theme}),
                options_.show);
  }
  samples_.clear();
}

void ShowLayers::show_layer(Trainer& trainer, const std::string& layer) const {
  if (options_.activations && !samples_.empty()) {
    const at::Tensor values = layer_output(trainer.task(), layer, samples_.batch());
    const std::string name = "activations/" + layer;
    if (!all_finite(values)) {
      detail::tell_left_out(trainer, name, "activations are not finite");
    } else if (values.dim() >= 2 && values.dim() <= 4) {
      show_figure(trainer, name,
                  activation_figure(values[0], {.title = "Activations of " + layer + at_epoch(trainer, options_.show),
                                                .theme = options_.show.theme}),
                  options_.show);
    }
  }
  if (!options_.filters) return;
  for (const auto& [path, tensor] : named_tensors(trainer.task().nets())) {
    if (path != layer + ".weight" || (tensor.dim() != 4 && tensor.dim() != 2) || !tensor.is_floating_point()) continue;
    const std::string name = "filters/" + layer;
    if (!all_finite(tensor)) {
      detail::tell_left_out(trainer, name, "weights are not finite");
      continue;
    }
    show_figure(trainer, name,
                filter_figure(tensor, {.title = "Filters of " + layer + at_epoch(trainer, options_.show),
                                       .theme = options_.show.theme}),
                options_.show);
  }
}

}  // namespace athanor
