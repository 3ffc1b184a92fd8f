// SPDX-License-Identifier: Apache-2.0
// What callbacks that show pictures have in common: the pass that they look at, a few of its samples, where pictures
// go.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "athanor/core/batch.hpp"
#include "athanor/track/figure.hpp"
#include "athanor/train/trainer.hpp"

namespace athanor {

/// Where the pictures of a callback go.
struct ShowOptions {
  /// The pass that is looked at: validation or test.
  Stage stage = Stage::validation;
  Theme theme = Theme::light;
  /// Pixels at the trackers for each of the figure, 0.1 to 8.
  double scale = 2;
  /// Whether the newest picture is written into `figures/` of the run's folder as SVG as well, where there is one.
  bool files = true;
};

/// Records a figure as an image of that name, and writes `figures/NAME.svg` as the options say; slashes in the name
/// become hyphens there.
void show_figure(Trainer& trainer, const std::string& name, const Figure& figure, const ShowOptions& options = {});

namespace detail {

enum class ShownMoment { none, begin, batch, end };

/// The pass of a stage. Throws Error for a stage that is not validation or test.
void check_shown(const ShowOptions& options, const char* callback);
[[nodiscard]] ShownMoment shown_moment(Moment moment, Stage stage) noexcept;

/// The first samples of a pass, copied.
class FirstSamples {
 public:
  /// Of the running pass; what is more than `count` is left out.
  void take(const Batch& batch, const StepOutput& output, int64_t count);
  void clear();
  [[nodiscard]] bool empty() const noexcept { return batches_.empty(); }
  [[nodiscard]] int64_t size() const noexcept { return taken_; }
  /// All of them as one batch.
  [[nodiscard]] Batch batch() const;
  /// The first tensor of what the step predicted, (N, …); undefined when it predicted none.
  [[nodiscard]] at::Tensor predictions() const;
  /// The first tensor of what metrics compare with, (N, …); undefined without one.
  [[nodiscard]] at::Tensor target() const;

 private:
  std::vector<Batch> batches_;
  std::vector<at::Tensor> predictions_;
  std::vector<at::Tensor> targets_;
  int64_t taken_ = 0;
};

/// (N) or (N, 1) whole numbers as (N); undefined for everything else.
[[nodiscard]] at::Tensor class_numbers(const at::Tensor& target);

/// A warning that a picture is left out, and why.
void tell_left_out(Trainer& trainer, const std::string& name, const std::string& why);

}  // namespace detail
}  // namespace athanor
