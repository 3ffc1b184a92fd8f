// SPDX-License-Identifier: Apache-2.0
// Nets as graphs for TensorBoard.
//
//     trainer.record("graph", athanor::track::graph_of(task.nets()));
#pragma once

#include "athanor/train/events.hpp"
#include "athanor/train/nets.hpp"

namespace athanor::track {

/// For nets that no pass has shown: a run tells its trackers the true graph itself (train/layer_sight.hpp).
///
/// The layers, grouped as the modules that hold them, each with its type and the shapes of its parameters. LibTorch's
/// modules don't tell who calls whom: the layers of a net are a chain in the order in which they were registered, from
/// `input` on, which is true for a Sequential and a guess for a forward() that branches.
[[nodiscard]] events::Graph graph_of(const Nets& nets);

}  // namespace athanor::track
