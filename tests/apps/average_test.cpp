// SPDX-License-Identifier: Apache-2.0
// athanor average: uniform and greedy soups.
#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>

#include "athanor/checkpoint/safetensors.hpp"
#include "athanor/checkpoint/torch_file.hpp"
#include "athanor/core/random.hpp"
#include "tests/apps/command.hpp"

namespace athanor::testing::average_test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class Averaging : public ::testing::Test {
 protected:
  [[nodiscard]] fs::path at(const std::string& name) const { return folder_.path() / name; }
  [[nodiscard]] Finished average(const std::string& arguments) const {
    return run_process("cd " + folder_.path().string() + " && " ATHANOR_COMMAND " average " + arguments);
  }
  /// Files with one number each; `score.sh FILE` prints how far that of FILE is from 10.
  void make_numbers(const std::vector<double>& numbers) const {
    for (size_t i = 0; i < numbers.size(); ++i) {
      write_safetensors(at(std::to_string(i) + ".safetensors"),
                        NamedTensors{{"w", at::full({1}, numbers[i], at::kDouble)}});
    }
    write_text(at("score.py"),
               "import struct, sys\n"
               "value = struct.unpack('<d', open(sys.argv[1], 'rb').read()[-8:])[0]\n"
               "print('loading', file=sys.stderr)\n"
               "print('a line before')\n"
               "print(abs(value - 10))\n");
  }
  [[nodiscard]] double number(const std::string& name) const {
    return SafetensorsFile(at(name)).tensor("w").item<double>();
  }
  static std::string score() { return "--score '" ATHANOR_TEST_PYTHON " score.py {}' "; }

  TemporaryFolder folder_;
};

TEST_F(Averaging, IsTheMeanInFloat64OfEachTypeRoundedOnce) {
  Philox random(1);
  const auto noise = [&](at::ScalarType type) {
    at::Tensor tensor = at::zeros({50, 40}, at::kDouble);
    for (int64_t i = 0; i < tensor.numel(); ++i) tensor.mutable_data_ptr<double>()[i] = random.normal();
    return tensor.to(type);
  };
  std::vector<NamedTensors> all;
  for (int i = 0; i < 3; ++i) {
    all.push_back({{"float", noise(at::kFloat)},
                   {"double", noise(at::kDouble)},
                   {"half", noise(at::kHalf)},
                   {"bfloat", noise(at::kBFloat16)},
                   {"count", at::full({1}, i + 1, at::kLong)}});
    write_safetensors(at(std::to_string(i) + ".safetensors"), all.back());
  }
  const Finished made = average("0.safetensors 1.safetensors 2.safetensors -o mean.safetensors");
  ASSERT_EQ(made.status, 0) << made.errors;
  EXPECT_THAT(made.output, HasSubstr("the average of 3 files"));
  EXPECT_THAT(made.output, HasSubstr("taken from the first file, not averaged: count"));
  const SafetensorsFile mean(at("mean.safetensors"));
  for (size_t i = 0; i < 4; ++i) {
    const auto& [name, first] = all[0][i];
    const at::Tensor expected =
        (first.to(at::kDouble) + all[1][i].second.to(at::kDouble) + all[2][i].second.to(at::kDouble)) / 3;
    EXPECT_TRUE(mean.tensor(name).equal(expected.to(first.scalar_type()))) << name;
  }
  EXPECT_EQ(mean.tensor("count").item<int64_t>(), 1);
}

TEST_F(Averaging, FilesOfSeveralFormatsIntoOne) {
  make_numbers({1});
  save_torch_file(at("b.pt"), {{"model", {{"w", at::full({1}, 4.0, at::kDouble)}}}});
  save_torch_file(at("c.pt"), {{"model", {{"w", at::full({1}, 6.0, at::kDouble)}}}});
  ASSERT_EQ(average("b.pt c.pt --part model -o mean.pt").status, 0);
  EXPECT_EQ(load_torch_file(at("mean.pt"))["w"].tensor().item<double>(), 5);
  ASSERT_EQ(average("mean.pt 0.safetensors -o both.safetensors").status, 0);
  EXPECT_EQ(number("both.safetensors"), 3);
}

/// 11 is the nearest to 10. With 13 the mean is 12: worse. With 7 it is 9: as far as before. With 18 too it is 12.
TEST_F(Averaging, GreedyKeepsWhatIsNotWorse) {
  make_numbers({13, 7, 11, 18});
  const Finished made =
      average("0.safetensors 1.safetensors 2.safetensors 3.safetensors -o soup.safetensors " + score() + "--minimize");
  ASSERT_EQ(made.status, 0) << made.errors;
  EXPECT_THAT(made.output, HasSubstr("begins with 2.safetensors"));
  EXPECT_THAT(made.output, HasSubstr("with 1.safetensors: 1\n")) << "not worse";
  EXPECT_THAT(made.output, HasSubstr("without 0.safetensors: 2\n"));
  EXPECT_THAT(made.output, HasSubstr("without 3.safetensors: 2\n"));
  EXPECT_THAT(made.output, HasSubstr("the average of 2 files"));
  EXPECT_EQ(number("soup.safetensors"), 9);
  for (const auto& entry : fs::directory_iterator(folder_.path())) {
    EXPECT_FALSE(entry.path().filename().string().starts_with(".athanor")) << "the candidate is removed";
  }
}

/// A shell runs what lies in the background without SIGINT; `env` gives it back, as a terminal has it.
TEST_F(Averaging, ASignalLeavesNoCandidateBehind) {
  make_numbers({13, 7});
  for (const auto& [signal, status] : {std::pair{"INT", 130}, std::pair{"TERM", 143}, std::pair{"HUP", 129}}) {
    fs::remove(at("started"));
    const Finished ended =
        run_process("cd " + folder_.path().string() +
                    " && { env --default-signal=INT " ATHANOR_COMMAND
                    " average 0.safetensors 1.safetensors -o soup.safetensors --minimize "
                    "--score 'exec >/dev/null 2>&1; ls -A > listed; touch started; sleep 1; : {}' & } && "
                    "while [ ! -e started ]; do sleep 0.01; done; kill -" +
                    std::string(signal) + " $!; wait $!");
    EXPECT_EQ(ended.status, status) << ended.errors;
    EXPECT_THAT(text_of_file(at("listed")), HasSubstr(".athanor-soup-")) << "it was there";
    for (const auto& entry : fs::directory_iterator(folder_.path())) {
      EXPECT_FALSE(entry.path().filename().string().starts_with(".athanor")) << entry.path() << " after " << signal;
    }
    EXPECT_FALSE(fs::exists(at("soup.safetensors")));
  }
}

TEST_F(Averaging, MaximizeIsTheOtherWay) {
  make_numbers({11, 30});
  ASSERT_EQ(average("0.safetensors 1.safetensors -o soup.safetensors --maximize " + score()).status, 0);
  EXPECT_EQ(number("soup.safetensors"), 30) << "the mean is nearer to 10";
}

TEST_F(Averaging, AScoreThatIsNotANumberIsNeverBetter) {
  make_numbers({11, 12});
  write_text(at("score.py"),
             "import struct, sys\n"
             "value = struct.unpack('<d', open(sys.argv[1], 'rb').read()[-8:])[0]\n"
             "print('nan' if value == 11 else value)\n");
  const Finished made = average("0.safetensors 1.safetensors -o soup.safetensors --maximize " + score());
  ASSERT_EQ(made.status, 0) << made.errors;
  EXPECT_EQ(number("soup.safetensors"), 12);
  write_text(at("score.py"), "print('nan')\n");
  expect_refused({.status = 2, .errors = average("0.safetensors -o other.safetensors --maximize " + score()).errors},
                 "no file has a score that is a number");
}

TEST_F(Averaging, ABadScoringCommandIsNamedAndNothingIsWritten) {
  make_numbers({11, 12});
  const auto refused = [&](const std::string& command, const std::string& words) {
    const Finished made =
        average("0.safetensors 1.safetensors -o soup.safetensors --minimize --score '" + command + "'");
    EXPECT_EQ(made.status, 2);
    EXPECT_THAT(made.errors, HasSubstr(words)) << command;
    EXPECT_FALSE(fs::exists(at("soup.safetensors")));
  };
  refused("" ATHANOR_TEST_PYTHON " score.py", "{}");
  refused("false {}", "exit status 1");
  refused("test -f {} && kill -9 $$", "signal 9");
  refused("true {}", "got nothing");
  refused("echo 0.5 and more {}", "printed no number");
  for (const auto& entry : fs::directory_iterator(folder_.path())) {
    EXPECT_FALSE(entry.path().filename().string().starts_with(".athanor"));
  }
}

TEST_F(Averaging, APathIsOneWordOfTheShell) {
  const fs::path odd = at("it's; touch hacked #");
  fs::create_directories(odd);
  make_numbers({11});
  const Finished made = average("0.safetensors -o \"" + odd.string() + "/soup.safetensors\" --minimize " + score());
  EXPECT_EQ(made.status, 0) << made.errors;
  EXPECT_FALSE(fs::exists(at("hacked")));
}

TEST_F(Averaging, OtherWeightsAreRefusedNameByName) {
  write_safetensors(at("a.safetensors"),
                    NamedTensors{{"w", at::zeros({2})}, {"b", at::zeros({2})}, {"c", at::zeros({1})}});
  write_safetensors(at("b.safetensors"),
                    NamedTensors{{"w", at::zeros({3})}, {"b", at::zeros({2}, at::kDouble)}, {"d", at::zeros({1})}});
  const Finished made = average("a.safetensors b.safetensors -o c.safetensors");
  expect_refused(made, "w is float32 [3] instead of float32 [2]");
  EXPECT_THAT(made.errors, HasSubstr("b is float64 [2] instead of float32 [2]"));
  EXPECT_THAT(made.errors, HasSubstr("c is missing"));
  EXPECT_THAT(made.errors, HasSubstr("d is not in the first file"));
}

TEST_F(Averaging, AScoreNeedsADirection) {
  make_numbers({1});
  expect_refused(average("0.safetensors -o a.safetensors " + score()), "--maximize or --minimize");
  expect_refused(average("0.safetensors -o a.safetensors --maximize"), "--score");
  expect_refused(average("0.safetensors -o a.safetensors --maximize --minimize " + score()), "--help");
}

}  // namespace
}  // namespace athanor::testing::average_test
