// SPDX-License-Identifier: Apache-2.0
// The part of random.hpp that touches LibTorch's own generators.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/core/Tensor.h>

#include <memory>

#include "athanor/core/processor.hpp"
#include "athanor/core/random.hpp"

namespace athanor {
namespace {

using Words = decltype(at::mt19937_data_pod::state_);

[[gnu::always_inline]] inline void hash_words(Words& words, uint32_t low, uint32_t high) {
  uint32_t counter = low;
  for (uint32_t& word : words) {
    uint32_t hash = counter += 0x9E3779B9u;
    hash = (hash ^ (hash >> 16)) * 0x85EBCA6Bu ^ high;
    hash = (hash ^ (hash >> 13)) * 0xC2B2AE35u;
    word = hash ^ (hash >> 16);
  }
}

#if defined(__x86_64__)
[[gnu::target("avx2")]] void hash_words_avx2(Words& words, uint32_t low, uint32_t high) {
  hash_words(words, low, high);
}
#endif

/// Each word of the Mersenne Twister's state is hashed from the whole key. LibTorch's own seeding takes 32 bits of it,
/// and word after word, each from the one before, 2 µs.
void fill(at::mt19937_data_pod& state, uint64_t key) {
  const uint64_t mixed = mix({key});
  const auto low = static_cast<uint32_t>(mixed), high = static_cast<uint32_t>(mixed >> 32);
#if defined(__x86_64__)
  if (has_avx2()) {
    hash_words_avx2(state.state_, low, high);
  } else {
    hash_words(state.state_, low, high);
  }
#else
  hash_words(state.state_, low, high);
#endif
  state.seed_ = key;
  state.seeded_ = true;
  state.left_ = 1;
  state.next_ = 0;
}

void seed_cpu(uint64_t key) {
  thread_local at::mt19937 engine;
  thread_local at::mt19937_data_pod state;
  fill(state, key);
  engine.set_data(state);
  const at::Generator& generator = at::detail::getDefaultCPUGenerator();
  auto* implementation = at::check_generator<at::CPUGeneratorImpl>(generator);
  const std::lock_guard<std::mutex> lock(implementation->mutex_);
  implementation->set_engine(engine);
  implementation->set_next_float_normal_sample(std::nullopt);
  implementation->set_next_double_normal_sample(std::nullopt);
}

}  // namespace

void seed_libtorch(uint64_t key) {
  seed_cpu(key);
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
