// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/reliability.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/softmax.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"
#include "athanor/core/tree.hpp"
#include "athanor/metrics/probabilities.hpp"
#include "athanor/track/figure_axes.hpp"
#include "athanor/track/picture.hpp"

namespace athanor {
namespace {

constexpr const char* in_reliability = "reliability";

struct JudgedSamples {
  at::Tensor confidence;  // float64 (N)
  at::Tensor right;       // bool (N)
};

void check_reliability_shapes(const at::Tensor& predictions, const at::Tensor& target) {
  const bool floating = predictions.defined() && predictions.is_floating_point() &&
                        (predictions.dim() == 1 || predictions.dim() == 2) && predictions.numel() > 0;
  const bool whole = target.defined() && !target.is_floating_point() && floating &&
                     target.numel() == predictions.size(0) && target.size(0) == predictions.size(0);
  if (floating && whole) return;
  throw Error({.what = "predictions and target don't fit a reliability diagram",
               .where = in_reliability,
               .got = describe(predictions) + " and " + describe(target),
               .expected = "floating (N, C), (N) or (N, 1), and whole numbers (N)"});
}

void check_probabilities(const at::Tensor& predictions, bool from_logits) {
  const bool sound = from_logits ? predictions.isnan().any().item<bool>() == false
                                 : predictions.ge(0).logical_and(predictions.le(1)).all().item<bool>();
  if (sound) return;
  throw Error({.what = from_logits ? "predictions hold NaN" : "predictions are no probabilities",
               .where = in_reliability,
               .got = from_logits ? "NaN"
                                  : format_number(predictions.min().item<double>()) + " to " +
                                        format_number(predictions.max().item<double>()),
               .expected = from_logits ? "numbers" : "0 to 1",
               .todo = from_logits ? "" : "set from_logits when these are logits"});
}

JudgedSamples judge_samples(const at::Tensor& predictions, const at::Tensor& target, bool from_logits) {
  const at::Tensor wide = predictions.to(at::kDouble);
  if (predictions.dim() == 1 || predictions.size(1) == 1) {
    return {from_logits ? wide.flatten().sigmoid() : wide.flatten(), target.eq(1)};
  }
  return {std::get<0>((from_logits ? at::softmax(wide, 1) : wide).max(1)), predictions.argmax(1).eq(target)};
}

/// `Score` is the dtype of the predictions: the metric rounds to it before it looks for the bin.
template <class Score>
void add_judged(const JudgedSamples& judged, int64_t cells, double* sums) {
  const at::Tensor flags = judged.right.contiguous(), numbers = judged.confidence.contiguous();
  const double* value = numbers.const_data_ptr<double>();
  const bool* is_right = flags.const_data_ptr<bool>();
  for (int64_t i = 0; i < numbers.numel(); ++i) {
    const int64_t bin = metrics::detail::threshold_below(static_cast<Score>(value[i]), cells);
    sums[bin] += 1;
    sums[cells + bin] += value[i];
    sums[2 * cells + bin] += is_right[i] ? 1 : 0;
  }
}

}  // namespace

ReliabilityCounts::ReliabilityCounts(ReliabilityOptions options) : options_(options) {
  if (options.bins < 1) {
    throw Error({.what = "bins is too small",
                 .where = "ReliabilityOptions::bins",
                 .got = std::to_string(options.bins),
                 .expected = "1 or more"});
  }
  reset();
}

void ReliabilityCounts::reset() { sums_.assign(static_cast<size_t>(3 * (options_.bins + 1)), 0); }

bool ReliabilityCounts::empty() const noexcept {
  return std::accumulate(sums_.begin(), sums_.begin() + options_.bins + 1, 0.0) == 0;
}

void ReliabilityCounts::update(const at::Tensor& predictions, const at::Tensor& target) {
  const at::NoGradGuard no_grad;
  check_reliability_shapes(predictions, target);
  at::Tensor scores = predictions.detach().to(at::kCPU);
  at::Tensor labels = target.detach().to(at::kCPU, at::kLong).flatten();
  if (options_.ignore_index) {
    const at::Tensor kept = labels.ne(*options_.ignore_index);
    scores = scores.index({kept});
    labels = labels.index({kept});
    if (labels.numel() == 0) return;
  }
  check_probabilities(scores, options_.from_logits);
  const int64_t classes = scores.dim() == 2 && scores.size(1) > 1 ? scores.size(1) : 2;
  if (labels.min().item<int64_t>() < 0 || labels.max().item<int64_t>() >= classes) {
    throw Error(
        {.what = "a target is out of range",
         .where = in_reliability,
         .got = std::to_string(labels.min().item<int64_t>()) + " to " + std::to_string(labels.max().item<int64_t>()),
         .expected = "0 to " + std::to_string(classes - 1)});
  }
  const JudgedSamples judged = judge_samples(scores, labels, options_.from_logits);
  if (predictions.scalar_type() == at::kDouble) {
    add_judged<double>(judged, options_.bins + 1, sums_.data());
  } else {
    add_judged<float>(judged, options_.bins + 1, sums_.data());
  }
}

Reliability ReliabilityCounts::compute() const {
  if (empty()) throw Error({.what = "there are no samples to judge", .where = in_reliability});
  Reliability result;
  const auto cells = static_cast<size_t>(options_.bins) + 1;
  for (size_t i = 0; i < cells; ++i) {
    const double samples = sums_[i];
    ReliabilityBin bin{.low = static_cast<double>(i) / static_cast<double>(options_.bins),
                       .high = static_cast<double>(std::min(i + 1, cells - 1)) / static_cast<double>(options_.bins),
                       .samples = static_cast<int64_t>(samples)};
    if (samples > 0) {
      bin.confidence = sums_[cells + i] / samples;
      bin.accuracy = sums_[2 * cells + i] / samples;
      const double gap = std::abs(bin.confidence - bin.accuracy);
      result.expected_error += gap * samples;
      result.greatest_error = std::max(result.greatest_error, gap);
      result.confidence += sums_[cells + i];
      result.accuracy += sums_[2 * cells + i];
      result.samples += bin.samples;
    }
    result.bins.push_back(bin);
  }
  const auto all = static_cast<double>(result.samples);
  result.expected_error /= all;
  result.confidence /= all;
  result.accuracy /= all;
  return result;
}

Reliability reliability(const at::Tensor& predictions, const at::Tensor& target, ReliabilityOptions options) {
  ReliabilityCounts counts(options);
  counts.update(predictions, target);
  return counts.compute();
}

Figure reliability_diagram(const Reliability& reliability, const ReliabilityDiagramOptions& options) {
  constexpr double side = 360, counts_height = 84;
  const draw::ThemeColours& colours = draw::colours_of(options.theme);
  const double difference = reliability.confidence - reliability.accuracy;
  const char* verdict = std::abs(difference) < 0.005 ? "about right" : difference > 0 ? "too sure" : "not sure enough";
  const std::string summary = "ECE " + format_number(reliability.expected_error) + " · " +
                              format_number(100 * reliability.accuracy, 1) + " % right, " +
                              format_number(100 * reliability.confidence, 1) + " % sure: " + verdict;
  const plot::Area area{plot::page_margin + plot::room_left, plot::header_height + plot::room_top, side, side};
  const plot::Area below{area.left, area.bottom() + plot::room_bottom + 30, side, counts_height};
  Figure figure(area.right() + plot::page_margin + 10, below.bottom() + plot::room_bottom + plot::page_margin / 2,
                options.title, summary, options.theme);
  const plot::Axis share = draw::axis_between(0, 1, 5);
  draw::draw_axes(figure, area, share, share, "confidence", "accuracy");
  int64_t most = 1;
  for (const ReliabilityBin& bin : reliability.bins) most = std::max(most, bin.samples);
  const plot::Axis counts = plot::value_axis({0, static_cast<double>(most)}, 2);
  draw::draw_axes(figure, below, share, counts, "confidence", "samples");
  const auto x_of = [&](double value) { return area.left + value * area.width; };
  const auto y_of = [&](double value) { return area.bottom() - value * area.height; };
  const draw::Colour surplus = draw::mix_colours(colours.page, colours.strong, 0.4);
  const draw::Colour lack = draw::mix_colours(colours.page, colours.alarm, 0.55);
  for (const ReliabilityBin& bin : reliability.bins) {
    if (bin.samples == 0) continue;
    const bool exactly_one = bin.low == bin.high;
    const double left = exactly_one ? area.right() + 2 : x_of(bin.low) + 1;
    const double width = exactly_one ? 6 : x_of(bin.high) - x_of(bin.low) - 2;
    const double top = y_of(bin.accuracy), wanted = y_of(bin.confidence);
    const double lower = std::max(top, wanted);  // y goes down
    figure.add(
        draw::Box{.x = left, .y = lower, .width = width, .height = area.bottom() - lower, .fill = colours.strong});
    figure.add(draw::Box{.x = left,
                         .y = std::min(top, wanted),
                         .width = width,
                         .height = std::abs(top - wanted),
                         .fill = top < wanted ? surplus : lack});
    figure.add(draw::Stroke{.places = {{left, top}, {left + width, top}}, .pen = 2, .colour = colours.strong});
    const double height = counts.place(static_cast<double>(bin.samples)) * below.height;
    figure.add(
        draw::Box{.x = left, .y = below.bottom() - height, .width = width, .height = height, .fill = colours.soft_ink});
  }
  figure.add(draw::Stroke{.places = {{area.left, area.bottom()}, {area.right(), area.top}},
                          .pen = 1.5,
                          .colour = colours.ink,
                          .dashed = true});
  const std::pair<draw::Colour, const char*> keys[] = {
      {colours.strong, "right, and sure of it"}, {surplus, "right, and not sure of it"}, {lack, "sure, and wrong"}};
  double y = area.top + 8;
  for (const auto& [colour, meaning] : keys) {
    figure.add(draw::Box{.x = area.left + 12, .y = y, .width = 12, .height = 10, .fill = colour});
    figure.add(draw::label(area.left + 30, y + 9, "start", meaning, 11.5, colours.soft_ink, 190));
    y += 18;
  }
  return figure;
}

}  // namespace athanor
