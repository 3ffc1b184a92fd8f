// SPDX-License-Identifier: Apache-2.0
// A run that measures detections, or images, and is interrupted at any update goes on to the same bits.
#include <random>

#include "athanor/metrics/detection.hpp"
#include "athanor/metrics/image_quality.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::detection_resume_test {
namespace {

constexpr int64_t epochs = 2;

/// Each sample is an image with a box for each class, whose score is that of the class; the box of its class is right.
class Detector : public Classifier {
 public:
  using Classifier::Classifier;
  StepOutput training_step(const Batch& batch, StepContext& context) override {
    StepOutput output = Classifier::training_step(batch, context);
    const torch::Tensor scores = output.predictions.tensor().detach().softmax(1), target = batch.target.tensor();
    const torch::Tensor corners =
        torch::arange(3).to(torch::kFloat).unsqueeze(1) * 50 + torch::tensor({{0.F, 0.F, 40.F, 40.F}});
    Tree::List found, wanted;
    for (int64_t i = 0; i < target.size(0); ++i) {
      const int64_t label = target[i].item<int64_t>();
      found.push_back(Tree{{"boxes", corners}, {"scores", scores[i]}, {"labels", torch::tensor({0, 0, 1})}});
      wanted.push_back(Tree{{"boxes", corners.slice(0, label, label + 1)},
                            {"labels", torch::tensor({label / 2})},
                            {"image_id", batch.indices[i]}});
    }
    return {output.loss, Tree::list(std::move(found)), Tree::list(std::move(wanted))};
  }
  /// Areas without targets would be NaN, which equals nothing.
  Metrics configure_metrics(Stage) override {
    return {metrics::mean_average_precision({.areas = {{"all"}, {"medium", 1024, 9216}}, .per_class = true})};
  }
};

/// The inputs, shifted by what the net says, beside the inputs.
class Painter : public Classifier {
 public:
  using Classifier::Classifier;
  StepOutput training_step(const Batch& batch, StepContext& context) override {
    const StepOutput output = Classifier::training_step(batch, context);
    const torch::Tensor images = batch.input.tensor().view({-1, 1, 2, 2});
    return {output.loss, images + output.predictions.tensor().detach().mean(), images};
  }
  Metrics configure_metrics(Stage) override {
    namespace m = metrics;
    return {m::psnr({.data_range = 8.0}),
            {"psnr_image", m::psnr({.data_range = 8.0, .of = m::PsnrOf::image})},
            m::ssim({.data_range = 8.0, .sigma = {0.2, 0.2}}),
            m::ms_ssim({.data_range = 8.0, .gaussian_kernel = false, .kernel_size = {1, 1}, .betas = {0.5, 0.5}})};
  }
};

template <class Measured>
void expect_resumed(const char* value) {
  std::vector<Tree> saved;
  Trainer undisturbed(quiet(Duration::epochs(epochs),
                            {Hooks{.step_end = [&](Trainer& trainer) { saved.push_back(trainer.save_state()); }}}));
  Measured task;
  const History history = undisturbed.fit(task, data_of(clouds(22)), data_of(clouds(10, 2)));
  const Tree end = undisturbed.save_state();
  EXPECT_GT(history.last().values[value], 0.01);

  const uint32_t seed = std::random_device()();
  std::mt19937 random(seed);
  for (int round = 0; round < 3; ++round) {
    const size_t step = random() % saved.size();
    SCOPED_TRACE("seed " + std::to_string(seed) + ", after step " + std::to_string(step + 1));
    Measured again(99);
    Trainer trainer(quiet(Duration::epochs(epochs), {Hooks()}));
    trainer.load_state(again, saved[step]);
    const History resumed = trainer.fit(again, data_of(clouds(22)), data_of(clouds(10, 2)));
    expect_same(history, resumed);
    expect_same(end, trainer.save_state());
  }
}

TEST(DetectionResume, DetectionsGoOnToTheSameBits) { expect_resumed<Detector>("val_bbox_map"); }
TEST(DetectionResume, ImagesGoOnToTheSameBits) { expect_resumed<Painter>("val_ms_ssim"); }

}  // namespace
}  // namespace athanor::testing::detection_resume_test
