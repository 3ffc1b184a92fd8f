// SPDX-License-Identifier: Apache-2.0
// Image sizes by epoch; the resizing beside torchvision's.
#include "athanor/callbacks/progressive_resizing.hpp"

#include "tests/callbacks/torchvision_reference.hpp"
#include "tests/core/error_of.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::progressive_resizing_test {
namespace {

using namespace athanor::literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Takes images of any size.
class AnySize : public Task {
 public:
  StepOutput training_step(const Batch& batch, StepContext& context) override {
    const Tree& input = batch.input;
    const torch::Tensor image = input.is_tensor() ? input.tensor() : input["image"].tensor();
    if (context.stage() == Stage::train) seen = image;
    sizes.push_back(std::string(context.stage() == Stage::train ? "" : "val ") + std::to_string(image.size(2)) + "x" +
                    std::to_string(image.size(3)));
    return {net(image).mean()};
  }
  Optimizers configure_optimizers() override { return optim::Adam().on(net); }
  torch::nn::Conv2d net = register_net("net", torch::nn::Conv2d(torch::nn::Conv2dOptions(2, 1, 1)));
  torch::Tensor seen;
  std::vector<std::string> sizes;
};

TEST(ProgressiveResizing, TheImagesAreThoseOfTorchvision) {
  const References references = torchvision_references();
  for (const auto& [height, width] : {std::pair<int64_t, int64_t>{3, 4}, {10, 9}, {2, 11}}) {
    for (const bool antialias : {true, false}) {
      AnySize task;
      Trainer trainer(quiet(1_epochs, {ProgressiveResizing({.sizes = {{.epoch = 1, .height = height, .width = width}},
                                                            .antialias = antialias})}));
      trainer.update(task, {.input = reference_images(), .samples = 3});
      const std::string name =
          "resize_" + std::to_string(height) + "_" + std::to_string(width) + (antialias ? "_1" : "_0");
      expect_reference({task.seen}, references.at(name), name);
    }
  }
}

TEST(ProgressiveResizing, TheSizeGoesByTheEpochAndValidationKeepsItsOwn) {
  const torch::Tensor images = torch::rand({4, 2, 8, 6});
  AnySize task;
  TrainerOptions options = quiet(
      5_epochs,
      {ProgressiveResizing(
          {.sizes = {{.epoch = 2, .height = 4, .width = 3}, {.epoch = 3, .height = 6, .width = 6}, {.epoch = 5}}})});
  options.callbacks.emplace_back(Hooks{.fit_begin = [&](Trainer&) { task.sizes.clear(); }});  // of the rehearsal
  Trainer trainer(options);
  trainer.fit(task, Data(images, Tree()), Data(images, Tree()));
  EXPECT_THAT(task.sizes,
              ElementsAre("8x6", "val 8x6", "4x3", "val 8x6", "6x6", "val 8x6", "6x6", "val 8x6", "8x6", "val 8x6"));
}

TEST(ProgressiveResizing, OnlyImagesOfATreeAreResized) {
  AnySize task;
  const torch::Tensor age = torch::rand({3, 1});
  Batch seen;
  Trainer trainer(
      quiet(1_epochs, {ProgressiveResizing({.sizes = {{.epoch = 1, .height = 2, .width = 2}}}),
                       At(Moment::forward_begin, [&](Trainer&, MomentInfo& info) { seen = *info.batch; })}));
  trainer.update(task, {.input = {{"image", reference_images()}, {"age", age}}, .target = age, .samples = 3});
  EXPECT_EQ(seen.input["image"].describe(), "float32 (3, 2, 2, 2)");
  EXPECT_TRUE(seen.input["age"].tensor().is_same(age));
  EXPECT_TRUE(seen.target.tensor().is_same(age));
}

TEST(ProgressiveResizing, WhatCanNotBeResizedIsRefused) {
  const auto refused = [](std::vector<ImageSize> sizes) {
    return error_of([&] { return ProgressiveResizing({.sizes = sizes}); });
  };
  EXPECT_EQ(refused({}).got, "none");
  EXPECT_EQ(refused({{.epoch = 0, .height = 1, .width = 1}}).got, "0 after 0");
  EXPECT_EQ(refused({{.epoch = 3, .height = 1, .width = 1}, {.epoch = 3}}).got, "3 after 3");
  EXPECT_EQ(refused({{.epoch = 1, .height = 4}}).got, "4 x 0");
  const auto update = [](const torch::Tensor& input) {
    AnySize task;
    Trainer trainer(quiet(1_epochs, {ProgressiveResizing({.sizes = {{.epoch = 1, .height = 2, .width = 2}}})}));
    return error_of([&] { return trainer.update(task, {.input = input, .samples = 3}).samples; });
  };
  EXPECT_THAT(update(torch::ones({3, 2, 4, 4}, torch::kByte)).got, HasSubstr("uint8"));
  EXPECT_THAT(update(torch::ones({3, 2})).what, HasSubstr("no images"));
}

}  // namespace
}  // namespace athanor::testing::progressive_resizing_test
