// SPDX-License-Identifier: Apache-2.0
// The options of a run by their names, for a command line or a JSON file.
//
//     athanor::FitOptions options;
//     athanor::set_options_from_json(options, "training.json");
//     athanor::set_options_from_command_line(options, argc, argv);      // --epochs 5 --trainer.accumulate 4
//     model.fit(data, options);
//
// What a program can only say in code is not among them: data, callbacks, listeners, losses.
#pragma once

#include <array>
#include <string_view>
#include <utility>

#include "athanor/model.hpp"
#include "athanor/train/trainer_options_fields.hpp"

namespace athanor {

constexpr std::array<std::pair<std::string_view, Mode>, 2> enum_names(Mode) {
  return {{{"min", Mode::min}, {"max", Mode::max}}};
}
constexpr std::array<std::pair<std::string_view, RestoreBest>, 3> enum_names(RestoreBest) {
  return {{{"at_end", RestoreBest::at_end}, {"each_epoch", RestoreBest::each_epoch}, {"never", RestoreBest::never}}};
}

template <class Visitor>
void fields(Visitor& visit, FitOptions& o) {
  visit("validation_split", o.validation_split, "the last fraction of the data is for validation");
  visit("epochs", o.epochs);
  visit("monitor", o.monitor, "the value that decides what is best");
  visit("patience", o.patience, "stop after so many epochs without improvement");
  visit("run", o.run, "folder of the run");
  visit("resume", o.resume, "never, auto, last, best, epoch N, or a path");
  visit("batch_size", o.batch_size);
  visit("shuffle", o.shuffle);
  visit("mode", o.mode);
  visit("min_change", o.min_change);
  visit("restore_best", o.restore_best);
  visit("train_batches", o.train_batches, "a number of batches, or a fraction of them");
  visit("validation_batches", o.validation_batches);
  visit("seed", o.seed);
  visit("class_weight", o.class_weight, "a weight for each class");
  visit("trainer", o.trainer);
  visit("verbosity", o.verbosity);
  visit("device", o.device);
  visit("threads", o.threads, "threads inside operators");
  visit("workers", o.workers, "background threads that prepare batches");
  visit("host", o.host);
  visit("profile", o.profile, "so many steps are profiled: 20 steps");
  visit("digits", o.digits, "decimals on the console");
}

}  // namespace athanor
