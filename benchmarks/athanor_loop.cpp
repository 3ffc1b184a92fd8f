// SPDX-License-Identifier: Apache-2.0
//
// Our side: Model::fit as a user calls it, with a metric, live progress, history, and the best checkpoint written in
// the background.
#include <athanor/athanor.hpp>

#include "common.hpp"

namespace {

benchmarks::Result train(const benchmarks::Options& options) {
  athanor::FashionMnist data = athanor::read_fashion_mnist(options.data);
  if (options.model == "mlp") {
    data.train_images = data.train_images.flatten(1);
    data.test_images = data.test_images.flatten(1);
  }
  athanor::Model model(benchmarks::make_net(options), {.loss = athanor::loss::cross_entropy,
                                                       .optimizer = athanor::optim::Adam({.lr = 1e-3}),
                                                       .metrics = {athanor::metrics::accuracy()}});
  athanor::FitOptions fit{.validation = {data.test_images, data.test_labels},
                          .epochs = options.epochs,
                          .monitor = "val_acc",
                          .run = "run",
                          .batch_size = options.batch,
                          .seed = static_cast<uint64_t>(options.seed)};
  if (options.limit_batches > 0) fit.train_batches = fit.validation_batches = options.limit_batches;
  if (options.threads > 0) fit.threads = static_cast<int>(options.threads);
  benchmarks::reset_peak_memory();

  const benchmarks::Stopwatch total;
  const athanor::History history = model.fit({data.train_images, data.train_labels}, fit);
  benchmarks::Result result;
  result.total_seconds = total.seconds();
  for (const athanor::History::Epoch& epoch : history.epochs()) result.train_seconds += epoch.seconds;
  result.steps = history.last().steps;
  result.train_loss = history.last().values["train_loss"];
  result.val_loss = history.last().values["val_loss"];
  result.val_acc = history.last().values["val_acc"];
  return result;
}

}  // namespace

int main(int argument_count, char** arguments) { return benchmarks::run_side(argument_count, arguments, train); }
