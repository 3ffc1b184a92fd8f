// SPDX-License-Identifier: Apache-2.0
// A model and a loop that the library knows nothing about, with its display, its files and its trackers.
//
//     build/release/examples/own_loop runs/line
#include <cmath>
#include <cstdio>
#include <vector>

#include "athanor/track/run_log.hpp"
#include "athanor/track/tensorboard.hpp"

int main(int argc, char** argv) {
  athanor::RunLogOptions options{.epochs = 200, .monitor = "val_loss", .patience = 5, .header = {{"lr", "0.05"}}};
  if (argc > 1) {
    options.run = argv[1];
    options.track = {athanor::track::tensorboard()};
  }
  double slope = 0;
  double best = 0;
  options.save_best = [&](int64_t) { best = slope; };

  std::vector<double> x(512);
  for (size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<double>(i));
  const auto truth = [](double value) { return 3 * value + 0.1 * std::cos(50 * value); };

  athanor::RunLog log(options);
  do {
    for (size_t i = 0; i < 400; ++i) {
      const double error = slope * x[i] - truth(x[i]);
      slope -= 0.05 * error * x[i] / 4;
      log.step({{"train_loss", error * error}});
    }
    for (size_t i = 400; i < x.size(); ++i) {
      const double error = slope * x[i] - truth(x[i]);
      log.step({{"val_loss", error * error}});
    }
  } while (log.epoch());
  log.end();
  std::printf("slope %.2f\n", best);
}
