// SPDX-License-Identifier: Apache-2.0
// The options of a trainer by their names, for a command line or a JSON file; see athanor/core/options.hpp.
#pragma once

#include <array>
#include <string_view>
#include <utility>

#include "athanor/core/options.hpp"
#include "athanor/train/trainer_options.hpp"

namespace athanor {

constexpr std::array<std::pair<std::string_view, Verbosity>, 4> enum_names(Verbosity) {
  return {{{"silent", Verbosity::silent},
           {"quiet", Verbosity::quiet},
           {"normal", Verbosity::normal},
           {"verbose", Verbosity::verbose}}};
}
constexpr std::array<std::pair<std::string_view, Signals>, 3> enum_names(Signals) {
  return {{{"untouched", Signals::untouched}, {"stop", Signals::stop}, {"exit", Signals::exit}}};
}
template <class Visitor>
void fields(Visitor& visit, Clip& o) {
  visit("norm", o.norm, "largest norm of all gradients together");
  visit("norm_type", o.norm_type, "1, 2 or inf");
  visit("value", o.value, "largest magnitude of a gradient");
}
template <class Visitor>
void fields(Visitor& visit, LossScalerOptions& o) {
  visit("initial_scale", o.initial_scale);
  visit("growth_factor", o.growth_factor);
  visit("backoff_factor", o.backoff_factor);
  visit("growth_interval", o.growth_interval);
}
template <class Visitor>
void fields(Visitor& visit, NonFiniteOptions& o) {
  visit("policy", o.policy, "what is done about NaN and infinity");
  visit("at_most", o.at_most, "so many of them end the run");
  visit("keep_every", o.keep_every, "with roll_back: how often the state is kept");
}
template <class Visitor>
void fields(Visitor& visit, HostOptions& o) {
  visit("keep_freed_memory", o.keep_freed_memory, "tune the allocator of the process");
  visit("faster_kernels", o.faster_kernels);
  visit("flush_denormals", o.flush_denormals, "numbers below 1.2e-38 count as zero");
  visit("threads", o.threads, "threads inside operators");
  visit("restore_generator", o.restore_generator);
  visit("signals", o.signals, "what SIGTERM and SIGINT do during training");
  visit("further_signal", o.further_signal);
}
template <class Visitor>
void fields(Visitor& visit, Penalty& o) {
  visit("pattern", o.pattern);
  visit("l1", o.l1);
  visit("l2", o.l2);
}

template <class Visitor>
void fields(Visitor& visit, TrainerOptions& o) {
  visit("max_duration", o.max_duration, "how long a call trains");
  visit("min_duration", o.min_duration, "requests to stop wait so long");
  visit("max_time", o.max_time, "wall time after which it ends");
  visit("batch_size", o.batch_size);
  visit("shuffle", o.shuffle);
  visit("seed", o.seed);
  visit("train_batches", o.train_batches, "a number of batches, or a fraction of them");
  visit("validation_batches", o.validation_batches);
  visit("test_batches", o.test_batches);
  visit("predict_batches", o.predict_batches);
  visit("fast_dev_run", o.fast_dev_run, "so many batches of everything, and no files");
  visit("overfit_batches", o.overfit_batches);
  visit("accumulate", o.accumulate, "micro-batches of a step, or by epoch: 1:1,5:4");
  visit("clip", o.clip);
  visit("penalties", o.penalties);
  visit("precision", o.precision);
  visit("scaler", o.scaler);
  visit("channels_last", o.channels_last);
  visit("non_finite", o.non_finite);
  visit("split_when_out_of_memory", o.split_when_out_of_memory);
  visit("validate_every", o.validate_every);
  visit("validate_first", o.validate_first);
  visit("pool_validation", o.pool_validation);
  visit("rehearsal_batches", o.rehearsal_batches);
  visit("deterministic", o.deterministic);
  visit("detect_anomaly", o.detect_anomaly);
  visit("run", o.run, "folder of the run");
  visit("resume", o.resume, "never, auto, last, best, epoch N, or a path");
  visit("verbosity", o.verbosity);
  visit("log_every", o.log_every);
  visit("device", o.device);
  visit("workers", o.workers, "background threads that prepare batches");
  visit("host", o.host);
  visit("profile", o.profile, "so many steps are profiled: 20 steps");
  visit("digits", o.digits, "decimals on the console");
}

}  // namespace athanor
