// SPDX-License-Identifier: Apache-2.0
// The state of an optimizer as Python's `optimizer.state_dict()` gives it, both ways.
//
//     athanor::Tree checkpoint = athanor::load_torch_file("checkpoint.pt");
//     athanor::copy_into(checkpoint["model"], athanor::named_tensors(net));
//     athanor::load_python_optimizer_state(*adam, checkpoint["optimizer"]);
#pragma once

#include "athanor/core/tree.hpp"
#include "athanor/optim/optimizer.hpp"

namespace athanor {

/// `{"state": {"0": {"step": …, "exp_avg": …}}, "param_groups": [{"lr": …, "params": [0, 1]}]}`: parameters are
/// numbered group by group in the order in which the optimizer was bound to them. `save_torch_file` writes the numbers
/// as Python has them; there, `optimizer.load_state_dict(torch.load(path))` takes it.
///
/// Tensors are copies. A momentum that has not yet begun is left out, as in Python. Throws Error for an optimizer that
/// does not keep its state by parameter, such as an adopted one of LibTorch.
[[nodiscard]] Tree python_optimizer_state(Optimizer& optimizer);

/// Loads what Python's optimizer of the same kind has saved, all or nothing: the state of each parameter, and the
/// options of each group that the state of this optimizer holds (learning rate, betas, weight decay, …), as
/// `load_state_dict` does in Python. An option that Python did not save keeps its value; a parameter without a state in
/// Python begins anew.
///
/// The n-th parameter of a group takes the state of the n-th parameter of Python's group; where Python has named them
/// (`param_names`) with the names of this optimizer, names decide. Throws Error that tells every difference, and then
/// nothing has changed: groups of another number or size, a state whose shape, dtype or kind is not that of the
/// parameter, with the number and the name of the parameter.
void load_python_optimizer_state(Optimizer& optimizer, const Tree& saved);

}  // namespace athanor
