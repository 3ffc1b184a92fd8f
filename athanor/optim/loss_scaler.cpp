// SPDX-License-Identifier: Apache-2.0
#include "athanor/optim/loss_scaler.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_amp_update_scale.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include <limits>
#include <string>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"

namespace athanor {
namespace {

void require(bool ok, const char* option, double value, const char* expected) {
  if (ok) return;
  throw Error({.what = "an option of a loss scaler is out of range",
               .where = std::string("LossScalerOptions::") + option,
               .got = format_number(value),
               .expected = expected});
}

LossScalerOptions checked(const LossScalerOptions& options) {
  require(options.initial_scale > 0 && options.initial_scale <= std::numeric_limits<float>::max(), "initial_scale",
          options.initial_scale, "above 0, a number of float32");
  require(options.growth_factor > 1, "growth_factor", options.growth_factor, "above 1");
  require(options.backoff_factor > 0 && options.backoff_factor < 1, "backoff_factor", options.backoff_factor,
          "above 0 and below 1");
  require(options.growth_interval > 0, "growth_interval", static_cast<double>(options.growth_interval), "1 or more");
  return options;
}

}  // namespace

LossScaler::LossScaler(LossScalerOptions options, at::Device device)
    : options_(checked(options)),
      scale_(at::full({}, options.initial_scale, at::TensorOptions().dtype(at::kFloat).device(device))),
      growth_tracker_(at::zeros({}, at::TensorOptions().dtype(at::kInt).device(device))) {}

void LossScaler::update(const at::Tensor& found_inf) {
  if (!found_inf.defined() || found_inf.scalar_type() != at::kFloat || found_inf.numel() != 1 ||
      found_inf.device() != scale_.device()) {
    throw Error({.what = "a loss scaler was told of non-finite gradients by something else than a scalar",
                 .where = "LossScaler::update",
                 .got = describe(found_inf),
                 .expected = describe(scale_)});
  }
  at::NoGradGuard no_grad;
  at::_amp_update_scale_(scale_, growth_tracker_, found_inf, options_.growth_factor, options_.backoff_factor,
                         options_.growth_interval);
}

void LossScaler::state(State& state) {
  state.tensor("scale", scale_);
  state.tensor("growth_tracker", growth_tracker_);
}

}  // namespace athanor
