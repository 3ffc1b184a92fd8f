// SPDX-License-Identifier: Apache-2.0
// athanor inspect and verify: whole, damaged and hostile files.
#include <ATen/ops/arange.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include "athanor/checkpoint/checkpoint_folder.hpp"
#include "athanor/checkpoint/safetensors.hpp"
#include "athanor/checkpoint/sharded_safetensors.hpp"
#include "athanor/checkpoint/torch_file.hpp"
#include "tests/apps/command.hpp"

namespace athanor::testing::inspect_test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

class Inspecting : public ::testing::Test {
 protected:
  [[nodiscard]] fs::path at(const std::string& name) const { return folder_.path() / name; }
  [[nodiscard]] Finished inspect(const std::string& name, const std::string& more = {}) const {
    return run_command("inspect " + at(name).string() + " " + more);
  }
  static NamedTensors weights() {
    return {{"fc.weight", at::arange(12, at::kFloat).reshape({3, 4})},
            {"fc.bias", at::zeros({3}, at::kDouble)},
            {"steps", at::ones({}, at::kLong)}};
  }
  /// A checkpoint and a run folder around it.
  fs::path make_checkpoint(const std::string& name) const {
    const fs::path path = at("run") / "checkpoints" / name;
    fs::create_directories(path.parent_path());
    write_text(at("run") / "history.csv", "epoch,steps,seconds\n");
    const Tree state = {{"task", {{"nets", {{"weight", at::arange(8, at::kFloat)}}}}}, {"step", 3}};
    write_checkpoint(path, state, Tree{{"epoch", 1}}, {{.file = "weights", .prefix = "task.nets.", .strip = true}});
    return path;
  }

  TemporaryFolder folder_;
};

TEST_F(Inspecting, Safetensors) {
  write_safetensors(at("a.safetensors"), weights(), {{"format", "pt"}, {"note", "two\nlines\x1b[31m"}});
  const Finished shown = inspect("a.safetensors");
  EXPECT_EQ(shown.status, 0) << shown.errors;
  EXPECT_THAT(shown.output, HasSubstr("fc.weight  float32  [3, 4]"));
  EXPECT_THAT(shown.output, HasSubstr("fc.bias    float64  [3]"));
  EXPECT_THAT(shown.output, HasSubstr("3 tensors, 16 numbers, 80 B"));
  EXPECT_THAT(shown.output, HasSubstr("two\\x0alines\\x1b[31m")) << "nothing steers the terminal";
  EXPECT_THAT(inspect("a.safetensors", "--names 'fc.*'").output, HasSubstr("2 tensors"));
  const auto json = json_of_command("inspect --json " + at("a.safetensors").string());
  EXPECT_EQ(json["tensors"].size(), 3u);
  EXPECT_EQ(json["tensors"][0]["name"], "steps") << "in the order of the file: integers of eight bytes first";
  EXPECT_EQ(json["tensors"][1]["bytes"], 24);
  EXPECT_EQ(json["metadata"]["format"], "pt");
}

TEST_F(Inspecting, TorchFilesWithoutExecutingThem) {
  Tree::Dictionary model;
  for (const auto& [name, tensor] : weights()) model.emplace_back(name, tensor);
  save_torch_file(at("a.pt"), {{"model", model}, {"epoch", 3}, {"name", "x"}});
  const Finished shown = inspect("a.pt");
  EXPECT_EQ(shown.status, 0) << shown.errors;
  EXPECT_THAT(shown.output, HasSubstr("model.fc.weight  float32  [3, 4]"));
  EXPECT_THAT(shown.output, HasSubstr("epoch = 3"));
  EXPECT_THAT(shown.output, HasSubstr("name = 'x'"));
  EXPECT_THAT(inspect("a.pt", "--part model").output, HasSubstr("\nfc.weight "));
  expect_refused(inspect("a.pt", "--part optimizer"), "one of model, epoch, name", 1);

  const std::string recorded = ATHANOR_SOURCE_DIR "/tests/checkpoint/recorded/";
  EXPECT_EQ(run_command("inspect " + recorded + "values_legacy.pt").status, 0);
  expect_refused(run_command("inspect " + recorded + "refused_system.pt"), "system", 1);
  expect_refused(run_command("inspect " + recorded + "refused_script.pt"), "TorchScript", 1);
}

TEST_F(Inspecting, EveryRecordedFileIsShownOrRefusedInOneLine) {
  for (const auto& entry : fs::directory_iterator(ATHANOR_SOURCE_DIR "/tests/checkpoint/recorded")) {
    if (!entry.is_regular_file()) continue;
    const Finished shown = run_command("inspect " + entry.path().string());
    const bool refused = entry.path().filename().string().starts_with("refused_");
    if (refused) {
      expect_refused(shown, entry.path().filename().string(), 1);
    } else {
      EXPECT_EQ(shown.status, 0) << entry.path() << shown.errors;
    }
  }
}

TEST_F(Inspecting, SeveralFilesAndIdx) {
  fs::create_directories(at("sharded"));
  write_sharded_safetensors(at("sharded"), weights(), {.max_shard_bytes = 48});
  for (const char* name : {"sharded", "sharded/model.safetensors.index.json"}) {
    const Finished shown = inspect(name);
    EXPECT_EQ(shown.status, 0) << shown.errors;
    EXPECT_THAT(shown.output, HasSubstr("safetensors in several files, 2 files"));
    EXPECT_THAT(shown.output, HasSubstr("3 tensors"));
  }
  fs::remove(at("sharded/model-00001-of-00002.safetensors"));
  expect_refused(inspect("sharded"), "model-00001-of-00002", 1);
  write_text(at("images"), std::string("\0\0\x08\x02\0\0\0\2\0\0\0\3abcdef", 18));
  EXPECT_THAT(inspect("images").output, HasSubstr("IDX, uint8 [2, 3], 6 B"));
  write_text(at("cut"), std::string("\0\0\x08\x02\0\0\0\2\0\0\0\3abcde", 17));
  expect_refused(inspect("cut"), "cut", 1);
}

TEST_F(Inspecting, DamageIsNamed) {
  write_safetensors(at("a.safetensors"), weights());
  const std::string whole = text_of_file(at("a.safetensors"));
  for (const size_t size : {size_t{0}, size_t{7}, whole.size() / 2, whole.size() - 1}) {
    write_text(at("cut.safetensors"), whole.substr(0, size));
    expect_refused(inspect("cut.safetensors"), "cut.safetensors", 1);
  }
  write_text(at("longer.safetensors"), whole + "x");
  expect_refused(inspect("longer.safetensors"), "longer.safetensors", 1);

  save_torch_file(at("a.pt"), {{"w", at::arange(1000, at::kFloat)}});
  std::string flipped = text_of_file(at("a.pt"));
  flipped[flipped.size() / 2] ^= 1;
  write_text(at("a.pt"), flipped);
  expect_refused(inspect("a.pt"), "checksum", 1);
  EXPECT_EQ(inspect("a.pt", "--quick").status, 0) << "the structure is whole";
}

TEST_F(Inspecting, CheckpointFoldersAreVerifiedFirst) {
  const fs::path path = make_checkpoint("000001-epoch-1-step-3");
  const Finished shown = run_command("inspect " + path.string());
  EXPECT_THAT(shown.output, HasSubstr("weight  float32  [8]"));
  EXPECT_THAT(shown.output, HasSubstr("file      state.json  "));
  EXPECT_THAT(shown.output, HasSubstr("fact      epoch = 1\n"));
  std::string bytes = text_of_file(path / "weights.safetensors");
  bytes.back() ^= 1;
  write_text(path / "weights.safetensors", bytes);
  expect_refused(run_command("inspect " + path.string()), "weights.safetensors", 1);
}

TEST_F(Inspecting, VerifyNamesWhatIsDamaged) {
  const fs::path first = make_checkpoint("000001-epoch-1-step-3");
  const fs::path second = make_checkpoint("000002-epoch-2-step-6");
  const fs::path third = make_checkpoint("000003-epoch-3-step-9");
  write_safetensors(at("run") / "best.safetensors", weights());
  const std::string run = at("run").string();
  Finished verified = run_command("verify " + run);
  EXPECT_EQ(verified.status, 0) << verified.output << verified.errors;
  EXPECT_THAT(verified.output, HasSubstr("4 whole, 0 damaged"));

  std::string state = text_of_file(second / "state.json");
  write_text(second / "state.json", state + " ");
  fs::remove(third / "manifest.json");
  write_text(at("run") / "best.safetensors", "not at all");
  verified = run_command("verify " + run);
  EXPECT_EQ(verified.status, 1);
  EXPECT_THAT(verified.output, HasSubstr("whole    " + first.string()));
  EXPECT_THAT(verified.output, HasSubstr("DAMAGED  " + second.string()));
  EXPECT_THAT(verified.output, HasSubstr("state.json; got " + std::to_string(state.size() + 1) + " bytes; expected " +
                                         std::to_string(state.size()) + " bytes"));
  EXPECT_THAT(verified.output, HasSubstr("DAMAGED  " + third.string())) << "a folder without its manifest";
  EXPECT_THAT(verified.output, HasSubstr("DAMAGED  " + run + "/best.safetensors"));
  EXPECT_THAT(verified.output, HasSubstr("1 whole, 3 damaged"));
  const auto json = json_of_command("verify --json " + run);
  EXPECT_EQ(json["damaged"], 3);
  EXPECT_EQ(json["checked"].size(), 4u);
  EXPECT_EQ(run_command("verify " + first.string()).status, 0) << "one alone";
  expect_refused(run_command("verify " + folder_.path().string()), "neither a run folder nor a checkpoint");
}

TEST_F(Inspecting, EachByteOfAManifestCounts) {
  const fs::path path = make_checkpoint("000001-epoch-1-step-3");
  const std::string whole = text_of_file(path / "manifest.json");
  for (size_t place = 0; place < whole.size(); place += 1 + whole.size() / 20) {
    std::string damaged = whole;
    damaged[place] = static_cast<char>(damaged[place] ^ 1);
    write_text(path / "manifest.json", damaged);
    EXPECT_EQ(run_command("verify " + path.string()).status, 1) << place;
  }
}

TEST_F(Inspecting, AManifestThatNamesOtherFoldersIsRefused) {
  const fs::path path = make_checkpoint("000001-epoch-1-step-3");
  write_text(path / "manifest.json",
             manifest_with_checksum(
                 "{\n  \"format\": 1,\n  \"files\": {\"../../../x\": {\"bytes\": 1, \"crc32\": \"00\"}}\n}"));
  const Finished verified = run_command("verify " + path.string());
  EXPECT_EQ(verified.status, 1);
  EXPECT_THAT(verified.output, HasSubstr("names of files in this folder"));
}

}  // namespace
}  // namespace athanor::testing::inspect_test
