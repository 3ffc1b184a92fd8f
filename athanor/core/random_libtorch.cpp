// SPDX-License-Identifier: Apache-2.0
// The part of random.hpp that touches LibTorch's own generators.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/core/Tensor.h>

#include <memory>

#include "athanor/core/random.hpp"

namespace athanor {

void seed_libtorch(uint64_t key) {
  {
    at::Generator generator = at::detail::getDefaultCPUGenerator();
    std::lock_guard<std::mutex> lock(generator.mutex());
    at::check_generator<at::CPUGeneratorImpl>(generator)->set_current_seed(key);
  }
  if (at::hasCUDA()) {
    for (c10::DeviceIndex i = 0; i < static_cast<c10::DeviceIndex>(at::getNumGPUs()); ++i) {
      at::Generator generator = at::globalContext().defaultGenerator(at::Device(at::kCUDA, i));
      std::lock_guard<std::mutex> lock(generator.mutex());
      generator.unsafeGetGeneratorImpl()->set_current_seed(key);
    }
  }
}

struct HostGeneratorGuard::Saved {
  at::Tensor state;
};

HostGeneratorGuard::HostGeneratorGuard() : saved_(std::make_unique<Saved>()) {
  at::Generator generator = at::detail::getDefaultCPUGenerator();
  std::lock_guard<std::mutex> lock(generator.mutex());
  saved_->state = generator.get_state();
}

HostGeneratorGuard::~HostGeneratorGuard() {
  at::Generator generator = at::detail::getDefaultCPUGenerator();
  std::lock_guard<std::mutex> lock(generator.mutex());
  generator.set_state(saved_->state);
}

}  // namespace athanor
