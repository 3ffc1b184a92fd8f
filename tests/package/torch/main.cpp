// SPDX-License-Identifier: Apache-2.0
#include <torch/torch.h>

#ifndef FAKE_TORCH
#error "another LibTorch was taken"
#endif

int main() {}
