// SPDX-License-Identifier: Apache-2.0
#include "athanor/nn/embedding_loss.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cdist.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/searchsorted.h>
#include <ATen/ops/softplus.h>

#include <cmath>
#include <limits>
#include <vector>

#include "athanor/core/error.hpp"
#include "athanor/nn/loss_input.hpp"

namespace athanor::loss {
namespace {

using namespace detail;

constexpr double no_distance = std::numeric_limits<double>::infinity();

at::Tensor unit_rows(const at::Tensor& rows) {
  return rows / rows.norm(2, at::IntArrayRef{1}, /*keepdim=*/true).clamp_min(1e-12);
}

struct Views {
  at::Tensor queries;
  at::Tensor keys;
  at::Tensor negatives;  // undefined when there are none
};

Views views_of(const Tree& predictions, const Tree& target) {
  std::vector<at::Tensor> all = predictions.tensors();
  if (all.size() == 1 && target.is_tensor()) all.push_back(target.tensor());
  const bool rows = all.size() >= 2 && all.size() <= 3 && all[0].defined() && all[0].dim() == 2;
  bool fits = rows && all[1].defined() && all[0].sizes() == all[1].sizes();
  if (fits && all.size() == 3) fits = all[2].defined() && all[2].dim() == 2 && all[2].size(1) == all[0].size(1);
  if (!fits) {
    throw Error({.what = "InfoNCE needs two views of each sample",
                 .where = "loss::InfoNCE",
                 .got = predictions.describe() + " and " + target.describe(),
                 .expected = "queries (N, D) and keys (N, D), or a list of the two and perhaps negatives (M, D)"});
  }
  for (at::Tensor& rows_of_one : all) rows_of_one = in_full(rows_of_one, "loss::InfoNCE");
  for (at::Tensor& rows_of_one : all) rows_of_one = rows_of_one.to(all[0].scalar_type());
  return {all[0], all[1], all.size() == 3 ? all[2] : at::Tensor()};
}

at::Tensor row_numbers(int64_t count, const at::Tensor& like) {
  return at::arange(count, like.options().dtype(at::kLong).requires_grad(false));
}

/// The mean over the triplets that count; NaN when there is none.
struct Triplets {
  at::Tensor distance;  // (N, N)
  at::Tensor positive;  // (N, N), bool: another sample of the same class
  at::Tensor negative;  // (N, N), bool
  const TripletOptions& options;

  at::Tensor loss_of(const at::Tensor& to_positive, const at::Tensor& to_negative) const {
    const at::Tensor difference = to_positive - to_negative;
    return options.soft_margin ? at::softplus(difference) : (difference + options.margin).relu();
  }

  at::Tensor hard() const {
    const at::Tensor d = distance.detach();
    const at::Tensor farthest = d.masked_fill(positive.logical_not(), -no_distance).argmax(1, /*keepdim=*/true);
    const at::Tensor nearest = d.masked_fill(negative.logical_not(), no_distance).argmin(1, /*keepdim=*/true);
    const at::Tensor each = loss_of(distance.gather(1, farthest), distance.gather(1, nearest)).squeeze(1);
    return mean_where(each, positive.any(1) & negative.any(1));
  }

  at::Tensor semi_hard() const {
    const at::Tensor d = distance.detach();
    const auto [sorted, order] =
        d.masked_fill(negative.logical_not(), no_distance).sort(/*stable=*/true, 1, /*descending=*/false);
    const at::Tensor last = negative.sum(1, /*keepdim=*/true) - 1;
    const at::Tensor place = at::searchsorted(sorted, d.contiguous(), /*out_int32=*/false, /*right=*/true);
    const at::Tensor chosen = order.gather(1, place.minimum(last).clamp_min(0));
    return mean_where(loss_of(distance, distance.gather(1, chosen)), positive & negative.any(1, /*keepdim=*/true));
  }

  at::Tensor all() const {
    const at::Tensor counts = positive.unsqueeze(2) & negative.unsqueeze(1);
    const at::Tensor each = loss_of(distance.unsqueeze(2), distance.unsqueeze(1)).where(counts, 0);
    // Of no triplets 0 / 0, of triplets that are all far enough apart 0.
    const at::Tensor none = 0 / counts.sum().to(each.scalar_type());
    return each.sum() / (each.detach() > 0).sum().clamp_min(1) + none;
  }
};

at::Tensor distances_within(const at::Tensor& x, Distance distance) {
  if (distance == Distance::cosine) {
    const at::Tensor unit = unit_rows(x);
    return 1 - unit.matmul(unit.t());
  }
  constexpr int64_t without_products = 2;  // |a|² + |b|² - 2ab is nothing but rounding for what is near
  const at::Tensor euclidean = at::cdist(x, x, 2, without_products);
  return distance == Distance::euclidean ? euclidean : euclidean.square();
}

void require_triplets(const at::Tensor& labels, const at::Tensor& positive, const at::Tensor& negative) {
  if (!labels.is_cpu() || (positive.any(1) & negative.any(1)).any().item<bool>()) return;
  const std::string first = std::to_string(labels[0].item<int64_t>());
  const bool one_class = !negative.any().item<bool>();
  throw Error({.what = "a batch has no triplet",
               .where = "loss::Triplet",
               .got = std::to_string(labels.size(0)) + " samples, " +
                      (one_class ? "all of class " + first : "no two of one class"),
               .expected = "two samples of one class and one of another",
               .todo = "draw several samples of each class for a batch, and leave out a short last one"});
}

}  // namespace

InfoNCE::InfoNCE(InfoNCEOptions options) : options_(options) {
  require_option(options_.temperature > 0 && std::isfinite(options_.temperature), "InfoNCEOptions::temperature",
                 options_.temperature, "above 0");
}

at::Tensor InfoNCE::operator()(const Tree& predictions, const Tree& target) const {
  const FullPrecision full;
  Views views = views_of(predictions, target);
  const int64_t samples = views.queries.size(0);
  if (views.negatives.defined() && options_.contrast != Contrast::keys) {
    throw Error(
        {.what = "further negatives are for Contrast::keys", .where = "loss::InfoNCE", .got = predictions.describe()});
  }
  if (samples < 2 && !views.negatives.defined()) {
    throw Error({.what = "InfoNCE has nothing to tell a sample from",
                 .where = "loss::InfoNCE",
                 .got = std::to_string(samples) + " sample",
                 .expected = "two samples at least, or further negatives",
                 .todo = "leave out a last batch that is so short"});
  }
  if (options_.normalize) {
    for (at::Tensor* rows : {&views.queries, &views.keys, &views.negatives}) {
      if (rows->defined()) *rows = unit_rows(*rows);
    }
  }
  if (options_.contrast == Contrast::all_views) {
    const at::Tensor all = at::cat({views.queries, views.keys});
    const at::Tensor numbers = row_numbers(2 * samples, all);
    const at::Tensor self = numbers.unsqueeze(0) == numbers.unsqueeze(1);
    const at::Tensor scores = (all.matmul(all.t()) / options_.temperature).masked_fill(self, -no_distance);
    return at::cross_entropy_loss(scores, (numbers + samples).remainder(2 * samples));
  }
  const at::Tensor own = row_numbers(samples, views.queries);
  const at::Tensor keys = views.negatives.defined() ? at::cat({views.keys, views.negatives}) : views.keys;
  const at::Tensor scores = views.queries.matmul(keys.t()) / options_.temperature;
  const at::Tensor forth = at::cross_entropy_loss(scores, own);
  return options_.contrast == Contrast::keys ? forth : (forth + at::cross_entropy_loss(scores.t(), own)) / 2;
}

Triplet::Triplet(TripletOptions options) : options_(options) {
  require_option(options_.margin >= 0 && std::isfinite(options_.margin), "TripletOptions::margin", options_.margin,
                 "0 or more");
}

at::Tensor Triplet::operator()(const at::Tensor& embeddings, const at::Tensor& labels) const {
  const FullPrecision full;
  const at::Tensor x = in_full(embeddings, "loss::Triplet");
  const bool fits = x.dim() == 2 && labels.defined() && labels.dim() == 1 && labels.size(0) == x.size(0) &&
                    at::isIntegralType(labels.scalar_type(), /*includeBool=*/false);
  if (!fits) {
    throw Error({.what = "the target does not fit the predictions",
                 .where = "loss::Triplet",
                 .got = describe(embeddings) + " and " + describe(labels),
                 .expected = "embeddings (N, D) and class numbers (N) of an integer dtype"});
  }
  const at::Tensor same = labels.unsqueeze(0) == labels.unsqueeze(1);
  const at::Tensor numbers = row_numbers(x.size(0), x);
  const at::Tensor other = numbers.unsqueeze(0) != numbers.unsqueeze(1);
  const Triplets triplets{distances_within(x, options_.distance), same & other, same.logical_not(), options_};
  require_triplets(labels, triplets.positive, triplets.negative);
  // A NaN embedding is in no triplet that comparisons find, and must not go unseen.
  at::Tensor unseen = x.detach().sum() * 0;
  switch (options_.mining) {
    case Mining::batch_hard:
      return triplets.hard() + unseen;
    case Mining::batch_semi_hard:
      return triplets.semi_hard() + unseen;
    case Mining::batch_all:
      return triplets.all() + unseen;
  }
  return unseen;
}

}  // namespace athanor::loss
