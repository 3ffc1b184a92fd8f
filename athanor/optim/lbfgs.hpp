// SPDX-License-Identifier: Apache-2.0
// A quasi-Newton method for problems that are evaluated as a whole.
//
//     auto lbfgs = athanor::optim::LBFGS({.line_search_fn = athanor::optim::LineSearch::strong_wolfe}).on(net);
//     lbfgs->step([&] {
//       lbfgs->zero_grad();
//       torch::Tensor loss = criterion(net->forward(x), y);
//       loss.backward();
//       return loss;
//     });
#pragma once

#include <optional>

#include "athanor/optim/options_recipe.hpp"

namespace athanor::optim {

enum class LineSearch {
  none,          ///< Every step has the length lr.
  strong_wolfe,  ///< The length is looked for until it fulfils the strong Wolfe conditions, from lr on.
};

/// The options of `torch.optim.LBFGS`, with its names and defaults.
struct LBFGSOptions {
  double lr = 1;
  int64_t max_iter = 20;                 ///< Iterations in one step, 1 or more.
  std::optional<int64_t> max_eval = {};  ///< Evaluations in one step; unset: max_iter * 5 / 4.
  double tolerance_grad = 1e-7;          ///< A step ends when no number of the gradient is larger.
  double tolerance_change = 1e-9;        ///< A step ends when loss or weights change less.
  int64_t history_size = 100;            ///< Pairs of vectors as long as all parameters together; 10 is often enough.
  LineSearch line_search_fn = LineSearch::none;
};

/// L-BFGS (Liu & Nocedal, 1989), as `torch.optim.LBFGS` has it. It needs the loss as a closure and evaluates it several
/// times a step, so it does not work with manual optimization nor with a loss scaler (precision f16). One group, all
/// parameters on one device and of one dtype. Each iteration reads the loss, which waits for a device.
///
/// State, under the name of the first parameter as in Python: `func_evals`, `n_iter`, `d`, `t`, `old_dirs`, `old_stps`,
/// `ro`, `H_diag`, `prev_flat_grad`, `prev_loss`.
///
/// When the first evaluation of a step is not finite, or one at a point that the step would go on from, everything is
/// put back and the loss is NaN. A trial of the line search that is not finite counts as too far.
///
/// On a CPU in float32 and float64 the inner products of the history are taken in float64 and together, so that an
/// iteration reads the history twice and not five times; the direction is that of Python but for rounding.
class LBFGS : public OptionsRecipe<LBFGSOptions> {
 public:
  /// Throws Error for a value out of range; `on` throws for several groups, devices or dtypes.
  explicit LBFGS(LBFGSOptions options = {});
};

}  // namespace athanor::optim
