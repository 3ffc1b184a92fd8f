// SPDX-License-Identifier: Apache-2.0
// Where in an image a net sees a class: Grad-CAM (Selvaraju and others, 2017).
//
//     athanor::GradCam cam = athanor::grad_cam(net, images, {.layer = "features.7"});
//     athanor::grad_cam_figure(images, cam, {.names = names}).save("cam.png");
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "athanor/core/batch.hpp"
#include "athanor/track/sample_grid.hpp"
#include "athanor/train/nets.hpp"

namespace athanor {

class Task;

struct GradCamOptions {
  /// Path of a module whose output is (N, K, h, w), usually the last convolution; with several nets `NET.path`.
  std::string layer = {};
  /// The class to explain, for each image, whole numbers (N). Undefined: the one with the greatest score.
  at::Tensor target = {};
};

struct GradCam {
  /// float32 (N, H, W) on the CPU, as large as the images (bilinear), 0 … 1: divided by the greatest of each image. An
  /// image in which nothing speaks for its class is 0 everywhere.
  at::Tensor maps = {};
  /// float32 (N, h, w) on the CPU: the same before it was enlarged and divided.
  at::Tensor raw = {};
  at::Tensor classes = {};  ///< int64 (N) on the CPU: which class was explained.
  at::Tensor scores = {};   ///< float32 (N) on the CPU: what the net gave it.
  std::string layer = {};
  bool sure = true;  ///< As LayerCapture::sure.
};

/// The channels of the layer, each weighted by the mean over the image of the gradient of the class's score, added up,
/// and what is below zero cut off. `forward` gives scores, floating (N, C), for the images it is called with; modules
/// are in eval mode meanwhile and get their modes back; parameters, their gradients and their need of gradients are
/// left alone. Gradients are computed even when the caller has switched them off.
///
/// Throws Error that names the layers for one that is not there; for images that are not floating (N, C, H, W), scores
/// and a layer of another shape, and classes out of range.
[[nodiscard]] GradCam grad_cam(const Nets& nets, const std::function<at::Tensor(const at::Tensor&)>& forward,
                               const at::Tensor& images, const GradCamOptions& options);

/// Of a module: a holder, a shared_ptr, with `forward(Tensor)` that returns the scores.
template <class M>
requires requires(M& net, const at::Tensor& images) { at::Tensor(net->forward(images)); }
[[nodiscard]] GradCam grad_cam(M& net, const at::Tensor& images, const GradCamOptions& options) {
  std::shared_ptr<torch::nn::Module> module;
  if constexpr (requires { net.ptr(); }) {
    module = net.ptr();
  } else {
    module = net;
  }
  return grad_cam(
      Nets{{"net", std::move(module)}}, [&](const at::Tensor& input) { return at::Tensor(net->forward(input)); },
      images, options);
}

/// Of a task, such as that of a Model: the first tensor of the predictions of `Task::predict_step`. The first tensor of
/// the input are the images. The batch lies on the device of the nets.
[[nodiscard]] GradCam grad_cam(Task& task, const Batch& batch, const GradCamOptions& options);

struct GradCamFigureOptions {
  std::string title = "Grad-CAM";
  std::vector<std::string> names{};  ///< Of the classes; empty: the numbers.
  std::vector<double> mean{};        ///< As in SampleGridOptions.
  std::vector<double> deviation{};
  std::optional<std::pair<double, double>> range = {};
  /// How much of the image the heat hides where it is greatest, 0 … 1.
  double opacity = 0.7;
  int tile = 160;
  Theme theme = Theme::light;
};

/// Each image, and beside it the same under its heat map: dark where nothing speaks for the class, bright where most
/// does. Throws Error for another number or size of images than the maps have, and as sample_grid does; pixels that are
/// not finite are magenta.
[[nodiscard]] Figure grad_cam_figure(const at::Tensor& images, const GradCam& cam,
                                     const GradCamFigureOptions& options = {});

}  // namespace athanor
