// SPDX-License-Identifier: Apache-2.0
// .pt files of the real torch.save, and ours before the real torch.load, run by torch_file_peer.py. What is read is
// read twice: as recorded in this repository, and as this machine's Python writes it when it has torch.
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <string>

#include "athanor/checkpoint/torch_dtypes.hpp"
#include "athanor/checkpoint/torch_file.hpp"
#include "athanor/core/file.hpp"
#include "tests/core/error_of.hpp"

namespace athanor::testing::torch_file_python_test {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct PeerRun {
  int status = 0;
  std::string output;
};

PeerRun run_peer(const std::string& arguments) {
  const std::string command =
      std::string(ATHANOR_TEST_PYTHON) + " " ATHANOR_SOURCE_DIR "/tests/checkpoint/torch_file_peer.py " + arguments;
  PeerRun result;
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return {-1, "popen failed"};
  std::array<char, 4096> piece{};
  for (std::size_t size = 0; (size = std::fread(piece.data(), 1, piece.size(), pipe)) > 0;) {
    result.output.append(piece.data(), size);
  }
  result.status = ::pclose(pipe);
  return result;
}

/// Runs each test with the recorded files and with those that Python writes now.
class TorchFilePython : public ::testing::TestWithParam<const char*> {
 protected:
  static void SetUpTestSuite() {
    std::string name = (fs::temp_directory_path() / "athanor-torch-file-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    has_torch_ = std::system(ATHANOR_TEST_PYTHON
                             " -c 'from importlib.util import find_spec as find; "
                             "exit(not all(map(find, [\"torch\", \"numpy\"])))'") == 0;
    if (has_torch_) written_ = run_peer("write " + folder_.string());
  }
  static void TearDownTestSuite() { fs::remove_all(folder_); }

  void SetUp() override {
    if (is_live() && !has_torch_) GTEST_SKIP() << ATHANOR_TEST_PYTHON << " has no torch; the recorded files are read";
    ASSERT_TRUE(!is_live() || written_.status == 0) << written_.output;
  }

  static bool is_live() { return std::string(GetParam()) == "python"; }
  static fs::path path(const std::string& name) {
    return (is_live() ? folder_ : fs::path(ATHANOR_SOURCE_DIR "/tests/checkpoint/recorded")) / name;
  }
  static Tree load(const std::string& name) { return load_torch_file(path(name)); }

  inline static fs::path folder_;
  inline static bool has_torch_ = false;
  inline static PeerRun written_;
};

INSTANTIATE_TEST_SUITE_P(Files, TorchFilePython, ::testing::Values("recorded", "python"),
                         [](const auto& info) { return std::string(info.param); });

std::vector<double> numbers(const at::Tensor& tensor) {
  const at::Tensor plain = tensor.detach().resolve_conj().resolve_neg().to(at::kDouble).contiguous();
  return {plain.const_data_ptr<double>(), plain.const_data_ptr<double>() + plain.numel()};
}

std::vector<std::string> names(const Tree& tree) {
  std::vector<std::string> all;
  for (const auto& [name, each] : tree.entries()) all.push_back(name);
  return all;
}

TEST_P(TorchFilePython, EveryDtypeHasItsNameAndItsBytes) {
  for (const char* file : {"dtypes.pt", "dtypes_legacy.pt"}) {
    const Tree tensors = load(file);
    EXPECT_EQ(tensors.size(), torch_types) << file;
    for (const auto& [name, tree] : tensors.entries()) {
      const at::Tensor& tensor = tree.tensor();
      EXPECT_EQ("torch." + std::string(name_of(torch_type_of(tensor.scalar_type()).value())), name);
      EXPECT_EQ(tensor.nbytes(), 48U) << name;
      const at::Tensor expected = tensor.scalar_type() == at::kBool ? at::arange(48).remainder(2) : at::arange(48);
      const auto* bytes = static_cast<const std::uint8_t*>(tensor.const_data_ptr());
      for (int i = 0; i < 48; ++i) ASSERT_EQ(bytes[i], expected[i].item<int64_t>()) << name << " " << i;
    }
  }
}

void expect_layouts(const Tree& tree) {
  const auto at = [&](const char* name) -> const at::Tensor& { return tree[name].tensor(); };
  std::vector<double> counting(24);
  for (std::size_t i = 0; i < counting.size(); ++i) counting[i] = static_cast<double>(i);
  EXPECT_EQ(numbers(at("base")), counting);
  EXPECT_EQ(at("transposed").sizes(), (at::IntArrayRef{6, 4}));
  EXPECT_EQ(at("transposed").strides(), (at::IntArrayRef{1, 6}));
  EXPECT_THAT(numbers(at("columns")), ElementsAre(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23));
  EXPECT_EQ(at("columns").strides(), (at::IntArrayRef{6, 2}));
  EXPECT_THAT(numbers(at("last")), ElementsAre(20, 21, 22, 23));
  EXPECT_EQ(at("expanded").strides()[0], 0);
  EXPECT_EQ(numbers(at("expanded")), std::vector<double>(12, 7.0));
  EXPECT_EQ(at("channels_last").strides(), (at::IntArrayRef{60, 1, 15, 3}));
  EXPECT_EQ(numbers(at("channels_last")).at(119), 119);
  EXPECT_EQ(at("empty").sizes(), (at::IntArrayRef{0, 3}));
  EXPECT_EQ(at("empty part").numel(), 0);
  EXPECT_EQ(at("scalar").dim(), 0);
  EXPECT_EQ(at("scalar").item<double>(), 2.5);
  EXPECT_TRUE(at("conjugate").is_conj());
  EXPECT_EQ(at("conjugate")[2].item<c10::complex<double>>(), c10::complex<double>(2, -7));
  EXPECT_TRUE(at("negative").is_neg());
  EXPECT_THAT(numbers(at("negative")), ElementsAre(-5, -6, -7));
  for (const char* name : {"parameter", "parameter with an attribute"}) EXPECT_TRUE(at(name).requires_grad()) << name;
  for (const char* name : {"base", "tensor with an attribute", "buffer"})
    EXPECT_FALSE(at(name).requires_grad()) << name;
  EXPECT_TRUE(at("parameter").is_leaf());
  EXPECT_THAT(numbers(at("parameter")), ElementsAre(0, 1, 2, 3));
  for (const char* name : {"transposed", "columns", "last"}) {
    EXPECT_EQ(at(name).storage().data(), at("base").storage().data()) << name;
  }
  at("base").fill_(-1);
  EXPECT_THAT(numbers(at("last")), ElementsAre(-1, -1, -1, -1));
}

TEST_P(TorchFilePython, StridesOffsetsAndSharedStoragesAreKept) {
  for (const char* file : {"layouts.pt", "layouts_legacy.pt"}) {
    SCOPED_TRACE(file);
    expect_layouts(load(file));
    expect_layouts(load_torch_file(path(file), {.verify = false}));
  }
  const Tree tied = load("tied.pt");
  EXPECT_EQ(tied["first"].tensor().unsafeGetTensorImpl(), tied["second"].tensor().unsafeGetTensorImpl());
  EXPECT_EQ(tied["view"].tensor().storage_offset(), 2);
}

TEST_P(TorchFilePython, ValuesOfEveryKindAndProtocol) {
  for (const char* file : {"values_protocol2.pt", "values_protocol3.pt", "values_protocol4.pt", "values_protocol5.pt",
                           "values_legacy.pt"}) {
    SCOPED_TRACE(file);
    const Tree tree = load(file);
    EXPECT_TRUE(tree["none"].empty());
    EXPECT_TRUE(tree["true"].boolean());
    EXPECT_FALSE(tree["false"].boolean());
    std::vector<int64_t> integers;
    for (const Tree& each : tree["integers"].items()) integers.push_back(each.integer());
    EXPECT_EQ(integers, (std::vector<int64_t>{0, 1, 255, 256, 65535, 65536, -1, std::numeric_limits<int32_t>::min(),
                                              int64_t{1} << 31, std::numeric_limits<int64_t>::max(),
                                              std::numeric_limits<int64_t>::min()}));
    EXPECT_EQ(tree["beyond 63 bits"].text(), "18446744073709551615");
    const Tree& reals = tree["reals"];
    EXPECT_TRUE(std::signbit(reals[1].real()) && reals[1].real() == 0);
    EXPECT_EQ(reals[2].real(), 1.5);
    EXPECT_EQ(reals[3].real(), 1e-300);
    EXPECT_EQ(reals[4].real(), std::numeric_limits<double>::infinity());
    EXPECT_EQ(reals[5].real(), -std::numeric_limits<double>::infinity());
    EXPECT_TRUE(std::isnan(reals[6].real()));
    EXPECT_EQ(tree["texts"][0].text(), "");
    EXPECT_EQ(tree["texts"][2].text(), "é ∀ 🜂");
    EXPECT_EQ(tree["texts"][3].text(), "line\nbreak");
    EXPECT_EQ(tree["texts"][4].text(), std::string(300, 'x'));
    EXPECT_EQ(tree["tuple"].describe(), "[1, [2, []], [3]]");
    EXPECT_EQ(tree["set"].describe(), "[4]");
    EXPECT_EQ(tree["frozen set"].describe(), "[5]");
    EXPECT_EQ(tree["ordered"].describe(), "{z: 1, a: {}}");
    EXPECT_EQ(tree["counter"].describe(), "{a: 2, b: 1}");
    EXPECT_EQ(tree["whole numbers as keys"].describe(), "{0: \"zero\", 7: \"seven\", -1: \"minus one\"}");
    EXPECT_THAT(numbers(tree["bytes"].tensor()), ElementsAre(0, 127, 128, 255));
    EXPECT_EQ(tree["bytes"].tensor().scalar_type(), at::kByte);
    EXPECT_EQ(tree["no bytes"].tensor().numel(), 0);
    EXPECT_THAT(numbers(tree["byte array"].tensor()), ElementsAre('a', 'b', 'c'));
    EXPECT_EQ(tree["complex"].tensor().item<c10::complex<double>>(), c10::complex<double>(1.5, -2));
    EXPECT_EQ(tree["size"].describe(), "[2, 3]");
    EXPECT_EQ(tree["dtype"].text(), "torch.float32");
    EXPECT_EQ(tree["device"].text(), "cuda:1");
    EXPECT_EQ(tree["cpu"].text(), "cpu");
    EXPECT_EQ(tree["layout"].text(), "torch.strided");
    EXPECT_THAT(numbers(tree["untyped storage"].tensor()), ElementsAre(0, 1, 2));
  }
  EXPECT_THAT(numbers(load("lone_tensor.pt").tensor()), ElementsAre(0, 1, 2));
  EXPECT_THAT(numbers(load("without_checksums.pt")["w"].tensor()), ElementsAre(0, 1, 2));
}

TEST_P(TorchFilePython, WholeCheckpoints) {
  const Tree tree = load("checkpoint.pt");
  EXPECT_THAT(names(tree), ElementsAre("model", "optimizer", "schedule", "epoch", "best", "rng", "history"));
  EXPECT_EQ(tree["model"]["0.weight"].tensor().sizes(), (at::IntArrayRef{2, 1, 3, 3}));
  EXPECT_EQ(tree["model"]["1.num_batches_tracked"].tensor().item<int64_t>(), 3);
  EXPECT_THAT(names(tree["optimizer"]["state"]), ElementsAre("0", "1", "2", "3", "4", "5"));
  EXPECT_EQ(tree["optimizer"]["state"]["0"]["step"].tensor().item<float>(), 3);
  EXPECT_EQ(tree["optimizer"]["param_groups"][0]["betas"][1].real(), 0.999);
  EXPECT_EQ(tree["history"][1]["loss"].real(), 0.25);
}

TEST_P(TorchFilePython, ArraysAndScalarsOfNumpy) {
  for (const char* file : {"numpy_protocol2.pt", "numpy_protocol5.pt"}) {
    SCOPED_TRACE(file);
    const Tree tree = load(file);
    EXPECT_EQ(tree["array"].describe(), "float64 (2, 3)");
    EXPECT_THAT(numbers(tree["array"].tensor()), ElementsAre(0, 1, 2, 3, 4, 5));
    EXPECT_EQ(tree["columns first"].tensor().scalar_type(), at::kShort);
    EXPECT_EQ(tree["columns first"].tensor().strides(), (at::IntArrayRef{1, 2}));
    EXPECT_THAT(numbers(tree["columns first"].tensor()), ElementsAre(0, 1, 2, 3, 4, 5));
    EXPECT_EQ(tree["boolean array"].describe(), "bool (2)");
    EXPECT_EQ(tree["no elements"].describe(), "float32 (0, 2)");
    EXPECT_EQ(tree["float64"].real(), 0.1);
    EXPECT_EQ(tree["float32"].real(), 0.5);
    EXPECT_EQ(tree["float16"].tensor().item<double>(), 1.5);
    EXPECT_EQ(tree["int64"].integer(), -3);
    EXPECT_EQ(tree["uint8"].integer(), 200);
    EXPECT_TRUE(tree["bool"].boolean());
  }
}

TEST_P(TorchFilePython, WhatCannotOrMustNotBeReadIsRefusedByName) {
  const auto refusal = [&](const char* name) { return error_of([&] { return load(name); }); };
  auto parts = refusal("refused_sparse.pt");
  EXPECT_EQ(parts.what, "a .pt file holds a sparse tensor, which can't be read");
  EXPECT_EQ(parts.where, path("refused_sparse.pt").string() + ", value 'a.b'");
  EXPECT_THAT(parts.todo, HasSubstr("to_dense()"));
  EXPECT_EQ(refusal("refused_quantized.pt").what, "a .pt file holds a quantized tensor, which can't be read");
  EXPECT_EQ(refusal("refused_meta.pt").what, "a .pt file holds a tensor without data (meta), which can't be read");
  parts = refusal("refused_module.pt");
  EXPECT_EQ(parts.what, "a pickle names a class or function that is not allowed");
  EXPECT_EQ(parts.got, "torch.nn.modules.container.Sequential");
  EXPECT_THAT(parts.todo, HasSubstr("torch.save(model.state_dict(), path)"));
  EXPECT_EQ(refusal("refused_class.pt").got, "__main__.Foreign");
  EXPECT_EQ(refusal("refused_system.pt").got, "posix.system");
  EXPECT_EQ(refusal("refused_system_legacy.pt").got, "posix.system");
  EXPECT_FALSE(fs::exists(path("executed")));
  EXPECT_EQ(refusal("refused_keys.pt").what, "a dictionary in a .pt file has the same key twice");
  EXPECT_THAT(refusal("refused_tuple_key.pt").what, HasSubstr("neither a text nor a whole number"));
  EXPECT_THAT(refusal("refused_deep.pt").what, HasSubstr("nested too deeply"));
  EXPECT_THAT(refusal("refused_loop.pt").what, HasSubstr("contains itself"));
  EXPECT_EQ(refusal("refused_many.pt").what, "the values of a .pt file repeat too often");
  EXPECT_THAT(refusal("refused_script.pt").what, HasSubstr("TorchScript archive"));
}

TEST_P(TorchFilePython, WhatIsWrittenHereIsOpenedByPythonWithEqualValues) {
  if (!is_live()) GTEST_SKIP() << "needs torch";
  const std::array<std::string, 4> copies{"dtypes", "layouts", "values", "checkpoint"};
  for (const std::string& name : copies) {
    save_torch_file(folder_ / ("ours_" + name + ".pt"), load((name == "values" ? name + "_protocol2" : name) + ".pt"));
  }
  const at::Tensor floats = at::arange(1, 5).to(at::kFloat);
  const at::Tensor large = at::arange(10000).to(at::kFloat);
  save_torch_file(folder_ / "ours_shared.pt", {{"bytes", floats.view(at::kByte)},
                                               {"floats", floats},
                                               {"part of a large one", large.slice(0, 1000, 1002)},
                                               {"first", floats},
                                               {"second", floats}});
  const PeerRun checked = run_peer("check " + folder_.string());
  EXPECT_EQ(checked.status, 0) << checked.output;
}

}  // namespace
}  // namespace athanor::testing::torch_file_python_test
