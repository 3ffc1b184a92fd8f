// SPDX-License-Identifier: Apache-2.0
// A net built again from the options beside its weights.
#include "athanor/nn/saved_model.hpp"

#include <c10/core/Allocator.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "athanor/checkpoint/safetensors.hpp"
#include "tests/core/error_of.hpp"
#include "tests/process.hpp"
#include "tests/temporary_folder.hpp"

namespace athanor::testing::saved_model_test {

struct MlpOptions {
  int64_t inputs = 4;
  std::vector<int64_t> hidden = {8};
  double dropout = 0.1;
  bool norm = true;
};
template <class Visitor>
void fields(Visitor& visit, MlpOptions& o) {
  visit("inputs", o.inputs);
  visit("hidden", o.hidden);
  visit("dropout", o.dropout);
  visit("norm", o.norm);
}

struct MlpImpl : torch::nn::Module {
  explicit MlpImpl(MlpOptions given) : options(std::move(given)) {
    if (options.hidden.empty()) throw Error({.what = "a perceptron needs a layer", .where = "MlpOptions::hidden"});
    int64_t width = options.inputs;
    for (const int64_t next : options.hidden) {
      layers->push_back(torch::nn::Linear(width, next));
      if (options.norm) layers->push_back(torch::nn::BatchNorm1d(next));
      width = next;
    }
    register_module("layers", layers);
  }
  torch::Tensor forward(const torch::Tensor& input) { return layers->forward(input); }

  MlpOptions options;
  torch::nn::Sequential layers;
};
TORCH_MODULE(Mlp);

namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

static_assert(RebuildableNet<MlpImpl>);
static_assert(!RebuildableNet<torch::nn::LinearImpl>, "LibTorch's own options have no fields");
static_assert(!RebuildableNet<int>);

TEST(SavedModels, AreBuiltAgainFromTheirOptions) {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "mlp.safetensors";
  Mlp net(MlpOptions{.inputs = 3, .hidden = {5, 2}, .dropout = 0.25});
  static_cast<void>(net->forward(torch::randn({16, 3})));  // moves the statistics of BatchNorm
  save_model(*net, path);
  const std::shared_ptr<MlpImpl> again = load_model<MlpImpl>(path);
  EXPECT_EQ(again->options.inputs, 3);
  EXPECT_EQ(again->options.hidden, (std::vector<int64_t>{5, 2}));
  EXPECT_EQ(again->options.dropout, 0.25);
  const torch::Tensor input = torch::randn({7, 3});
  net->eval();
  again->eval();
  EXPECT_TRUE(torch::equal(net->forward(input), again->forward(input)));
}

TEST(SavedModels, PythonFindsTheOptionsInTheMetadata) {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "mlp.safetensors";
  save_model(*Mlp(MlpOptions{.hidden = {6}}), path);
  const SafetensorsFile file(path);
  EXPECT_THAT(file.metadata().at("athanor.options"), HasSubstr("\"hidden\": [6]"));
  EXPECT_EQ(file.metadata().at("format"), "pt");
  const Finished python =
      run_process(ATHANOR_TEST_PYTHON
                  " -c \"import json, sys\ntry: from safetensors import safe_open\nexcept ImportError: "
                  "sys.exit(77)\nf = safe_open('" +
                  path.string() +
                  "', 'np')\nprint(json.loads(f.metadata()['athanor.options'])['hidden'], "
                  "f.get_slice('layers.0.weight').get_shape())\"");
  RecordProperty("reference", python.status == 0 ? "Python" : "none");
  if (python.status == 77) return;
  ASSERT_EQ(python.status, 0) << python.errors;
  EXPECT_EQ(python.output, "[6] [6, 4]\n");
}

NamedTensors tensors_of(const fs::path& path) { return SafetensorsFile(path).tensors(); }

TEST(SavedModels, EveryTensorThatDiffersIsNamed) {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "mlp.safetensors";
  save_model(*Mlp(MlpOptions{}), path);
  const std::string options = SafetensorsFile(path).metadata().at("athanor.options");
  NamedTensors tensors = tensors_of(path);
  for (auto& [name, tensor] : tensors) {
    if (name == "layers.0.weight") tensor = tensor.slice(0, 0, 7).contiguous();
    if (name == "layers.0.bias") name = "layers.0.offset";
  }
  write_safetensors(folder.path() / "other.safetensors", tensors, {{"athanor.options", options}});
  const Error::Parts parts = error_of([&] { return load_model<MlpImpl>(folder.path() / "other.safetensors"); });
  EXPECT_THAT(parts.what + parts.got + parts.expected + parts.where,
              AllOf(HasSubstr("layers.0.weight"), HasSubstr("layers.0.bias"), HasSubstr("layers.0.offset")));
}

TEST(SavedModels, BadOptionsAreRefused) {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "mlp.safetensors";
  save_model(*Mlp(MlpOptions{}), path);
  const NamedTensors tensors = tensors_of(path);
  const auto load = [&](const SafetensorsMetadata& metadata) {
    write_safetensors(folder.path() / "bad.safetensors", tensors, metadata);
    return error_of([&] { return load_model<MlpImpl>(folder.path() / "bad.safetensors"); });
  };
  EXPECT_THAT(load({}).todo, HasSubstr("load_weights"));
  EXPECT_THAT(load({{"athanor.options", "{"}}).where, HasSubstr("athanor.options"));
  const Error::Parts unknown = load({{"athanor.options", "{\"hiden\": [8]}"}});
  EXPECT_THAT(unknown.what + unknown.got + unknown.expected + unknown.todo, HasSubstr("hidden")) << "the nearest one";
  EXPECT_EQ(load({{"athanor.options", "{\"hidden\": []}"}}).what, "a perceptron needs a layer");
  const Error::Parts negative = load({{"athanor.options", "{\"hidden\": [-1]}"}});
  EXPECT_EQ(negative.what, "no net can be built from the options of this file");
  EXPECT_THAT(negative.got, Not(HasSubstr("Exception raised from")));
  EXPECT_THAT(negative.where, HasSubstr("bad.safetensors"));
}

/// 2^20 x 2^20 weights are 4 TB, a million layers of one weight are some gigabytes of modules.
TEST(SavedModels, OptionsOfAMuchLargerNetAreRefusedBeforeItsMemoryIsTaken) {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "mlp.safetensors", hostile = folder.path() / "hostile.safetensors";
  save_model(*Mlp(MlpOptions{}), path);
  const auto load = [&](const std::string& options, LoadModelOptions loading = {}) {
    write_safetensors(hostile, tensors_of(path), {{"athanor.options", options}});
    return error_of([&] { return load_model<MlpImpl>(hostile, loading); });
  };
  const Error::Parts wide = load("{\"inputs\": 1048576, \"hidden\": [1048576]}");
  EXPECT_THAT(wide.what, HasSubstr("much larger net"));
  EXPECT_THAT(wide.got, HasSubstr("4398046511104 bytes"));
  EXPECT_THAT(wide.where, HasSubstr("hostile.safetensors"));
  EXPECT_THAT(wide.todo, HasSubstr("most_bytes"));
  std::string deep = "{\"norm\": false, \"inputs\": 1, \"hidden\": [1";
  for (int i = 0; i < 100'000; ++i) deep += ",1";
  EXPECT_THAT(load(deep + "]}").got, HasSubstr("tensors"));
  EXPECT_THAT(load("{}", {.most_bytes = 16}).expected, HasSubstr("16 bytes"));
  EXPECT_THAT(load("{\"hidden\": [4096]}").what, Not(HasSubstr("much larger"))) << "then the tensors are compared";
}

TEST(SavedModels, TheLimitEndsWithTheCallAndItsTensorsAreOrdinary) {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "mlp.safetensors";
  save_model(*Mlp(MlpOptions{}), path);
  const c10::Allocator* before = c10::GetAllocator(c10::kCPU);
  EXPECT_THAT(error_of([&] { return load_model<MlpImpl>(path, {.most_bytes = 16}); }).what, HasSubstr("larger"));
  const std::shared_ptr<MlpImpl> net = load_model<MlpImpl>(path, {.most_bytes = 100'000});
  EXPECT_EQ(c10::GetAllocator(c10::kCPU), before);
  const torch::NoGradGuard no_grad;
  EXPECT_EQ(torch::ones({1'000'000}).sum().item<float>(), 1e6F);
  torch::Tensor mean = net->buffers().front();
  mean.resize_({1'000'000});  // through the allocator that it was made by
  EXPECT_EQ(mean.zero_().sum().item<float>(), 0);
}

TEST(SavedModels, AnOptionThatCameLaterHasItsDefault) {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "old.safetensors";
  save_model(*Mlp(MlpOptions{}), path);
  write_safetensors(folder.path() / "older.safetensors", tensors_of(path), {{"athanor.options", "{\"hidden\": [8]}"}});
  EXPECT_EQ(load_model<MlpImpl>(folder.path() / "older.safetensors")->options.dropout, 0.1);
}

}  // namespace
}  // namespace athanor::testing::saved_model_test
