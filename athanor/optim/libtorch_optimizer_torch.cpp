// SPDX-License-Identifier: Apache-2.0
// Modules as sources of parameters, and optimizers of LibTorch as they are.
#include <torch/torch.h>

#include <sstream>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"
#include "athanor/optim/fused.hpp"
#include "athanor/optim/optimizer.hpp"

namespace athanor {

Parameters parameters_of(const torch::nn::Module& module) {
  Parameters parameters;
  for (const auto& item : module.named_parameters()) {
    if (item.value().requires_grad()) parameters.push_back({item.key(), item.value()});
  }
  return parameters;
}

namespace optim {
namespace {

Parameters parameters_in(const torch::optim::Optimizer& optimizer) {
  std::vector<at::Tensor> tensors;
  for (const auto& group : optimizer.param_groups()) {
    tensors.insert(tensors.end(), group.params().begin(), group.params().end());
  }
  return parameters_of(tensors);
}

/// Where LibTorch's options keep a field; null when they have none of that name.
template <class Options>
double* field_in(torch::optim::OptimizerOptions& options, Optimizer::Field field) {
  auto* typed = dynamic_cast<Options*>(&options);
  if (typed == nullptr) return nullptr;
  if (field == Optimizer::Field::momentum) {
    if constexpr (requires { typed->betas(); }) return &std::get<0>(typed->betas());
    if constexpr (requires { typed->momentum(); }) return &typed->momentum();
  }
  if (field == Optimizer::Field::weight_decay) {
    if constexpr (requires { typed->weight_decay(); }) return &typed->weight_decay();
  }
  return nullptr;
}

template <class... Options>
double* field_in_any(torch::optim::OptimizerOptions& options, Optimizer::Field field) {
  double* found = nullptr;
  static_cast<void>(((found = field_in<Options>(options, field)) || ...));
  return found;
}

double* find_field(torch::optim::OptimizerOptions& options, Optimizer::Field field) {
  return field_in_any<torch::optim::AdamOptions, torch::optim::AdamWOptions, torch::optim::SGDOptions,
                      torch::optim::RMSpropOptions, torch::optim::AdagradOptions>(options, field);
}

class Adopted final : public Optimizer {
 public:
  explicit Adopted(std::shared_ptr<torch::optim::Optimizer> optimizer)
      : Optimizer(parameters_in(*optimizer)), optimizer_(std::move(optimizer)) {}

  using Optimizer::step;
  void step(const GradientScale& scale) override {
    if (needs_closure()) {
      throw Error({.what = "this optimizer evaluates the loss several times a step",
                   .where = describe(),
                   .todo = "call step(evaluate) with a function that runs forward and backward"});
    }
    if (scale.found_inf.defined() && scale.found_inf.item<float>() != 0) return;
    if (scale.divisor.defined()) divide_gradients(scale.divisor);
    optimizer_->step();
  }
  bool needs_closure() const override { return dynamic_cast<torch::optim::LBFGS*>(optimizer_.get()) != nullptr; }
  at::Tensor step(const Closure& evaluate) override {
    if (needs_closure()) return optimizer_->step(evaluate);
    return Optimizer::step(evaluate);
  }

  size_t groups() const override { return optimizer_->param_groups().size(); }
  std::optional<double> get(Field field, size_t group) const override {
    torch::optim::OptimizerOptions& options = options_of(group);
    if (field == Field::lr) return options.get_lr();
    const double* place = find_field(options, field);
    return place != nullptr ? std::optional(*place) : std::nullopt;
  }
  void set(Field field, size_t group, double value) override {
    torch::optim::OptimizerOptions& options = options_of(group);
    double* place = find_field(options, field);
    if (field != Field::lr && place == nullptr) detail::refuse_field(field, describe());
    const bool is_beta = field == Field::momentum && (dynamic_cast<torch::optim::AdamOptions*>(&options) != nullptr ||
                                                      dynamic_cast<torch::optim::AdamWOptions*>(&options) != nullptr);
    if (!(value >= 0) || (is_beta && value >= 1)) {
      detail::require(false, describe(), name_of(field), value, is_beta ? "from 0 to below 1" : "0 or more");
    }
    if (field == Field::lr) {
      options.set_lr(value);
    } else {
      *place = value;
    }
  }
  std::string describe() const override {
    std::string type = c10::demangle(typeid(*optimizer_).name());
    return type + "(lr " + shortest(optimizer_->param_groups().at(0).options().get_lr()) + ")";
  }

  void state(State& state) override {
    at::Tensor archive;
    if (state.saving()) {
      fill_scratch();
      std::ostringstream stream;
      torch::serialize::OutputArchive out;
      optimizer_->save(out);
      out.save_to(stream);
      const std::string bytes = stream.str();
      archive =
          torch::from_blob(const_cast<char*>(bytes.data()), {static_cast<int64_t>(bytes.size())}, torch::kByte).clone();
    }
    state.tensor("archive", archive, State::Shape::free);
    if (state.loading()) load(archive);
  }

 private:
  /// LBFGS keeps a list of scratch values that are undefined until its history is full, and LibTorch's archive refuses
  /// those. Each is written before it is read.
  void fill_scratch() {
    if (!needs_closure()) return;
    for (auto& item : optimizer_->state()) {
      auto& scratch = static_cast<torch::optim::LBFGSParamState&>(*item.second).al();
      if (!scratch) continue;
      for (torch::Tensor& value : *scratch) {
        if (!value.defined()) value = torch::zeros({});
      }
    }
  }

  torch::optim::OptimizerOptions& options_of(size_t group) const {
    auto& groups = optimizer_->param_groups();
    if (group >= groups.size()) detail::refuse_group(group, groups.size(), describe());
    return groups[group].options();
  }

  void divide_gradients(const at::Tensor& divisor) {
    torch::NoGradGuard no_grad;
    for (const Parameter& parameter : parameters()) {
      if (at::Tensor& gradient = parameter.tensor.mutable_grad(); gradient.defined()) gradient.div_(divisor);
    }
  }

  void load(const at::Tensor& archive) {
    try {
      TORCH_CHECK(archive.defined() && archive.scalar_type() == torch::kByte, "nothing was saved");
      torch::serialize::InputArchive in;
      in.load_from(static_cast<const char*>(archive.const_data_ptr()), static_cast<size_t>(archive.numel()));
      optimizer_->load(in);
    } catch (const c10::Error& error) {
      throw Error({.what = "the saved state of an optimizer can't be loaded",
                   .where = describe(),
                   .got = error.what_without_backtrace(),
                   .todo = "make the optimizer with the same groups and parameters as when it was saved"});
    }
  }

  std::shared_ptr<torch::optim::Optimizer> optimizer_;
};

}  // namespace

std::shared_ptr<Optimizer> adopt(std::shared_ptr<torch::optim::Optimizer> optimizer) {
  if (optimizer == nullptr) throw Error({.what = "the optimizer is a null pointer"});
  return std::make_shared<Adopted>(std::move(optimizer));
}

Recipe::Recipe(std::shared_ptr<torch::optim::Optimizer> optimizer, int) {
  auto adopted = adopt(std::move(optimizer));
  description_ = adopted->describe();
  make_ = [adopted](const ParameterGroups&) { return adopted; };
}

}  // namespace optim
}  // namespace athanor
