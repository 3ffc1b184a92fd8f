// SPDX-License-Identifier: Apache-2.0
// A state as a folder: back to the same bits, and every damage found before anything is used.
#include "athanor/checkpoint/checkpoint_folder.hpp"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <limits>

#include "athanor/checkpoint/safetensors.hpp"
#include "athanor/core/state.hpp"
#include "tests/core/error_of.hpp"

namespace athanor::testing::checkpoint_folder_test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::vector<TensorFile> files = {{.file = "weights", .prefix = "task.nets.", .strip = true},
                                       {.file = "optimizer", .prefix = "optimizer "}};

Tree example_state() {
  return {{"task",
           {{"nets",
             {{"conv.weight", at::randn({3, 4, 2, 2}).contiguous(at::MemoryFormat::ChannelsLast)},
              {"bias", at::randn({3}).to(at::kBFloat16)},
              {"undefined", Tree()}}}}},
          {"optimizer adam", {{"bias", {{"exp_avg", at::randn({3}, at::kDouble)}, {"step", at::full({}, 7.0)}}}}},
          {"history", {{"epochs", at::arange(4)}, {"nan", std::numeric_limits<double>::quiet_NaN()}}},
          {"odd|name", at::randn({2, 2}).t()},
          {"empty", at::empty({0, 3})},
          {"count", int64_t{1} << 62}};
}

class CheckpointFolder : public ::testing::Test {
 protected:
  CheckpointFolder() : root_(fs::temp_directory_path() / ("athanor-checkpoint-" + std::to_string(::getpid()))) {
    fs::remove_all(root_);
    fs::create_directories(root_);
  }
  ~CheckpointFolder() override { fs::remove_all(root_); }
  static std::string content(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static void write(const fs::path& path, const std::string& content) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
  }
  fs::path root_;
};

TEST_F(CheckpointFolder, GivesBackTheSameBitsAndStrides) {
  const Tree state = example_state();
  const Tree facts{{"epoch", 3}, {"note", "ü"}};
  write_checkpoint(root_ / "one", state, facts, files);
  const SavedCheckpoint read = read_checkpoint(root_ / "one");
  EXPECT_THAT(compare_states(state, read.state), IsEmpty());
  EXPECT_THAT(compare_states(facts, read.facts), IsEmpty());
  EXPECT_EQ(read.state["task"]["nets"]["conv.weight"].tensor().strides(),
            state["task"]["nets"]["conv.weight"].tensor().strides());
  EXPECT_EQ(read.state["odd|name"].tensor().strides(), state["odd|name"].tensor().strides());
  EXPECT_TRUE(read.state["task"]["nets"].find("undefined")->empty());
}

TEST_F(CheckpointFolder, HasThePlainWeightsInAFileOfTheirOwn) {
  write_checkpoint(root_ / "one", example_state(), Tree::Dictionary{}, files);
  EXPECT_THAT(SafetensorsFile(root_ / "one" / "weights.safetensors").names(),
              ::testing::UnorderedElementsAre("conv.weight", "bias"));
  EXPECT_THAT(SafetensorsFile(root_ / "one" / "optimizer.safetensors").names(),
              ::testing::UnorderedElementsAre("optimizer adam.bias.exp_avg", "optimizer adam.bias.step"));
  EXPECT_EQ(verified_weights(root_ / "one"), root_ / "one" / "weights.safetensors");
}

// The check value of CRC-32/ISO-HDLC, the one of zip, gzip, PNG and zlib.
TEST_F(CheckpointFolder, ChecksumsAreTheCommonOnes) {
  const std::string digits = "123456789";
  EXPECT_EQ(crc32_text(std::as_bytes(std::span(digits))), "cbf43926");
  EXPECT_EQ(crc32_text({}), "00000000");
}

TEST_F(CheckpointFolder, EveryFlippedByteOfEveryFileIsFoundAndNamed) {
  const fs::path folder = root_ / "one";
  write_checkpoint(folder, example_state(), Tree{{"epoch", 3}}, files);
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string whole = content(entry.path());
    for (size_t i = 0; i < whole.size(); ++i) {
      std::string flipped = whole;
      flipped[i] = static_cast<char>(flipped[i] ^ (1 << (i % 8)));
      write(entry.path(), flipped);
      const Error::Parts parts = error_of([&] { static_cast<void>(read_checkpoint(folder)); });
      ASSERT_EQ(parts.what, "a checkpoint is damaged; nothing was loaded") << entry.path() << " byte " << i;
      ASSERT_EQ(parts.where, entry.path().string()) << "byte " << i;
    }
    write(entry.path(), whole);
  }
  EXPECT_NO_THROW(static_cast<void>(read_checkpoint(folder)));
}

TEST_F(CheckpointFolder, EveryCutAndEveryMissingFileIsFoundAndNamed) {
  const fs::path folder = root_ / "one";
  write_checkpoint(folder, example_state(), Tree{{"epoch", 3}}, files);
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string whole = content(entry.path());
    for (size_t length = 0; length < whole.size(); length += 1 + length / 8) {
      write(entry.path(), whole.substr(0, length));
      const Error::Parts parts = error_of([&] { static_cast<void>(read_checkpoint(folder)); });
      ASSERT_EQ(parts.what, "a checkpoint is damaged; nothing was loaded") << entry.path() << " at " << length;
      ASSERT_EQ(parts.where, entry.path().string());
    }
    write(entry.path(), whole + "x");
    EXPECT_EQ(error_of([&] { static_cast<void>(read_checkpoint(folder)); }).where, entry.path().string());
    fs::remove(entry.path());
    EXPECT_EQ(error_of([&] { static_cast<void>(read_checkpoint(folder)); }).where, entry.path().string());
    write(entry.path(), whole);
  }
  EXPECT_NO_THROW(static_cast<void>(read_checkpoint(folder)));
}

TEST_F(CheckpointFolder, TellsTheDamage) {
  const fs::path folder = root_ / "one";
  write_checkpoint(folder, example_state(), Tree::Dictionary{}, files);
  std::string weights = content(folder / "weights.safetensors");
  write(folder / "weights.safetensors", weights.substr(0, weights.size() - 1));
  Error::Parts parts = error_of([&] { static_cast<void>(verified_weights(folder)); });
  EXPECT_EQ(parts.got, std::to_string(weights.size() - 1) + " bytes");
  EXPECT_EQ(parts.expected, std::to_string(weights.size()) + " bytes");
  weights.back() = static_cast<char>(weights.back() ^ 1);
  write(folder / "weights.safetensors", weights);
  parts = error_of([&] { static_cast<void>(verified_weights(folder)); });
  EXPECT_THAT(parts.got, HasSubstr("CRC-32 "));
}

TEST_F(CheckpointFolder, WeightsAloneHaveNoState) {
  write_weights_checkpoint(root_ / "w", example_state()["task"]["nets"], Tree{{"epoch", 1}});
  const SavedCheckpoint read = read_checkpoint(root_ / "w");
  EXPECT_TRUE(read.state.empty());
  EXPECT_EQ(read.facts["epoch"].integer(), 1);
  EXPECT_TRUE(is_checkpoint(root_ / "w"));
  EXPECT_FALSE(is_checkpoint(root_));
  EXPECT_EQ(SafetensorsFile(verified_weights(root_ / "w")).names().size(), 2u);
}

TEST_F(CheckpointFolder, TheFolderMayGoWhileItsTensorsAreInUse) {
  const Tree state = example_state();
  write_checkpoint(root_ / "one", state, Tree::Dictionary{}, files);
  const SavedCheckpoint read = read_checkpoint(root_ / "one");
  fs::remove_all(root_ / "one");
  EXPECT_THAT(compare_states(state, read.state), IsEmpty());
}

}  // namespace
}  // namespace athanor::testing::checkpoint_folder_test
