// SPDX-License-Identifier: Apache-2.0
#include "athanor/callbacks/mix_samples.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/where.h>

#include <algorithm>
#include <cmath>

#include "athanor/core/error.hpp"
#include "athanor/core/random.hpp"
#include "athanor/core/text.hpp"

namespace athanor {
namespace {

constexpr uint64_t mixing_stream = 0x6d69786564ull;  // keeps its keys apart from those of others

/// The logarithm of a number from the gamma distribution (Marsaglia & Tsang, 2000), which for small shapes is too small
/// for a double itself.
double log_gamma_number(double shape, Philox& random) {
  if (shape < 1) return log_gamma_number(shape + 1, random) + std::log1p(-random.uniform()) / shape;
  const double d = shape - 1.0 / 3;
  const double c = 1 / std::sqrt(9 * d);
  for (;;) {
    const double x = random.normal();
    const double v = std::pow(1 + c * x, 3);
    if (v <= 0) continue;
    if (std::log1p(-random.uniform()) < x * x / 2 + d - d * v + d * std::log(v)) return std::log(d * v);
  }
}

/// From Beta(alpha, alpha).
double beta_number(double alpha, Philox& random) {
  const double a = log_gamma_number(alpha, random);
  const double b = log_gamma_number(alpha, random);
  return 1 / (1 + std::exp(b - a));
}

void refuse_mixing(double value, const char* option, const char* expected) {
  throw Error({.what = "an option of the mixing of samples is out of range",
               .where = std::string("MixSamplesOptions::") + option,
               .got = shortest(value),
               .expected = expected});
}

bool is_image_batch(const Tree& input) { return input.is_tensor() && input.tensor().dim() == 4; }

at::Tensor rows_of_partners(const Mixing& mixing, at::Device device) {
  at::Tensor rows = at::empty({static_cast<int64_t>(mixing.partner.size())}, at::kLong);
  std::copy(mixing.partner.begin(), mixing.partner.end(), rows.mutable_data_ptr<int64_t>());
  return rows.to(device);
}

at::Tensor mixture_of_rows(const at::Tensor& own, const at::Tensor& partner_rows, double share) {
  return own * share + own.index_select(0, partner_rows) * (1 - share);
}

void check_mixable(const at::Tensor& tensor, int64_t rows, const char* what) {
  if (tensor.defined() && tensor.is_floating_point() && tensor.dim() > 0 && tensor.size(0) == rows) return;
  throw Error({.what = std::string(what) + " can't be mixed",
               .where = "MixSamples",
               .got = describe(tensor),
               .expected = "a floating dtype, (" + std::to_string(rows) + ", …)",
               .todo = std::string(what) == "this target"
                           ? "set MixSamplesOptions::classes when the targets are classes"
                           : "convert images to float before they are mixed"});
}

at::Tensor with_box(const at::Tensor& images, const at::Tensor& partner_rows, const Mixing& mixing) {
  at::Tensor mixed = images.clone();
  const auto box = [&](const at::Tensor& of) {
    return of.narrow(2, mixing.top, mixing.bottom - mixing.top).narrow(3, mixing.left, mixing.right - mixing.left);
  };
  box(mixed).copy_(box(images).index_select(0, partner_rows));
  return mixed;
}

}  // namespace

Mixing cut_box(double share, int64_t row, int64_t column, int64_t height, int64_t width) {
  const double half = 0.5 * std::sqrt(1 - share);
  const auto half_height = static_cast<int64_t>(half * static_cast<double>(height));
  const auto half_width = static_cast<int64_t>(half * static_cast<double>(width));
  Mixing mixing{.kind = Mixing::Kind::cutmix};
  mixing.top = std::max<int64_t>(row - half_height, 0);
  mixing.bottom = std::min(row + half_height, height);
  mixing.left = std::max<int64_t>(column - half_width, 0);
  mixing.right = std::min(column + half_width, width);
  mixing.share = 1 - static_cast<double>((mixing.bottom - mixing.top) * (mixing.right - mixing.left)) /
                         static_cast<double>(height * width);
  return mixing;
}

MixSamples::MixSamples(MixSamplesOptions options) : options_(options) {
  const auto is_alpha = [](double alpha) { return alpha >= 0 && std::isfinite(alpha); };
  const auto is_part = [](double part) { return part >= 0 && part <= 1; };
  if (!is_alpha(options_.mixup)) refuse_mixing(options_.mixup, "mixup", "0 or more");
  if (!is_alpha(options_.cutmix)) refuse_mixing(options_.cutmix, "cutmix", "0 or more");
  if (!is_part(options_.cutmix_share)) refuse_mixing(options_.cutmix_share, "cutmix_share", "from 0 to 1");
  if (!is_part(options_.probability)) refuse_mixing(options_.probability, "probability", "from 0 to 1");
  if (options_.plain_epochs < 0) {
    refuse_mixing(static_cast<double>(options_.plain_epochs), "plain_epochs", "0 or more");
  }
  if (options_.mixup == 0 && options_.cutmix == 0) {
    throw Error({.what = "neither mixup nor CutMix is on",
                 .where = "MixSamplesOptions",
                 .expected = "mixup or cutmix above 0",
                 .todo = "for label smoothing alone use LabelSmoothing"});
  }
  if (options_.classes) {
    detail::check_soft_targets(*options_.classes, options_.smoothing, "MixSamplesOptions");
  } else if (options_.smoothing != 0) {
    throw Error({.what = "labels can't be smoothed without the number of classes",
                 .where = "MixSamplesOptions::classes",
                 .expected = "set, with smoothing " + shortest(options_.smoothing)});
  }
}

Mixing MixSamples::draw(uint64_t key, int64_t samples, int64_t height, int64_t width) const {
  Philox random(key);
  if (random.uniform() >= options_.probability) return {};
  const double which = random.uniform();
  const bool both = options_.mixup > 0 && options_.cutmix > 0;
  Mixing mixing{.kind = Mixing::Kind::mixup};
  if (options_.cutmix > 0 && (!both || which < options_.cutmix_share)) {
    const double share = beta_number(options_.cutmix, random);
    const auto row = static_cast<int64_t>(random.below(static_cast<uint64_t>(height)));
    const auto column = static_cast<int64_t>(random.below(static_cast<uint64_t>(width)));
    mixing = cut_box(share, row, column, height, width);
  } else {
    mixing.share = beta_number(options_.mixup, random);
  }
  const Permutation partner(static_cast<uint64_t>(samples), mix({key, 1}));
  for (int64_t i = 0; i < samples; ++i) {
    mixing.partner.push_back(static_cast<int64_t>(partner(static_cast<uint64_t>(i))));
  }
  return mixing;
}

void MixSamples::apply(const Mixing& mixing, Batch& batch) const {
  const bool mixes = mixing.kind != Mixing::Kind::none;
  at::Tensor target;
  if (options_.classes && (mixes || options_.smoothing > 0)) {
    target = detail::soft_targets(batch, *options_.classes, options_.smoothing, "MixSamples");
    if (target.dim() != 2) {
      throw Error({.what = "classes of parts of a sample can't be mixed",
                   .where = "MixSamples",
                   .got = batch.target.describe(),
                   .expected = "one class for each sample, (N)"});
    }
    if (!mixes) batch.target = target;
  }
  if (!mixes) return;
  const auto rows = static_cast<int64_t>(mixing.partner.size());
  at::Tensor partner;
  const auto partner_on = [&](const at::Tensor& tensor) {
    if (!partner.defined() || partner.device() != tensor.device()) partner = rows_of_partners(mixing, tensor.device());
    return partner;
  };
  if (mixing.kind == Mixing::Kind::cutmix) {
    check_mixable(batch.input.tensor(), rows, "this input");
    batch.input = with_box(batch.input.tensor(), partner_on(batch.input.tensor()), mixing);
  } else {
    batch.input = batch.input.map([&](const at::Tensor& tensor) {
      check_mixable(tensor, rows, "this input");
      return mixture_of_rows(tensor, partner_on(tensor), mixing.share);
    });
  }
  if (target.defined() && batch.weight) {
    const at::Tensor weight = batch.weight->to(target.device(), target.scalar_type()).unsqueeze(1);
    const at::Tensor sum = mixture_of_rows(weight, partner_on(weight), mixing.share);
    const at::Tensor weighted = mixture_of_rows(target * weight, partner_on(target), mixing.share) / sum;
    target = at::where(sum > 0, weighted, mixture_of_rows(target, partner_on(target), mixing.share));
    batch.target = target;
  } else if (target.defined()) {
    batch.target = mixture_of_rows(target, partner_on(target), mixing.share);
  } else {
    batch.target = batch.target.map([&](const at::Tensor& tensor) {
      check_mixable(tensor, rows, "this target");
      return mixture_of_rows(tensor, partner_on(tensor), mixing.share);
    });
  }
  if (batch.weight) batch.weight = mixture_of_rows(*batch.weight, partner_on(*batch.weight), mixing.share);
}

void MixSamples::on_fit_begin(Trainer& trainer) {
  micro_batch_ = 0;
  if (options_.plain_epochs == 0 || trainer.epochs()) return;
  throw Error({.what = "it is not known which epochs are the last ones",
               .where = "MixSamplesOptions::plain_epochs",
               .got = trainer.options().max_duration.describe(),
               .expected = "a run whose length is told in epochs"});
}

void MixSamples::on_train_batch_begin(Trainer& trainer, MomentInfo& info) {
  Batch& batch = *info.batch;
  if (info.context->step() != step_) micro_batch_ = 0;
  step_ = info.context->step();
  const uint64_t key =
      mix({trainer.options().seed, mixing_stream, static_cast<uint64_t>(step_), static_cast<uint64_t>(micro_batch_++)});
  if (options_.plain_epochs > 0 && info.context->epoch() > *trainer.epochs() - options_.plain_epochs) {
    return apply({}, batch);
  }
  const bool cuts = options_.cutmix > 0;
  if (cuts && !is_image_batch(batch.input)) {
    throw Error({.what = "CutMix needs images",
                 .where = "MixSamples",
                 .got = batch.input.describe(),
                 .expected = "one tensor (N, C, H, W)",
                 .todo = "use mixup for other inputs"});
  }
  const at::Tensor first = batch.input.first_tensor();
  const int64_t rows = first.defined() && first.dim() > 0 ? first.size(0) : 0;
  apply(draw(key, rows, cuts ? first.size(2) : 0, cuts ? first.size(3) : 0), batch);
}

void MixSamples::on_forward_end(Trainer&, MomentInfo& info) {
  if (options_.classes) detail::compare_with_class_numbers(info);
}

void MixSamples::on_train_batch_end(Trainer&) { micro_batch_ = 0; }

}  // namespace athanor
