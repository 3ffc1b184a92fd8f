// SPDX-License-Identifier: Apache-2.0
// Exchange of safetensors files with the real Python package, both ways, run by safetensors_peer.py.
#include <ATen/ops/arange.h>
#include <ATen/ops/complex.h>
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>
#include <sstream>
#include <string>

#include "athanor/checkpoint/safetensors.hpp"
#include "athanor/core/error.hpp"

namespace athanor::safetensors_python_test {
namespace {

namespace fs = std::filesystem;

const SafetensorsMetadata& peer_metadata() {
  static const SafetensorsMetadata metadata{{"written by", "safetensors_test é"}};
  return metadata;
}

// As `values` in safetensors_peer.py.
at::Tensor peer_values(at::ScalarType type, at::IntArrayRef shape) {
  int64_t count = 1;
  for (const auto size : shape) count *= size;
  const at::Tensor numbers = at::arange(count, at::TensorOptions().dtype(at::kFloat)).reshape(shape);
  if (type == at::kBool) return numbers.remainder(2).to(at::kBool);
  if (type == at::kComplexFloat) return at::complex(numbers.remainder(7), -numbers);
  return numbers.remainder(7).div(2).to(type);
}

NamedTensors peer_tensors(bool with_torch_types) {
  std::vector<std::pair<std::string, at::ScalarType>> types{{"float64", at::kDouble},
                                                            {"float32", at::kFloat},
                                                            {"float16", at::kHalf},
                                                            {"int64", at::kLong},
                                                            {"int32", at::kInt},
                                                            {"int16", at::kShort},
                                                            {"int8", at::kChar},
                                                            {"uint8", at::kByte},
                                                            {"uint16", at::kUInt16},
                                                            {"uint32", at::kUInt32},
                                                            {"uint64", at::kUInt64},
                                                            {"bool", at::kBool},
                                                            {"complex64", at::kComplexFloat}};
  if (with_torch_types) {
    types.emplace_back("bfloat16", at::kBFloat16);
    types.emplace_back("float8_e4m3fn", at::kFloat8_e4m3fn);
    types.emplace_back("float8_e5m2", at::kFloat8_e5m2);
  }
  const std::vector<std::pair<std::string, std::vector<int64_t>>> shapes{
      {"", {3, 5}}, {".scalar", {}}, {".empty", {0, 4}}, {".é \"quoted\"\n", {2, 1, 2}}};
  NamedTensors tensors;
  for (const auto& [type_name, type] : types) {
    for (const auto& [suffix, shape] : shapes) tensors.emplace_back(type_name + suffix, peer_values(type, shape));
  }
  return tensors;
}

struct PeerResult {
  int status = 0;
  std::string output;
};

PeerResult run(const std::string& command) {
  PeerResult result;
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return {-1, "popen failed"};
  std::array<char, 4096> piece{};
  for (std::size_t size = 0; (size = std::fread(piece.data(), 1, piece.size(), pipe)) > 0;) {
    result.output.append(piece.data(), size);
  }
  result.status = ::pclose(pipe);
  return result;
}

class SafetensorsPython : public ::testing::Test {
 protected:
  SafetensorsPython() {
    std::string name = (fs::temp_directory_path() / "athanor-safetensors-python-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  ~SafetensorsPython() override { fs::remove_all(folder_); }

  void SetUp() override {
    if (run(std::string(ATHANOR_TEST_PYTHON) + " -c 'from importlib.util import find_spec as find; "
                                               "exit(not all(map(find, [\"safetensors\", \"torch\", \"numpy\"])))'")
            .status != 0) {
      GTEST_SKIP() << ATHANOR_TEST_PYTHON << " lacks safetensors, torch or numpy: pip install safetensors torch numpy";
    }
  }

  static PeerResult peer(const std::string& arguments) {
    return run(std::string(ATHANOR_TEST_PYTHON) + " " ATHANOR_SOURCE_DIR "/tests/checkpoint/safetensors_peer.py " +
               arguments);
  }

  static std::string content(const fs::path& path) {
    const MappedFile file(path);
    return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
  }

  void expect_equal_to(const fs::path& path, const NamedTensors& expected) {
    const SafetensorsFile file(path);
    EXPECT_EQ(file.entries().size(), expected.size());
    EXPECT_EQ(file.metadata(), peer_metadata());
    for (const auto& [name, want] : expected) {
      ASSERT_TRUE(file.contains(name)) << name;
      const at::Tensor got = file.tensor(name);
      ASSERT_EQ(got.scalar_type(), want.scalar_type()) << name;
      ASSERT_EQ(got.sizes(), want.sizes()) << name;
      EXPECT_TRUE(at::equal(got.reshape(-1).view(at::kByte), want.reshape(-1).view(at::kByte))) << name;
    }
  }

  fs::path folder_;
};

TEST_F(SafetensorsPython, WhatIsAcceptedHereIsAcceptedByThePackage) {
  const fs::path original = folder_ / "original";
  write_safetensors(original, NamedTensors{{"a", peer_values(at::kFloat, {2, 2})}, {"b", peer_values(at::kBool, {3})}});
  const std::string file = content(original);
  std::mt19937 random(11);
  std::set<std::string> accepted;
  const fs::path changed_files = folder_ / "changed";
  fs::create_directory(changed_files);
  for (int i = 0; i < 1500; ++i) {
    std::string changed = file;
    const std::string letters = "0123456789,:{}[]\" \\uabFI";
    for (unsigned count = 1 + random() % 2; count > 0; --count) {
      changed[random() % file.size()] = letters[random() % letters.size()];
    }
    const fs::path path = changed_files / std::to_string(i);
    std::ofstream(path, std::ios::binary) << changed;
    try {
      const SafetensorsFile opened(path);
      accepted.insert(path.filename().string());
    } catch (const Error& error) {
      EXPECT_NE(error.parts().where.find(path.string()), std::string::npos);
    }
  }
  EXPECT_GT(accepted.size(), 10U);
  EXPECT_LT(accepted.size(), 1400U);
  const auto result = peer("judge " + changed_files.string());
  ASSERT_EQ(result.status, 0) << result.output;
  std::istringstream lines(result.output);
  std::set<std::string> accepted_there;
  for (std::string line; std::getline(lines, line);) accepted_there.insert(line);
  for (const auto& name : accepted) EXPECT_TRUE(accepted_there.contains(name)) << content(changed_files / name);
}

TEST_F(SafetensorsPython, FilesOfThePackageAreOpenedWithEqualValuesAndWrittenAsTheSameBytes) {
  const auto result = peer("write " + folder_.string());
  ASSERT_EQ(result.status, 0) << result.output;
  for (const bool with_torch_types : {true, false}) {
    const fs::path theirs = folder_ / (with_torch_types ? "torch.safetensors" : "numpy.safetensors");
    expect_equal_to(theirs, peer_tensors(with_torch_types));
    write_safetensors(folder_ / "ours", peer_tensors(with_torch_types), peer_metadata());
    EXPECT_TRUE(content(folder_ / "ours") == content(theirs)) << theirs;
  }
}

TEST_F(SafetensorsPython, OurFilesAreOpenedByThePackageWithEqualValues) {
  write_safetensors(folder_ / "torch.safetensors", peer_tensors(true), peer_metadata());
  write_safetensors(folder_ / "numpy.safetensors", peer_tensors(false), peer_metadata());
  const auto result = peer("check " + folder_.string());
  EXPECT_EQ(result.status, 0) << result.output;
}

}  // namespace
}  // namespace athanor::safetensors_python_test
