// SPDX-License-Identifier: Apache-2.0
// Callbacks that show a model's work as pictures, at every tracker: TensorBoard, page, report.
//
//     auto top = std::make_shared<athanor::TopSamples>(athanor::loss::cross_entropy);
//     auto classes = std::make_shared<athanor::ClassReport>(athanor::ClassReportOptions{.names = names});
//     model.fit(train, {.validation = test,
//                       .callbacks = {top, classes, athanor::ShowTopSamples(top), athanor::ShowClasses(classes),
//                                     athanor::ShowGradCam({.layer = "features.7"})},
//                       .track = {athanor::track::tensorboard()}});
//
// Each draws at the end of every pass of its stage, on the training thread, which waits for the device. None of them
// changes a number or remembers anything from one pass to the next, so they are no part of the run's state. With
// several data of a stage each has pictures of its own, `NAME/LOADER`. Trackers listen within `fit` only: the pictures
// of a test pass after it are those in the folder of the run.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "athanor/callbacks/class_report.hpp"
#include "athanor/callbacks/layer_statistics.hpp"
#include "athanor/callbacks/top_samples.hpp"
#include "athanor/track/reliability.hpp"
#include "athanor/track/sample_grid.hpp"
#include "athanor/track/shown_pass.hpp"

namespace athanor {

struct ShowPredictionsOptions {
  /// Title, `count`, names, normalisation and so on; `indices`, `titles` and `predictions` are not used.
  SampleGridOptions grid = {.title = "Predictions"};
  ShowOptions show = {};
};

/// The first samples of a pass with what the model says of them, as `predictions/LOADER`. Scores (N, C) and whole
/// classes are said; for other predictions only the target is. Pixels that are not finite are magenta.
class ShowPredictions {
 public:
  static constexpr bool several = true;
  explicit ShowPredictions(ShowPredictionsOptions options = {});
  [[nodiscard]] bool watches(Moment moment) const noexcept;
  void on(Trainer& trainer, MomentInfo& info);

 private:
  ShowPredictionsOptions options_;
  detail::FirstSamples samples_;
};

struct ShowTopSamplesOptions {
  SampleGridOptions grid = {};  ///< An empty or its own title: "Worst samples", "Best samples".
  bool worst = true;
  bool best = false;
  ShowOptions show = {};
};

/// The worst and best samples of a TopSamples that stands before it in the list and looks at the same stage, as
/// `worst/LOADER` and `best/LOADER`.
class ShowTopSamples {
 public:
  static constexpr bool several = true;
  explicit ShowTopSamples(std::shared_ptr<TopSamples> samples, ShowTopSamplesOptions options = {});
  [[nodiscard]] bool watches(Moment moment) const noexcept;
  void on(Trainer& trainer, MomentInfo& info);

 private:
  std::shared_ptr<TopSamples> samples_;
  ShowTopSamplesOptions options_;
};

struct ShowClassesOptions {
  metrics::Normalize normalize = metrics::Normalize::none;
  ShowOptions show = {};
};

/// The tables of a ClassReport that stands before it in the list and looks at the same stage: the pictures
/// `confusion/LOADER` and `classes/LOADER`, and the text `classes/LOADER`.
class ShowClasses {
 public:
  static constexpr bool several = true;
  explicit ShowClasses(std::shared_ptr<ClassReport> report, ShowClassesOptions options = {});
  [[nodiscard]] bool watches(Moment moment) const noexcept;
  void on(Trainer& trainer, MomentInfo& info);

 private:
  std::shared_ptr<ClassReport> report_;
  ShowClassesOptions options_;
};

struct ShowCalibrationOptions {
  ReliabilityOptions reliability = {};
  ShowOptions show = {};
};

/// The reliability diagram of all samples of a pass, as `calibration/LOADER`. With predictions that are NaN a warning
/// takes its place.
class ShowCalibration {
 public:
  static constexpr bool several = true;
  explicit ShowCalibration(ShowCalibrationOptions options = {});
  [[nodiscard]] bool watches(Moment moment) const noexcept;
  void on(Trainer& trainer, MomentInfo& info);

 private:
  ShowCalibrationOptions options_;
  ReliabilityCounts counts_;
  bool not_a_number_ = false;
};

struct ShowEmbeddingsOptions {
  /// The layer whose output is projected; of (N, K, h, w) the mean over the places. Empty: the predictions.
  std::string layer = {};
  int64_t count = 1000;  ///< The first samples of the pass. They are kept until its end.
  std::vector<std::string> names{};
  ShowOptions show = {};
};

/// The samples by the first two principal components, coloured by their classes, as `embeddings/LOADER`. With a layer
/// they go through the net once more. When numbers are not finite a warning takes its place.
class ShowEmbeddings {
 public:
  static constexpr bool several = true;
  explicit ShowEmbeddings(ShowEmbeddingsOptions options = {});
  [[nodiscard]] bool watches(Moment moment) const noexcept;
  /// At `fit_begin`: throws Error that names the layers when there is no such one.
  void on(Trainer& trainer, MomentInfo& info);

 private:
  ShowEmbeddingsOptions options_;
  detail::FirstSamples samples_;
};

struct ShowGradCamOptions {
  std::string layer = {};
  int64_t count = 8;  ///< The first samples of the pass.
  /// True: the class that the net takes the image for. False: its target.
  bool predicted = true;
  std::vector<std::string> names{};
  std::vector<double> mean{};  ///< As in SampleGridOptions.
  std::vector<double> deviation{};
  ShowOptions show = {};
};

/// Where in the first images of a pass the net sees their class, as `grad-cam/LOADER`.
class ShowGradCam {
 public:
  static constexpr bool several = true;
  explicit ShowGradCam(ShowGradCamOptions options);
  [[nodiscard]] bool watches(Moment moment) const noexcept;
  /// At `fit_begin`: throws Error that names the layers when there is no such one.
  void on(Trainer& trainer, MomentInfo& info);

 private:
  ShowGradCamOptions options_;
  detail::FirstSamples samples_;
};

struct ShowLayersOptions {
  std::vector<std::string> layers{};
  bool activations = true;  ///< What leaves each layer for the first sample of the pass, as `activations/LAYER`.
  bool filters = true;      ///< The weights of those that have (O, I, h, w) or (O, I), as `filters/LAYER`.
  /// The histograms of the newest snapshot of a LayerStatistics, as `layers`. Unset: none.
  std::shared_ptr<LayerStatistics> statistics = {};
  ShowOptions show = {};
};

/// Activations and filters of layers. When they are not finite a warning takes their place.
class ShowLayers {
 public:
  static constexpr bool several = true;
  explicit ShowLayers(ShowLayersOptions options);
  [[nodiscard]] bool watches(Moment moment) const noexcept;
  /// At `fit_begin`: throws Error that names the layers when there is no such one.
  void on(Trainer& trainer, MomentInfo& info);

 private:
  void show_layer(Trainer& trainer, const std::string& layer) const;

  ShowLayersOptions options_;
  detail::FirstSamples samples_;
};

}  // namespace athanor
