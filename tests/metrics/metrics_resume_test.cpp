// SPDX-License-Identifier: Apache-2.0
// A run with metrics of every kind of memory that is interrupted at any update goes on to the same bits.
#include <random>

#include "athanor/metrics/metrics.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::metrics_resume_test {
namespace {

constexpr int64_t epochs = 2;

class Measured : public Classifier {
 public:
  using Classifier::Classifier;
  Metrics configure_metrics(Stage) override {
    namespace m = metrics;
    // Counts for each class, kept scores, bins, sums, images, a window, kept pairs, a formula of three.
    return {{"top2_macro", m::accuracy({.average = m::Average::macro, .top_k = 2})},
            m::auroc(),
            {"auroc_bins", m::auroc({.bins = 9})},
            m::log_loss(),
            m::cohen_kappa({.weights = m::KappaWeights::linear}),
            m::matthews(),
            {"iou", m::segmentation_iou({.of = m::OverlapOf::image})},
            m::running(m::balanced_accuracy(), 3),
            {"odd", m::f1() + m::calibration_error() * m::average_precision({.average = m::Average::weighted})}};
  }
};

TEST(MetricsResume, ARunInterruptedAtARandomUpdateGoesOnToTheSameBits) {
  std::vector<Tree> saved;
  Trainer undisturbed(quiet(Duration::epochs(epochs),
                            {Hooks{.step_end = [&](Trainer& trainer) { saved.push_back(trainer.save_state()); }}}));
  Measured task;
  const History history = undisturbed.fit(task, data_of(clouds(22)), data_of(clouds(10, 2)));
  const Tree end = undisturbed.save_state();
  EXPECT_GT(history.last().values["val_auroc"], 0.5);

  const uint32_t seed = std::random_device()();
  std::mt19937 random(seed);
  for (int round = 0; round < 4; ++round) {
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

}  // namespace
}  // namespace athanor::testing::metrics_resume_test
