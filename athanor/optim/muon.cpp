// SPDX-License-Identifier: Apache-2.0
#include "athanor/optim/muon.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/baddbmm.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>

#include "athanor/core/parallel.hpp"
#include "athanor/core/processor.hpp"
#include "athanor/optim/divided.hpp"
#include "athanor/optim/pack.hpp"

namespace athanor::optim {
namespace {

constexpr detail::Range below_hundred{0, 100, "from 0 to 99", true, false};

struct MuonRules {
  static constexpr const char* name = "Muon";
  using Options = MuonOptions;

  template <class Visitor>
  static void walk(MuonOptions& o, Visitor&& visit) {
    visit("lr", o.lr, &GroupOptions::lr, detail::zero_or_more);
    visit("weight_decay", o.weight_decay, &GroupOptions::weight_decay, detail::zero_or_more);
    visit("momentum", o.momentum, &GroupOptions::momentum, detail::zero_or_more);
    visit("nesterov", o.nesterov, &GroupOptions::nesterov);
    visit("ns_coefficients", o.ns_coefficients, &GroupOptions::ns_coefficients, detail::any_number);
    visit("eps", o.eps, &GroupOptions::eps, detail::any_number);
    visit("ns_steps", o.ns_steps, &GroupOptions::ns_steps, below_hundred);
    visit("adjust_lr_fn", o.adjust_lr_fn, &GroupOptions::adjust_lr_fn);
  }

  struct Slot {
    at::Tensor momentum_buffer;
    void state(State& state) { state.tensor("momentum_buffer", momentum_buffer); }
  };
  static Slot make_slot(const MuonOptions&, const at::Tensor& parameter) { return {detail::make_moment(parameter)}; }
};

/// Whether products of bfloat16 are faster than those of float32.
bool multiplies_bfloat16(at::Device device) {
#if defined(__x86_64__)
  return !device.is_cpu() || has_bfloat16_tiles();
#else
  return true;
#endif
}

/// The bits of the nearest float32 that bfloat16 holds, an even one between two; NaN stays NaN. Of one number or many.
template <class Bits>
ATHANOR_PACK Bits nearest_bfloat16(Bits bits) {
  constexpr uint32_t infinity = 0x7F800000, quiet = 0x00400000, kept = 0xFFFF0000;
  const Bits nearest = bits + 0x7FFF + ((bits >> 16) & 1);
  return ((bits & 0x7FFFFFFF) > infinity ? bits | quiet : nearest) & kept;
}

ATHANOR_PACK_ENTRY void round_to_bfloat16(float* numbers, int64_t count) {
  typedef uint32_t Bits __attribute__((vector_size(32)));
  typedef uint32_t Unaligned __attribute__((vector_size(32), aligned(alignof(float)), may_alias));
  constexpr int64_t at_once = sizeof(Bits) / sizeof(float);
  int64_t i = 0;
  for (; i + at_once <= count; i += at_once) {
    const Bits bits = *reinterpret_cast<const Unaligned*>(numbers + i);
    *reinterpret_cast<Unaligned*>(numbers + i) = nearest_bfloat16(bits);
  }
  for (; i < count; ++i) numbers[i] = std::bit_cast<float>(nearest_bfloat16(std::bit_cast<uint32_t>(numbers[i])));
}

/// Of a contiguous float32 tensor.
void round_to_bfloat16(const at::Tensor& tensor) {
  if (!detail::has_packs()) {
    tensor.copy_(tensor.to(at::kBFloat16));
    return;
  }
  auto* numbers = tensor.mutable_data_ptr<float>();
  parallel_for(tensor.numel(), /*smallest_piece=*/1 << 14,
               [&](int64_t begin, int64_t end) { round_to_bfloat16(numbers + begin, end - begin); });
}

/// Matrices (N, A, B) with A <= B of bfloat16 numbers, kept in bfloat16 or float32.
class Orthogonal {
 public:
  Orthogonal(at::Tensor matrices, const MuonOptions& options)
      : x_(std::move(matrices)), emulated_(!multiplies_bfloat16(x_.device())) {
    x_ = x_.to(at::kBFloat16);
    const at::Tensor norm = at::linalg_vector_norm(x_, 2, at::IntArrayRef({1, 2}), /*keepdim=*/true);
    x_.div_(norm.clamp_min(options.eps));
    if (emulated_) x_ = x_.to(at::kFloat);
    const auto [a, b, c] = options.ns_coefficients;
    for (int64_t i = 0; i < options.ns_steps; ++i) {
      const at::Tensor gram = rounded(at::bmm(x_, x_.transpose(1, 2)));
      const at::Tensor update = rounded(at::baddbmm(gram, gram, gram, b, c));
      x_ = rounded(at::baddbmm(x_, update, x_, a, 1));
    }
  }
  /// In a dtype that holds bfloat16.
  [[nodiscard]] const at::Tensor& result() const noexcept { return x_; }

 private:
  [[nodiscard]] at::Tensor rounded(at::Tensor product) const {
    if (emulated_) round_to_bfloat16(product);
    return product;
  }

  at::Tensor x_;
  bool emulated_;
};

class BoundMuon final : public detail::DividedOptimizer<MuonRules> {
 public:
  BoundMuon(const MuonOptions& options, const ParameterGroups& groups) : DividedOptimizer(options, groups) {
    for (const Parameter& parameter : parameters()) {
      if (parameter.tensor.dim() == 2) continue;
      throw Error({.what = "Muon trains matrices alone",
                   .where = name_ + ", " + parameter.name,
                   .got = athanor::describe(parameter.tensor),
                   .expected = "a shape (A, B)",
                   .todo = "train it with AdamW beside Muon"});
    }
  }

 private:
  void step_divided(Group& group) override {
    const MuonOptions& o = group.options;
    std::vector<at::Tensor> parameters, gradients, buffers;
    for (size_t i = 0; i < group.parameters.size(); ++i) {
      const at::Tensor& parameter = group.parameters[i].tensor;
      if (!parameter.grad().defined()) continue;
      parameters.push_back(parameter);
      gradients.push_back(parameter.grad());
      buffers.push_back(group.slots[i].momentum_buffer);
    }
    if (parameters.empty()) return;
    at::_foreach_lerp_(buffers, gradients, 1 - o.momentum);
    const std::vector<at::Tensor> updates = o.nesterov ? at::_foreach_lerp(gradients, buffers, o.momentum) : buffers;
    detail::scale_all(parameters, 1 - o.lr * o.weight_decay);
    for (const std::vector<size_t>& alike : batches(parameters)) step_alike(o, alike, parameters, updates);
  }

  /// Matrices of equal shape and dtype, as many at once as stay in a cache on the CPU.
  static std::vector<std::vector<size_t>> batches(const std::vector<at::Tensor>& parameters) {
    const int64_t most = parameters.front().is_cpu() ? int64_t{1} << 19 : int64_t{1} << 26;
    std::map<std::tuple<int64_t, int64_t, at::ScalarType>, std::vector<size_t>> by_shape;
    std::vector<std::vector<size_t>> found;
    for (size_t i = 0; i < parameters.size(); ++i) {
      const at::Tensor& each = parameters[i];
      std::vector<size_t>& alike = by_shape[{each.size(0), each.size(1), each.scalar_type()}];
      alike.push_back(i);
      if (static_cast<int64_t>(alike.size() + 1) * each.numel() <= most) continue;
      found.push_back(std::move(alike));
      alike.clear();
    }
    for (auto& [shape, alike] : by_shape) {
      if (!alike.empty()) found.push_back(std::move(alike));
    }
    return found;
  }

  static void step_alike(const MuonOptions& o, const std::vector<size_t>& alike,
                         const std::vector<at::Tensor>& parameters, const std::vector<at::Tensor>& updates) {
    const at::Tensor& first = parameters[alike.front()];
    const bool tall = first.size(0) > first.size(1);
    if (first.numel() == 0) return;
    std::vector<at::Tensor> momenta;
    momenta.reserve(alike.size());
    for (const size_t i : alike) momenta.push_back(tall ? updates[i].t() : updates[i]);
    const Orthogonal orthogonal(at::stack(momenta), o);
    const double rate = o.lr * adjustment(o.adjust_lr_fn, first);
    for (size_t i = 0; i < alike.size(); ++i) {
      const at::Tensor update = orthogonal.result().select(0, static_cast<int64_t>(i));
      const at::Tensor& parameter = parameters[alike[i]];
      parameter.add_((tall ? update.t() : update).to(parameter.scalar_type()), -rate);
    }
  }

  static double adjustment(AdjustLr how, const at::Tensor& matrix) {
    const auto rows = static_cast<double>(matrix.size(0)), columns = static_cast<double>(matrix.size(1));
    if (how == AdjustLr::match_rms_adamw) return 0.2 * std::sqrt(std::max(rows, columns));
    return std::sqrt(std::max(1.0, rows / columns));
  }
};

}  // namespace

Muon::Muon(MuonOptions options)
    : OptionsRecipe(detail::checked_options<MuonRules>(options), detail::bind_optimizer<BoundMuon>,
                    detail::describe_recipe<BoundMuon>) {}

}  // namespace athanor::optim
