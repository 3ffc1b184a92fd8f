# SPDX-License-Identifier: Apache-2.0
"""Keeps torch from importing its compiler, which it does when the first optimizer is made and when it steps, and which takes as long as
all that most scripts here do. Nothing is compiled here, so that only what marks places for the compiler is called."""

import sys
import types

import torch

_compiler = types.ModuleType("torch._dynamo")
_compiler.graph_break = lambda: None
_compiler.disable = lambda function, *arguments, **options: function
sys.modules["torch._dynamo"] = torch._dynamo = _compiler
