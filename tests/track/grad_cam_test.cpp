// SPDX-License-Identifier: Apache-2.0
// Grad-CAM beside the usual few lines of Python and beside a net whose map can be written down.
#include "athanor/track/grad_cam.hpp"

#include <gmock/gmock.h>
#include <torch/torch.h>

#include "athanor/model.hpp"
#include "athanor/train/layer_capture.hpp"
#include "tests/core/error_of.hpp"
#include "tests/track/figures.hpp"

namespace athanor::testing::grad_cam_test {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

torch::Tensor wave_tensor(std::vector<int64_t> shape, double step, double shift, double scale) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return torch::tensor(wave(count, step, shift, scale), torch::kDouble).to(torch::kFloat).view(shape);
}

/// As in understanding_peer.py.
torch::nn::Sequential peer_net(bool in_place = false) {
  namespace nn = torch::nn;
  nn::Sequential net(nn::Conv2d(nn::Conv2dOptions(2, 4, 3).padding(1)), nn::ReLU(nn::ReLUOptions(in_place)),
                     nn::MaxPool2d(2), nn::Conv2d(4, 6, 3), nn::ReLU(nn::ReLUOptions(in_place)), nn::Flatten(),
                     nn::Linear(24, 3));
  const torch::NoGradGuard no_grad;
  int number = 0;
  for (auto& parameter : net->parameters()) {
    parameter.copy_(wave_tensor(parameter.sizes().vec(), 0.7, 0.3 * number++, 0.4));
  }
  return net;
}

torch::Tensor peer_images() { return wave_tensor({2, 2, 8, 8}, 0.37, 0.1, 1.0); }

void expect_near(const torch::Tensor& mine, const std::vector<double>& theirs, const std::string& name) {
  ASSERT_EQ(mine.numel(), static_cast<int64_t>(theirs.size())) << name;
  const torch::Tensor flat = mine.flatten().to(torch::kDouble).contiguous();
  double most = 1e-3;
  for (const double value : theirs) most = std::max(most, std::abs(value));
  for (size_t i = 0; i < theirs.size(); ++i) {
    // The same operators in float32, perhaps in another order: some 100 roundings of 6e-8 of terms that cancel.
    EXPECT_NEAR(flat.const_data_ptr<double>()[i], theirs[i], 2e-5 * most) << name << " " << i;
  }
}

TEST(GradCam, IsThatOfPython) {
  auto net = peer_net();
  for (const NamedNumbers& python : python_numbers()) {
    for (const std::string layer : {"0", "1", "3"}) {
      for (const std::string which : {"best", "second"}) {
        GradCamOptions options{.layer = layer};
        if (which == "second") options.target = torch::tensor({1, 2});
        const GradCam cam = grad_cam(net, peer_images(), options);
        const std::string name = "cam_" + layer + "_" + which;
        expect_near(cam.raw, python.at(name + "_raw"), name + "_raw");
        expect_near(cam.maps, python.at(name + "_map"), name + "_map");
        expect_near(cam.classes, python.at(name + "_class"), name + "_class");
        EXPECT_TRUE(cam.sure);
      }
    }
  }
}

TEST(GradCam, OfALayerThatIsWrittenOverIsThatOfTheLayer) {
  auto net = peer_net(), in_place = peer_net(true);
  for (const std::string layer : {"0", "3"}) {
    const GradCam cam = grad_cam(net, peer_images(), {.layer = layer});
    const GradCam other = grad_cam(in_place, peer_images(), {.layer = layer});
    EXPECT_TRUE(torch::equal(cam.raw, other.raw)) << layer;
  }
}

TEST(GradCam, OfMeansOverChannelsIsTheWeightedSumOfThese) {
  // Channels that are the image times 1 and -2; the score of class 0 is 3 times the mean of the first and -1 times that
  // of the second: its map is relu(3 a + 2 a) / places, that of class 1 relu(-4 a) / places.
  struct Means : torch::nn::Module {
    Means() {
      conv = register_module("conv", torch::nn::Conv2d(torch::nn::Conv2dOptions(1, 2, 1).bias(false)));
      out = register_module("out", torch::nn::Linear(torch::nn::LinearOptions(2, 2).bias(false)));
      const torch::NoGradGuard no_grad;
      conv->weight.copy_(torch::tensor({1.0, -2.0}).view({2, 1, 1, 1}));
      out->weight.copy_(torch::tensor({{3.0, -1.0}, {0.0, 2.0}}));
    }
    torch::Tensor forward(const torch::Tensor& images) { return out(conv(images).mean({2, 3})); }
    torch::nn::Conv2d conv = nullptr;
    torch::nn::Linear out = nullptr;
  };
  auto net = std::make_shared<Means>();
  for (auto& parameter : net->parameters()) parameter.requires_grad_(false);
  const torch::Tensor images = torch::tensor({{1.0, -1.0, 2.0}, {0.0, 4.0, -3.0}}).view({1, 1, 2, 3});
  const torch::NoGradGuard no_grad;  // the caller's mode does not matter, nor that the net is frozen
  const GradCam cam = grad_cam(net, images, {.layer = "conv", .target = torch::tensor({0})});
  EXPECT_TRUE(torch::allclose(cam.raw[0], images[0][0].mul(5.0 / 6).clamp_min(0), 1e-6));
  EXPECT_TRUE(torch::allclose(cam.maps[0], images[0][0].div(4).clamp_min(0), 1e-6)) << "the same size: as it was";
  const GradCam other = grad_cam(net, images, {.layer = "conv", .target = torch::tensor({1})});
  EXPECT_TRUE(torch::allclose(other.raw[0], images[0][0].mul(-4.0 / 6).clamp_min(0), 1e-6));
  const GradCam nothing = grad_cam(net, images.abs(), {.layer = "conv", .target = torch::tensor({1})});
  EXPECT_EQ(nothing.maps.abs().sum().item<float>(), 0);
  EXPECT_THAT(texts_of(grad_cam_figure(images.abs(), nothing)), Contains(HasSubstr("nothing speaks for it")));
}

TEST(GradCam, LeavesTheNetAsItWas) {
  namespace nn = torch::nn;
  torch::manual_seed(1);
  nn::Sequential net(nn::Conv2d(1, 3, 3), nn::BatchNorm2d(3), nn::Dropout(0.5), nn::Flatten(), nn::Linear(108, 4));
  net[1]->eval();
  const torch::Tensor images = torch::rand({5, 1, 8, 8});
  net->forward(images).sum().backward();
  std::vector<torch::Tensor> before;
  for (const auto& each : net->parameters()) before.insert(before.end(), {each.detach().clone(), each.grad().clone()});
  for (const auto& each : net->buffers()) before.push_back(each.clone());
  const GradCam cam = grad_cam(net, images, {.layer = "1"});
  EXPECT_TRUE(torch::equal(grad_cam(net, images, {.layer = "1"}).raw, cam.raw)) << "no dropout";
  std::vector<torch::Tensor> after;
  for (const auto& each : net->parameters()) after.insert(after.end(), {each.detach(), each.grad()});
  for (const auto& each : net->buffers()) after.push_back(each);
  for (size_t i = 0; i < before.size(); ++i) EXPECT_TRUE(torch::equal(before[i], after[i])) << i;
  EXPECT_TRUE(net[2]->is_training());
  EXPECT_FALSE(net[1]->is_training());
  EXPECT_FALSE(images.requires_grad());
}

TEST(GradCam, OfAModel) {
  auto net = peer_net();
  Model model(net, {.loss = loss::cross_entropy});
  const Batch batch{.input = peer_images(), .target = torch::tensor({0, 1}), .samples = 2};
  const GradCam cam = grad_cam(model.task(), batch, {.layer = "3"});
  EXPECT_TRUE(torch::equal(cam.maps, grad_cam(net, peer_images(), {.layer = "3"}).maps));
}

TEST(GradCam, FigureIsBrightWhereTheMapIs) {
  GradCam cam{.maps = torch::zeros({1, 8, 8}),
              .raw = torch::zeros({1, 2, 2}),
              .classes = torch::tensor({1}),
              .scores = torch::tensor({2.5F}),
              .layer = "conv"};
  cam.maps[0][2][3] = 1;
  const Figure figure =
      grad_cam_figure(torch::zeros({1, 1, 8, 8}), cam, {.names = {"a", "b"}, .opacity = 1, .tile = 80});
  const torch::Tensor pixels = figure.pixels(1);
  // Tiles of 80, titles need 92, 14 between: the map begins at 24 + 106; each of its pixels is 10.
  EXPECT_EQ(pixel_at(pixels, 130 + 35, 80 + 25), rgb_of(draw::heat_colour(1)));
  const draw::Colour black{0, 0, 0};
  EXPECT_EQ(pixel_at(pixels, 130 + 5, 80 + 5), rgb_of(draw::mix_colours(black, draw::heat_colour(0), 0.35)));
  EXPECT_EQ(pixel_at(pixels, 24 + 35, 80 + 25), (Rgb{0, 0, 0})) << "the image itself";
  EXPECT_THAT(texts_of(figure), Contains("b"));
  EXPECT_EQ(problem_of_svg({figure}), "");
  EXPECT_EQ(error_of([&] {
              return grad_cam_figure(torch::zeros({2, 1, 8, 8}), cam);
            }).what,
            "the maps are not those of the images");
}

TEST(GradCam, NamesTheLayersThatThereAre) {
  auto net = peer_net();
  const auto unknown = error_of([&] { return grad_cam(net, peer_images(), {.layer = "conv1"}); });
  EXPECT_EQ(unknown.what, "there is no layer of this name");
  EXPECT_EQ(unknown.expected, "one of 0, 1, 2, 3, 4, 5, 6");
  const auto flat = error_of([&] { return grad_cam(net, peer_images(), {.layer = "6"}); });
  EXPECT_EQ(flat.got, "float32 (2, 3)");
  EXPECT_THAT(flat.todo, HasSubstr("convolution"));
  EXPECT_EQ(error_of([&] {
              return grad_cam(net, torch::zeros({2, 8, 8}), {.layer = "0"});
            }).expected,
            "floating (N, C, H, W)");
  EXPECT_THAT(error_of([&] {
                return grad_cam(net, peer_images(), {.layer = "0", .target = torch::tensor({0, 3})});
              }).expected,
              HasSubstr("from 0 to 2"));
}

TEST(LayerCapture, ReusesItsOperatorAndTellsWhatIsMissing) {
  struct Two : torch::nn::Module {
    Two() {
      first = register_module("first", torch::nn::Linear(3, 3));
      unused = register_module("unused", torch::nn::Linear(3, 3));
      block = register_module("block", torch::nn::Sequential(torch::nn::Linear(3, 4), torch::nn::Tanh()));
    }
    torch::Tensor forward(const torch::Tensor& x) { return block->forward(torch::relu(first(x))); }
    torch::nn::Linear first = nullptr, unused = nullptr;
    torch::nn::Sequential block = nullptr;
  };
  auto net = std::make_shared<Two>();
  const Nets nets{{"net", net}};
  const torch::Tensor x = torch::randn({5, 3});
  LayerCapture first(nets, "first");
  first.run([&] { return net->forward(x); });
  EXPECT_TRUE(torch::equal(first.values(), net->first(x)));
  const torch::Tensor y = torch::randn({7, 3});
  first.run([&] { return net->forward(y); });
  EXPECT_TRUE(torch::equal(first.values(), net->first(y)));
  LayerCapture block(nets, "block");
  const torch::Tensor result = block.run([&] { return net->forward(x); });
  EXPECT_TRUE(torch::equal(block.values(), result)) << "the last operator in it";
  EXPECT_TRUE(torch::allclose(block.gradient(result.sum()), torch::ones({5, 4})));
  LayerCapture unused(nets, "unused");
  EXPECT_THAT(error_of([&] { return unused.run([&] { return net->forward(x); }); }).got, HasSubstr("unused, a Linear"));
  EXPECT_THAT(error_of([&] { return LayerCapture(nets, "firs").layer(); }).todo, HasSubstr("did you mean first?"));
  {
    const torch::NoGradGuard no_grad;
    first.run([&] { return net->forward(x); });
  }
  EXPECT_THAT(error_of([&] { return first.gradient(result.sum()); }).got, HasSubstr("no graph"));
}

}  // namespace
}  // namespace athanor::testing::grad_cam_test
