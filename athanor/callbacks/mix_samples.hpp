// SPDX-License-Identifier: Apache-2.0
// mixup and CutMix: training on mixtures of two samples.
//
//     model.fit(train, {.epochs = 20, .callbacks = {athanor::MixSamples({.classes = 10, .plain_epochs = 2})}});
#pragma once

#include <optional>
#include <vector>

#include "athanor/callbacks/label_smoothing.hpp"

namespace athanor {

struct MixSamplesOptions {
  /// C: class numbers (N), or probabilities (N, C), become the mixed probabilities (N, C). Unset: targets are numbers
  /// of a floating dtype, as in regression, and are mixed like the inputs.
  std::optional<int64_t> classes = {};
  /// alpha of mixup (Zhang et al., 2018), whose share of the one sample is drawn from Beta(alpha, alpha). Larger means
  /// more mixing; 0: no mixup.
  double mixup = 0.2;
  /// alpha of CutMix (Yun et al., 2019), where a box out of the one image is put into the other. Usually 1; 0: none.
  double cutmix = 0;
  /// Of the mixed batches, how many get CutMix when both are on.
  double cutmix_share = 0.5;
  /// How many of all batches are mixed.
  double probability = 1;
  /// As in LabelSmoothing; also in the batches and epochs that are not mixed. Needs `classes`.
  double smoothing = 0;
  /// So many epochs at the end are not mixed. Above 0 it needs a run whose length is told in epochs.
  int64_t plain_epochs = 0;
};

/// What is done to one batch.
struct Mixing {
  enum class Kind { none, mixup, cutmix };
  Kind kind = Kind::none;
  double share = 1;                ///< Of the sample itself in its mixture; the rest is the partner's.
  std::vector<int64_t> partner{};  ///< The row that each row is mixed with: a permutation.
  int64_t top = 0, bottom = 0;     ///< CutMix: the rows and columns that are the partner's, ends excluded.
  int64_t left = 0, right = 0;
};

/// The box of CutMix around a pixel: its area is 1 - `share` of the image, but for what lies outside and for rounding
/// down to whole pixels. `share` of the result is what the image keeps.
[[nodiscard]] Mixing cut_box(double share, int64_t row, int64_t column, int64_t height, int64_t width);

/// Mixes the samples of training batches, for all micro-batches of an update each on its own. What is drawn is a
/// function of the seed of the run, the step and the number of the micro-batch: the same for any number of threads and
/// after a resume.
///
///     input  = share x[i] + (1 - share) x[partner]                            mixup, every tensor of the input
///     input  = x[i] with a box of x[partner], (N, C, H, W)                    CutMix
///     target = share y[i] + (1 - share) y[partner]                            y one-hot, smoothed
///
/// The loss must take probabilities, as loss::cross_entropy does. With sample weights the mixture weighs
/// share w[i] + (1 - share) w[partner], and with `classes` the shares of its target are weighted likewise, so that the
/// loss is exactly the mixture of the two weighted losses (cross entropy is linear in the target).
///
/// `train_loss` is that of the mixtures. Metrics compare with the class that has the largest share, the lower one of
/// equals; where the step hands back a target of its own, they get that. Validation and test are left alone. Class
/// weights need class numbers and do not go with this.
class MixSamples {
 public:
  /// Throws Error for options out of range, and when nothing would be mixed.
  explicit MixSamples(MixSamplesOptions options);

  /// What the key decides for a batch of `samples`; `height` and `width` are those of the images, 0 without CutMix.
  [[nodiscard]] Mixing draw(uint64_t key, int64_t samples, int64_t height, int64_t width) const;
  /// Does it: new tensors take the place of those of the batch, which are not written to. With Kind::none the target is
  /// smoothed when that is asked for.
  void apply(const Mixing& mixing, Batch& batch) const;

  // ---- hooks
  void on_fit_begin(Trainer& trainer);
  /// Throws Error for inputs that are not of a floating dtype, for CutMix on anything but one tensor (N, C, H, W), and
  /// for targets that can't be mixed.
  void on_train_batch_begin(Trainer& trainer, MomentInfo& info);
  void on_forward_end(Trainer& trainer, MomentInfo& info);
  void on_train_batch_end(Trainer& trainer);

 private:
  MixSamplesOptions options_;
  int64_t micro_batch_ = 0;  // of the running update
  int64_t step_ = 0;
};

}  // namespace athanor
