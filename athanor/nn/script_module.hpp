// SPDX-License-Identifier: Apache-2.0
// Whole models of Python in one file: TorchScript, trained here and given back.
//
//     athanor::Net net = athanor::load_script_module("net.pt");        // torch.jit.script(net).save("net.pt")
//     athanor::Model model(net, {.loss = athanor::loss::cross_entropy});
//     model.fit({images, labels});
//     athanor::save_script_module(net, "trained.pt");                  // torch.jit.load("trained.pt")
#pragma once

#include <filesystem>

#include "athanor/nn/net.hpp"

namespace athanor {

/// A module that `torch.jit.save` wrote, on the CPU. Its parameters, buffers and submodules have the names that Python
/// gives them, so weights files and patterns of optimizers fit; train and eval mode reach every submodule, and moving
/// the net to a device moves it. Copies of the Net share it. Forward is called as Python's: a tensor is one argument, a
/// list of a Tree several; tuples and lists come back as lists, dictionaries of text as dictionaries.
///
/// A module of `torch.jit.script` behaves as in Python. One of `torch.jit.trace` keeps what was decided while it was
/// traced: dropout that was off stays off. One that was frozen (`torch.jit.freeze`) has no parameters to train.
///
/// A TorchScript file is a program: its code runs in `forward`, so load files of people that you trust. Before LibTorch
/// sees it, the archive is checked as every other one is here (places, names, sizes), with the checksum of each file in
/// it, so that damage is an Error and no crash. Throws Error, in LibTorch's words without its stack trace, for what it
/// does not take; and, with what to do, for a file of `torch.save`, which has weights and no program.
///
/// TorchScript is deprecated in PyTorch since 2.9; LibTorch 2.13 still reads and writes it.
[[nodiscard]] Net load_script_module(const std::filesystem::path& path);

/// Writes a net of `load_script_module` with its present weights, as a whole or not at all, in the train or eval mode
/// that it is in. Tensors are written for the device that they are on. Throws Error for a net of another kind, and
/// when the file can't be written.
void save_script_module(const Net& net, const std::filesystem::path& path);

}  // namespace athanor
