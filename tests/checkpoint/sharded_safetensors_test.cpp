// SPDX-License-Identifier: Apache-2.0
// Weights in several files: hostile indices, interrupted writing, memory, and exchange with the real Python package.
#include "athanor/checkpoint/sharded_safetensors.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>

#include "athanor/checkpoint/sharded_index.hpp"
#include "athanor/checkpoint/torch_file.hpp"
#include "athanor/checkpoint/weights_file.hpp"
#include "athanor/core/file.hpp"
#include "tests/core/error_of.hpp"

namespace athanor::testing::sharded_safetensors_test {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// As tensors() in sharded_peer.py.
NamedTensors layers(double shift = 0) {
  NamedTensors all;
  for (int i = 0; i < 5; ++i) {
    all.emplace_back("layers." + std::to_string(i) + ".weight",
                     at::arange(100).to(at::kFloat).reshape({10, 10}) + i + shift);
  }
  return all;
}

NamedTensors zeros_like_layers() {
  NamedTensors all;
  for (const auto& [name, tensor] : layers()) all.emplace_back(name, at::zeros({10, 10}));
  return all;
}

class ShardedTest : public ::testing::Test {
 protected:
  ShardedTest() {
    std::string name = (fs::temp_directory_path() / "athanor-sharded-test-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  ~ShardedTest() override { fs::remove_all(folder_); }

  void write_index(const std::string& text) {
    write_file_atomically(folder_ / "model.safetensors.index.json", std::string_view(text));
  }
  std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& each : fs::directory_iterator(folder_)) names.push_back(each.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
  }
  void expect_loads(const fs::path& path, double shift = 0) {
    const NamedTensors net = zeros_like_layers();
    copy_file_into(path, net);
    const NamedTensors wanted = layers(shift);
    for (std::size_t i = 0; i < net.size(); ++i)
      EXPECT_TRUE(at::equal(net[i].second, wanted[i].second)) << net[i].first;
  }

  fs::path folder_;
};

Error::Parts index_refusal(const std::string& json) {
  return error_of([&] { return parse_sharded_index(json, "index.json"); });
}

TEST(ShardedIndexTest, OnlyTheMapAndTheSizeAreTaken) {
  const ShardedIndex index = parse_sharded_index(
      R"({"metadata":{"total_size":12,"x":[1,{"weight_map":{"a":1}}]},"other":[[]],"weight_map":{"a":"f","b":"g"},"z":null})",
      "index.json");
  EXPECT_EQ(index.total_bytes, 12U);
  EXPECT_THAT(index.files, ElementsAre(std::pair("a", "f"), std::pair("b", "g")));
  EXPECT_EQ(parse_sharded_index(sharded_index_json(index), "index.json").files, index.files);
}

TEST(ShardedIndexTest, FilesOutsideTheFolderAreRefused) {
  for (const char* file : {"../evil", "/etc/passwd", "a/b", "..", ".", "", "a\\\\b", "a\\u0000b"}) {
    const auto parts = index_refusal(R"({"weight_map":{"w":")" + std::string(file) + "\"}}");
    EXPECT_EQ(parts.what, "the index of weights in several files names a file outside its folder") << file;
  }
}

TEST(ShardedIndexTest, OtherFormsAreRefused) {
  EXPECT_THAT(index_refusal(R"({"weight_map":{"w":"a","w":"b"}})").what, HasSubstr("names a tensor twice"));
  EXPECT_THAT(index_refusal("{}").what, HasSubstr("no weight_map"));
  EXPECT_THAT(index_refusal(R"({"weight_map":{},"weight_map":{}})").what, HasSubstr("two weight_maps"));
  for (const char* json :
       {R"({"weight_map":[]})", R"({"weight_map":3})", R"({"weight_map":{"w":3}})", "[]", "3",
        R"({"weight_map":{"w":{}}})", R"({"weight_map":{"w":["f"]}})", R"({"weight_map":{"w":null}})"}) {
    EXPECT_THAT(index_refusal(json).what, HasSubstr("another form")) << json;
  }
  for (const char* json : {"", "{", "\xEF\xBB\xBF{}", "{\"weight_map\":{\"\xff\":\"f\"}}", "{} {}"}) {
    EXPECT_THAT(index_refusal(json).what, HasSubstr("not JSON")) << json;
  }
  EXPECT_THAT(index_refusal(R"({"a":)" + std::string(1'000'000, '[')).what, HasSubstr("nested too deeply"));
}

TEST(ShardedIndexTest, AnyChangeIsAnErrorOrAnIndexWithinTheFolder) {
  const std::string json = R"({"metadata": {"total_size": 2}, "weight_map": {"a.w": "m-1.st", "b": "m-2.st"}})";
  std::mt19937 random(9);
  for (int round = 0; round < 50'000; ++round) {
    std::string changed = json;
    const std::string letters = "{}[]\",:/.\\0ab1 ";
    for (unsigned count = 1 + random() % 3; count > 0; --count) {
      changed[random() % changed.size()] = letters[random() % letters.size()];
    }
    try {
      for (const auto& [name, file] : parse_sharded_index(changed, "index.json").files) {
        ASSERT_EQ(fs::path(file).filename(), fs::path(file));
      }
    } catch (const Error& error) {
      ASSERT_TRUE(error.parts().where.starts_with("index.json"));
    }
  }
}

TEST_F(ShardedTest, TensorsAreSplitByBytesAndComeBack) {
  write_sharded_safetensors(folder_, layers(), {.max_shard_bytes = 800});
  EXPECT_THAT(files(), ElementsAre("model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors",
                                   "model-00003-of-00003.safetensors", "model.safetensors.index.json"));
  const ShardedSafetensors read(folder_);
  EXPECT_EQ(read.path(), folder_ / "model.safetensors.index.json");
  EXPECT_EQ(read.files().size(), 3U);
  EXPECT_THAT(read.names(), ElementsAre("layers.0.weight", "layers.1.weight", "layers.2.weight", "layers.3.weight",
                                        "layers.4.weight"));
  EXPECT_TRUE(at::equal(read.tensor("layers.3.weight"), layers()[3].second));
  EXPECT_EQ(error_of([&] { return read.tensor("layers.9.weight"); }).expected, "one of 5 names");
  expect_loads(folder_);
  expect_loads(folder_ / "model.safetensors.index.json");
}

TEST_F(ShardedTest, OneFileNeedsNoIndexAndOlderFilesGo) {
  write_sharded_safetensors(folder_, layers(), {.max_shard_bytes = 400});
  EXPECT_EQ(files().size(), 6U);
  write_file_atomically(folder_ / "model-notes.safetensors", std::string_view("mine"));
  write_sharded_safetensors(folder_, layers(1));
  EXPECT_THAT(files(), ElementsAre("model-notes.safetensors", "model.safetensors"));
  expect_loads(folder_, 1);
  write_sharded_safetensors(folder_, layers(2), {.max_shard_bytes = 1});
  EXPECT_EQ(files().size(), 7U) << "a tensor that is longer than a file has one of its own";
  expect_loads(folder_, 2);
  EXPECT_THROW(write_sharded_safetensors(folder_, layers(), {.max_shard_bytes = 0}), Error);
  EXPECT_THROW(write_sharded_safetensors(folder_, layers(), {.name = "../model"}), Error);
  const NamedTensors twice{{"w", at::ones({1})}, {"w", at::ones({1})}};
  EXPECT_EQ(error_of([&] { write_sharded_safetensors(folder_, twice, {.max_shard_bytes = 1}); }).what,
            "two tensors have the same name");
  expect_loads(folder_, 2);
}

TEST_F(ShardedTest, AFolderWhoseWritingWasInterruptedIsRefused) {
  write_sharded_safetensors(folder_, layers(), {.max_shard_bytes = 800});
  NamedTensors others = layers(1);
  others.back().second = at::Tensor();  // the last file can't be written
  EXPECT_THROW(write_sharded_safetensors(folder_, others, {.max_shard_bytes = 800}), Error);
  EXPECT_EQ(error_of([&] { ShardedSafetensors{folder_}; }).what, "there are no weights in this folder");
}

TEST_F(ShardedTest, FilesAndIndexMustHaveTheSameTensors) {
  write_safetensors(folder_ / "a.safetensors", NamedTensors{{"w", at::ones({1})}, {"v", at::ones({1})}});
  write_index(R"({"weight_map":{"w":"a.safetensors","u":"a.safetensors"}})");
  auto parts = error_of([&] { ShardedSafetensors{folder_}; });
  EXPECT_EQ(parts.what, "a file lacks a tensor that the index says is in it");
  EXPECT_THAT(parts.where, HasSubstr("tensor 'u'"));
  write_index(R"({"weight_map":{"w":"a.safetensors"}})");
  parts = error_of([&] { ShardedSafetensors{folder_}; });
  EXPECT_EQ(parts.what, "a file has a tensor that the index does not place in it");
  write_index(R"({"weight_map":{"w":"b.safetensors"}})");
  EXPECT_EQ(error_of([&] { ShardedSafetensors{folder_}; }).got, "No such file or directory");
}

TEST_F(ShardedTest, DifferencesAreToldAndNothingIsChanged) {
  write_sharded_safetensors(folder_, layers(), {.max_shard_bytes = 800});
  NamedTensors net = zeros_like_layers();
  net[4] = {"new", at::zeros({1})};
  net[3].second = at::zeros({100});
  const auto parts = error_of([&] { copy_into(ShardedSafetensors(folder_), net); });
  EXPECT_EQ(parts.got,
            "3 differences\n"
            "    layers.3.weight: the file has F32 [10, 10], expected F32 [100]\n"
            "    new: missing in the file\n"
            "    layers.4.weight: only in the file");
  for (const auto& [name, tensor] : net) EXPECT_EQ(tensor.abs().sum().item<float>(), 0) << name;
  net.erase(net.begin() + 3);
  const auto report = copy_into(ShardedSafetensors(folder_), net, {.allow_missing = true, .allow_unexpected = true});
  EXPECT_THAT(report.missing, ElementsAre("new"));
  EXPECT_THAT(report.unexpected, ElementsAre("layers.3.weight", "layers.4.weight"));
  EXPECT_TRUE(at::equal(net[2].second, layers()[2].second));
}

std::int64_t peak_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stoll(line.substr(6)) * 1024;
  }
  return 0;
}

TEST_F(ShardedTest, ReadingTakesTheNetAndOneFileAtATime) {
  constexpr std::int64_t shard = 16 << 20;
  NamedTensors net;
  for (int i = 0; i < 8; ++i) net.emplace_back(std::to_string(i), at::full({shard / 4}, static_cast<double>(i)));
  write_sharded_safetensors(folder_, net, {.max_shard_bytes = shard});
  for (auto& [name, tensor] : net) tensor.zero_();
  std::ofstream("/proc/self/clear_refs") << "5";
  const std::int64_t before = peak_bytes();
  if (before == 0) GTEST_SKIP() << "this system does not tell the peak of memory";
  copy_into(ShardedSafetensors(folder_), net);
  EXPECT_LT(peak_bytes() - before, shard + (shard / 2));
  for (int i = 0; i < 8; ++i)
    EXPECT_EQ(net[static_cast<std::size_t>(i)].second[-1].item<float>(), static_cast<float>(i));
}

TEST_F(ShardedTest, AnyKindOfFileIsCopiedIntoTheSameTensors) {
  write_safetensors(folder_ / "a", layers());
  expect_loads(folder_ / "a");
  Tree::Dictionary state;
  for (const auto& [name, tensor] : layers()) state.emplace_back(name, tensor);
  save_torch_file(folder_ / "b", Tree(state));
  expect_loads(folder_ / "b");
  Tree nested;
  for (const auto& [name, tensor] : layers())
    nested.at_or_insert("layers").at_or_insert(name.substr(7, 1)).at_or_insert("weight") = tensor;
  const NamedTensors net = zeros_like_layers();
  copy_into(nested, net);
  EXPECT_TRUE(at::equal(net[4].second, layers()[4].second));
  state.emplace_back("epoch", 3);
  state[0].second = Tree("text");
  const auto report = compare_weights(Tree(state), net);
  EXPECT_THAT(report.unexpected, ElementsAre("epoch"));
  EXPECT_THAT(report.missing, ElementsAre("layers.0.weight"));
  EXPECT_EQ(error_of([&] { copy_into("a path by mistake", net); }).todo, "give the path of a file to copy_file_into");
  EXPECT_EQ(error_of([&] { copy_file_into(folder_ / "none", net); }).got, "No such file or directory");
}

TEST_F(ShardedTest, AChecksumOfTheWholeFileIsVerified) {
  write_safetensors(folder_ / "a", layers());
  const SafetensorsFile file(folder_ / "a");
  EXPECT_NO_THROW(file.verify(file.crc32()));
  const auto parts = error_of([&] { file.verify(file.crc32() + 1); });
  EXPECT_EQ(parts.what, "a safetensors file is damaged: its checksum does not fit");
  EXPECT_EQ(parts.where, (folder_ / "a").string());
}

TEST_F(ShardedTest, ExchangeWithThePackage) {
  if (std::system(ATHANOR_TEST_PYTHON " -c 'from importlib.util import find_spec as find; "
                                      "exit(not all(map(find, [\"safetensors\", \"torch\"])))'") != 0) {
    GTEST_SKIP() << ATHANOR_TEST_PYTHON << " lacks safetensors or torch: pip install safetensors torch";
  }
  const auto peer = [&](const std::string& command) {
    return std::system((std::string(ATHANOR_TEST_PYTHON) + " " ATHANOR_SOURCE_DIR "/tests/checkpoint/sharded_peer.py " +
                        command + " " + folder_.string())
                           .c_str());
  };
  ASSERT_EQ(peer("write"), 0);
  expect_loads(folder_);
  write_sharded_safetensors(folder_, layers(), {.max_shard_bytes = 800});
  EXPECT_EQ(peer("check"), 0);
}

}  // namespace
}  // namespace athanor::testing::sharded_safetensors_test
