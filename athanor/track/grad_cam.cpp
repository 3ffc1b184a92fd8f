// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/grad_cam.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/upsample_bilinear2d.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"
#include "athanor/track/tiles.hpp"
#include "athanor/train/layer_capture.hpp"
#include "athanor/train/task.hpp"

namespace athanor {
namespace {

constexpr const char* in_grad_cam = "grad_cam";

at::Tensor explained_classes(const at::Tensor& scores, const at::Tensor& target) {
  if (!target.defined()) return scores.argmax(1);
  const bool fits = !target.is_floating_point() && target.numel() == scores.size(0);
  at::Tensor classes = fits ? target.detach().to(scores.device(), at::kLong).flatten() : at::Tensor();
  if (!fits || classes.lt(0).logical_or(classes.ge(scores.size(1))).any().item<bool>()) {
    throw Error({.what = "the classes to explain are not one for each image",
                 .where = "GradCamOptions::target",
                 .got = fits ? std::to_string(classes.min().item<int64_t>()) + " to " +
                                   std::to_string(classes.max().item<int64_t>())
                             : describe(target),
                 .expected = "whole numbers (" + std::to_string(scores.size(0)) + ") from 0 to " +
                             std::to_string(scores.size(1) - 1)});
  }
  return classes;
}

void check_cam_scores(const at::Tensor& scores, int64_t images) {
  if (scores.defined() && scores.is_floating_point() && scores.dim() == 2 && scores.size(0) == images) return;
  throw Error({.what = "the net gives no scores for classes",
               .where = in_grad_cam,
               .got = describe(scores),
               .expected = "floating (" + std::to_string(images) + ", classes)"});
}

GradCam compute_cam(const Nets& nets, const std::function<at::Tensor()>& forward, int64_t images, int64_t height,
                    int64_t width, const GradCamOptions& options) {
  const EvalMode eval(nets);
  LayerCapture capture(nets, options.layer);
  GradCam cam;
  cam.layer = options.layer;
  at::Tensor values, gradient;
  {
    const at::AutoGradMode with_gradients(true);
    const at::Tensor scores = capture.run(forward);
    check_cam_scores(scores, images);
    const at::Tensor classes = explained_classes(scores.detach(), options.target);
    const at::Tensor explained = scores.gather(1, classes.unsqueeze(1)).squeeze(1);
    values = capture.values();
    if (values.dim() != 4 || values.size(0) != images) {
      throw Error({.what = "the layer has no channels with places",
                   .where = std::string(in_grad_cam) + ", layer " + options.layer,
                   .got = describe(values),
                   .expected = "(" + std::to_string(images) + ", K, h, w)",
                   .todo = "name a convolution, or a layer right behind one"});
    }
    gradient = capture.gradient(explained.sum());
    cam.classes = classes.to(at::kCPU);
    cam.scores = explained.detach().to(at::kCPU, at::kFloat);
  }
  const at::NoGradGuard no_grad;
  cam.sure = capture.sure();
  const at::Tensor weights = gradient.mean({2, 3}, /*keepdim=*/true);
  const at::Tensor raw = (weights * values).sum(1).clamp_min(0).to(at::kCPU, at::kFloat);
  cam.raw = raw;
  const at::Tensor large =
      at::upsample_bilinear2d(raw.unsqueeze(1), {height, width}, /*align_corners=*/false).squeeze(1);
  const at::Tensor most = large.amax({1, 2}, /*keepdim=*/true);
  cam.maps = (large / most.clamp_min(1e-30)).contiguous();
  return cam;
}

std::pair<int64_t, int64_t> image_size(const at::Tensor& images) {
  if (!images.defined() || !images.is_floating_point() || images.dim() != 4 || images.numel() == 0) {
    throw Error({.what = "these are no images for a net",
                 .where = in_grad_cam,
                 .got = describe(images),
                 .expected = "floating (N, C, H, W)"});
  }
  return {images.size(2), images.size(3)};
}

}  // namespace

GradCam grad_cam(const Nets& nets, const std::function<at::Tensor(const at::Tensor&)>& forward,
                 const at::Tensor& images, const GradCamOptions& options) {
  const auto [height, width] = image_size(images);
  const at::Tensor input = images.detach().requires_grad_();  // a graph even for a net that is frozen
  return compute_cam(
      nets, [&] { return forward(input); }, images.size(0), height, width, options);
}

GradCam grad_cam(Task& task, const Batch& batch, const GradCamOptions& options) {
  const at::Tensor images = batch.input.first_tensor();
  const auto [height, width] = image_size(images);
  Batch input = batch;
  input.input = batch.input.map(
      [](const at::Tensor& tensor) { return tensor.is_floating_point() ? tensor.detach().requires_grad_() : tensor; });
  const auto forward = [&] {
    StepContext context(Stage::predict, 0, 0, 0);
    return task.predict_step(input, context).predictions.first_tensor();
  };
  return compute_cam(task.nets(), forward, images.size(0), height, width, options);
}

Figure grad_cam_figure(const at::Tensor& images, const GradCam& cam, const GradCamFigureOptions& options) {
  const at::NoGradGuard no_grad;
  const draw::ReadImages read = draw::read_images(images, {.mean = options.mean,
                                                           .deviation = options.deviation,
                                                           .range = options.range,
                                                           .mark_non_finite = true,
                                                           .where = "grad_cam_figure"});
  const auto count = static_cast<int64_t>(read.pixels.size());
  if (!cam.maps.defined() || cam.maps.dim() != 3 || cam.maps.size(0) != count || cam.maps.size(1) != images.size(-2) ||
      cam.maps.size(2) != images.size(-1)) {
    throw Error({.what = "the maps are not those of the images",
                 .where = "grad_cam_figure",
                 .got = describe(cam.maps),
                 .expected = "float32 (" + std::to_string(count) + ", " + std::to_string(images.size(-2)) + ", " +
                             std::to_string(images.size(-1)) + ")"});
  }
  std::vector<draw::Tile> tiles;
  const at::Tensor maps = cam.maps.contiguous();
  const int64_t places = maps.size(1) * maps.size(2);
  const float* map = maps.const_data_ptr<float>();
  for (int64_t i = 0; i < count; ++i) {
    const at::Tensor& image = read.pixels[static_cast<size_t>(i)];
    at::Tensor under = at::empty_like(image);
    const uint8_t* from = image.const_data_ptr<uint8_t>();
    uint8_t* to = under.mutable_data_ptr<uint8_t>();
    for (int64_t at = 0; at < places; ++at) {
      const float value = map[i * places + at];
      const double heat = std::isfinite(value) ? std::clamp<double>(value, 0, 1) : 0;
      const draw::Colour colour = draw::heat_colour(heat);
      const double share = options.opacity * (0.35 + 0.65 * heat);
      const std::array<uint8_t, 3> channels{colour.red, colour.green, colour.blue};
      for (size_t channel = 0; channel < 3; ++channel) {
        const auto place = static_cast<int64_t>(channel) * places + at;
        to[place] = static_cast<uint8_t>(std::lround(from[place] + share * (channels[channel] - from[place])));
      }
    }
    const int64_t number = cam.classes[i].item<int64_t>();
    const bool named = number < static_cast<int64_t>(options.names.size());
    const std::string name = named ? options.names[static_cast<size_t>(number)] : "class " + std::to_string(number);
    const bool blank = std::none_of(map + i * places, map + (i + 1) * places, [](float value) { return value > 0; });
    const std::string note = "score " + format_number(cam.scores[i].item<double>(), 2);
    tiles.push_back({.pixels = image, .title = name, .note = blank ? "nothing speaks for it" : note});
    tiles.push_back({.pixels = under, .title = "", .note = ""});
  }
  std::string summary = "layer " + cam.layer;
  if (!cam.sure) summary += ", told apart only by its order";
  const int64_t pairs = std::max<int64_t>(1, std::min<int64_t>(count, count <= 3 ? count : count <= 8 ? 2 : 4));
  return draw::tile_figure(tiles, {.title = options.title,
                                   .summary = summary + (read.remark.empty() ? "" : " · " + read.remark),
                                   .columns = 2 * pairs,
                                   .size = static_cast<double>(options.tile),
                                   .theme = options.theme});
}

}  // namespace athanor
