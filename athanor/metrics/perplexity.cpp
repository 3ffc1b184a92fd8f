// SPDX-License-Identifier: Apache-2.0
// Perplexity.
#include "athanor/metrics/perplexity.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/logsumexp.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "athanor/core/error.hpp"
#include "athanor/metrics/elements.hpp"
#include "athanor/metrics/once.hpp"
#include "athanor/metrics/probabilities.hpp"
#include "athanor/metrics/refusals.hpp"

namespace athanor::metrics {
namespace {

constexpr const char* perplexity_name = "perplexity";
/// bfloat16 has a probability of 1.008 next to 1.
constexpr double greatest_log_probability = 1e-2;
/// From here on LibTorch's vectorised operator, which costs a few microseconds a call, is faster than our loop.
constexpr int64_t many_scores = 4096;

void check_perplexity_shapes(const at::Tensor& predictions, const at::Tensor& target) {
  const bool fits = predictions.defined() && target.defined() && predictions.is_floating_point() &&
                    at::isIntegralType(target.scalar_type(), /*includeBool=*/false) && predictions.dim() >= 2 &&
                    predictions.sizes().slice(0, predictions.dim() - 1) == target.sizes() && predictions.size(-1) > 0 &&
                    predictions.device() == target.device();
  if (fits) return;
  throw Error({.what = "predictions and target of a perplexity do not fit",
               .where = perplexity_name,
               .got = "predictions " + describe(predictions) + ", target " + describe(target),
               .expected = "floating (N, T, V) and whole numbers (N, T), on one device",
               .todo = "bring the vocabulary to the end: predictions.movedim(1, -1)"});
}

template <class Score>
[[noreturn]] void refuse_token_row(const Score* row, int64_t vocabulary, int64_t place, int64_t places_of_row,
                                   double loss, bool log_probabilities) {
  const std::string where = std::string(perplexity_name) + ", " + detail::place_in_batch(place, places_of_row);
  std::string values;
  for (int64_t v = 0; v < std::min<int64_t>(vocabulary, 10); ++v) {
    values += (v == 0 ? "" : ", ") + std::to_string(row[v]);
  }
  if (vocabulary > 10) values += ", …";
  if (log_probabilities && loss < 0) {
    throw Error({.what = "a logarithm of a probability is above 0",
                 .where = where,
                 .got = std::to_string(-loss),
                 .expected = "0 or less, because of .log_probabilities = true",
                 .todo = "leave .log_probabilities at false when the predictions are logits"});
  }
  const bool nan = std::any_of(row, row + vocabulary, [](Score score) { return score != score; });
  if (nan || log_probabilities) detail::refuse_nan(where, values);
  throw Error({.what = "a row of logits has no softmax",
               .where = where,
               .got = values,
               .expected = "no logit of +infinity, and at least one above -infinity"});
}

struct TokenLosses {
  double sum = 0;
  double count = 0;
};

/// `of_place(row, label, place)` is the loss; NaN, or below the least, refuses the row.
template <class Score, class OfPlace>
TokenLosses token_losses(const at::Tensor& scores, const at::Tensor& labels, int64_t places_of_row,
                         const PerplexityOptions& options, OfPlace&& of_place) {
  const int64_t vocabulary = scores.size(-1);
  const auto* row = scores.const_data_ptr<Score>();
  const auto* label = labels.const_data_ptr<int64_t>();
  const int64_t places = labels.numel();
  const double least = options.log_probabilities ? -greatest_log_probability : -std::numeric_limits<double>::infinity();
  TokenLosses losses;
  for (int64_t place = 0; place < places; ++place, row += vocabulary) {
    if (options.ignore_index && label[place] == *options.ignore_index) continue;
    if (label[place] < 0 || label[place] >= vocabulary) {
      throw Error({.what = "a target is out of range",
                   .where = std::string(perplexity_name) + ", " + detail::place_in_batch(place, places_of_row),
                   .got = std::to_string(label[place]),
                   .expected = "a token, a whole number from 0 to " + std::to_string(vocabulary - 1),
                   .todo = "correct the target, or set .ignore_index to the token that means 'none'"});
    }
    const double loss = of_place(row, label[place], place);
    if (!(loss >= least)) refuse_token_row(row, vocabulary, place, places_of_row, loss, options.log_probabilities);
    losses.sum += loss;
    losses.count += 1;
  }
  return losses;
}

template <class Score>
TokenLosses token_losses_on_host(const at::Tensor& scores, const at::Tensor& labels, int64_t places_of_row,
                                 const PerplexityOptions& options) {
  if (options.log_probabilities) {
    return token_losses<Score>(scores, labels, places_of_row, options, [](const Score* row, int64_t label, int64_t) {
      return -static_cast<double>(row[label]);
    });
  }
  if (scores.numel() < many_scores) {
    const int64_t vocabulary = scores.size(-1);
    return token_losses<Score>(scores, labels, places_of_row, options, [&](const Score* row, int64_t label, int64_t) {
      const auto greatest = static_cast<double>(*std::max_element(row, row + vocabulary));
      return detail::log_sum_exp(row, vocabulary, greatest) - static_cast<double>(row[label]);
    });
  }
  const at::Tensor log_sums = at::logsumexp(scores, {scores.dim() - 1}).contiguous();
  const auto* log_sum = log_sums.const_data_ptr<Score>();
  return token_losses<Score>(scores, labels, places_of_row, options,
                             [&](const Score* row, int64_t label, int64_t place) {
                               if (std::isinf(log_sum[place])) return std::numeric_limits<double>::quiet_NaN();
                               return static_cast<double>(log_sum[place]) - static_cast<double>(row[label]);
                             });
}

/// float64 or the widest (3): losses, targets, places that are of no use.
at::Tensor token_losses_on_device(const at::Tensor& scores, const at::Tensor& labels,
                                  const PerplexityOptions& options) {
  const at::Tensor flat = labels.reshape(-1);
  const at::Tensor rows = scores.reshape({-1, scores.size(-1)}).to(detail::widest_on(scores.device()));
  const at::Tensor kept = options.ignore_index ? flat != *options.ignore_index : flat == flat;
  const at::Tensor in_range = (flat >= 0) & (flat < scores.size(-1));
  const at::Tensor of_token = rows.gather(1, flat.clamp(0, scores.size(-1) - 1).unsqueeze(1)).reshape(-1);
  const at::Tensor losses = options.log_probabilities ? of_token.neg() : at::logsumexp(rows, {1}) - of_token;
  const at::Tensor sound = options.log_probabilities ? losses >= -greatest_log_probability : losses == losses;
  const at::Tensor valid = kept & in_range & sound;
  const auto count = [&](const at::Tensor& flags) { return flags.sum().reshape(1).to(losses.scalar_type()); };
  return at::cat({losses.masked_fill(valid.bitwise_not(), 0).sum().reshape(1), count(valid),
                  count(kept & (in_range & sound).bitwise_not())});
}

}  // namespace

void Perplexity::update(const at::Tensor& predictions, const at::Tensor& target) {
  const at::NoGradGuard no_grad;
  check_perplexity_shapes(predictions, target);
  if (!predictions.is_cpu()) {
    sums_.add(token_losses_on_device(predictions, target.to(at::kLong), options_));
    return;
  }
  const bool wide = predictions.scalar_type() == at::kDouble;
  const at::Tensor scores =
      (wide || predictions.scalar_type() == at::kFloat ? predictions : predictions.to(at::kFloat)).contiguous();
  const at::Tensor labels = (target.scalar_type() == at::kLong ? target : target.to(at::kLong)).contiguous();
  const int64_t places_of_row = std::max<int64_t>(1, labels.numel() / std::max<int64_t>(1, labels.size(0)));
  const TokenLosses losses = wide ? token_losses_on_host<double>(scores, labels, places_of_row, options_)
                                  : token_losses_on_host<float>(scores, labels, places_of_row, options_);
  double* sums = sums_.on_host(2);
  sums[0] += losses.sum;
  sums[1] += losses.count;
}

void Perplexity::merge(const Perplexity& other) {
  detail::check_alike(alike(other), name());
  sums_.merge(other.sums_, perplexity_name);
}

double Perplexity::compute() const {
  const std::vector<double> sums = sums_.read(perplexity_name);
  if (sums[1] == 0) {
    throw Error({.what = "a metric has seen only targets that it ignores, or no samples", .where = perplexity_name});
  }
  return std::exp(sums[0] / sums[1]);
}

Perplexity perplexity(PerplexityOptions options) { return Perplexity(options); }

double perplexity(const at::Tensor& predictions, const at::Tensor& target, PerplexityOptions options) {
  return once(perplexity(options), predictions, target);
}

}  // namespace athanor::metrics
