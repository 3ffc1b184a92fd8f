// SPDX-License-Identifier: Apache-2.0
// Options from the command line and from JSON: every type, what is refused with which words, and exact round trips.
#include "athanor/core/options.hpp"

#include <gmock/gmock.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <limits>

#include "tests/core/error_of.hpp"

namespace outside {

enum class Mode { lowest, highest, unnamed };
constexpr std::array<std::pair<std::string_view, Mode>, 2> enum_names(Mode) {
  return {{{"min", Mode::lowest}, {"max", Mode::highest}}};
}

struct Clip {
  std::optional<double> norm = {};
  double value = 0.5;
  template <class Visitor>
  friend void fields(Visitor& visit, Clip& o) {
    visit("norm", o.norm, "largest norm");
    visit("value", o.value);
  }
};

struct Size {
  int width = 0;
  int height = 0;
  static Size parse(std::string_view text) {
    const size_t cross = text.find('x');
    if (cross == std::string_view::npos) {
      throw athanor::Error({.what = "this is no size", .expected = "WIDTHxHEIGHT"});
    }
    return {std::stoi(std::string(text.substr(0, cross))), std::stoi(std::string(text.substr(cross + 1)))};
  }
  [[nodiscard]] std::string describe() const { return std::to_string(width) + "x" + std::to_string(height); }
};

struct Training {
  bool shuffle = true;
  int workers = 2;
  int64_t batch_size = 32;
  uint64_t seed = 0;
  double lr = 0.001;
  std::string name = "first";
  std::filesystem::path run = "runs/a";
  athanor::Duration length = athanor::Duration::epochs(10);
  std::optional<athanor::Duration> warm_up = {};
  Mode mode = Mode::lowest;
  std::optional<bool> fused = {};
  std::vector<int> layers = {64, 10};
  std::vector<std::string> tags = {};
  std::array<double, 2> betas = {0.9, 0.999};
  Clip clip = {};
  std::optional<Clip> second_clip = {};
  std::vector<Clip> clips = {};
  Size size = {.width = 3, .height = 4};
  std::function<void()> callback = {};
};

template <class Visitor>
void fields(Visitor& visit, Training& o) {
  visit("shuffle", o.shuffle, "a new order in each epoch");
  visit("workers", o.workers);
  visit("batch_size", o.batch_size);
  visit("seed", o.seed);
  visit("lr", o.lr);
  visit("name", o.name);
  visit("run", o.run);
  visit("length", o.length);
  visit("warm_up", o.warm_up);
  visit("mode", o.mode);
  visit("fused", o.fused);
  visit("layers", o.layers);
  visit("tags", o.tags);
  visit("betas", o.betas);
  visit("clip", o.clip);
  visit("second_clip", o.second_clip);
  visit("clips", o.clips);
  visit("size", o.size);
}

struct Doubled {
  int a = 0;
  template <class Visitor>
  friend void fields(Visitor& visit, Doubled& o) {
    visit("a", o.a);
    visit("a", o.a);
  }
};

}  // namespace outside

namespace athanor::options_test {
namespace {

using outside::Mode;
using outside::Training;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

static_assert(Options<Training>);
static_assert(!Options<int>);
static_assert(!Options<std::string>);

std::vector<std::string> command_line(Training& options, std::vector<const char*> words) {
  words.insert(words.begin(), "program");
  return set_options_from_command_line(options, static_cast<int>(words.size()), words.data());
}

/// What the error says was wrong; the options must be as before.
std::string faults(const std::function<void(Training&)>& action) {
  Training options;
  options.lr = 0.25;
  const std::string before = options_to_json(options);
  const Error::Parts parts = error_of([&] {
    action(options);
    return 0;
  });
  EXPECT_EQ(options_to_json(options), before);
  return parts.got;
}
std::string text_faults(std::string_view name, std::string_view text) {
  return faults([&](Training& options) { set_option(options, name, text); });
}
std::string json_faults(std::string_view json) {
  return faults([&](Training& options) { set_options_from_json_text(options, json); });
}
Error::Parts json_error(std::string_view json) {
  Training options;
  return error_of([&] {
    set_options_from_json_text(options, json, "a.json");
    return 0;
  });
}

TEST(OptionsTest, EveryTypeFromText) {
  Training o;
  set_option(o, "shuffle", "false");
  set_option(o, "workers", "-3");
  set_option(o, "batch_size", "9223372036854775807");
  set_option(o, "seed", "18446744073709551615");
  set_option(o, "lr", "1e-3");
  set_option(o, "name", "a = b, c");
  set_option(o, "run", "runs/ä");
  set_option(o, "length", "90 minutes");
  set_option(o, "warm_up", "500_steps");
  set_option(o, "mode", "max");
  set_option(o, "fused", "true");
  set_option(o, "layers", "1, 2,3");
  set_option(o, "tags", R"(["a,b", ""])");
  set_option(o, "betas", "0.5,0.25");
  set_option(o, "clip.norm", "2");
  set_option(o, "size", "7x8");
  EXPECT_FALSE(o.shuffle);
  EXPECT_EQ(o.workers, -3);
  EXPECT_EQ(o.batch_size, std::numeric_limits<int64_t>::max());
  EXPECT_EQ(o.seed, std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(o.lr, 0.001);
  EXPECT_EQ(o.name, "a = b, c");
  EXPECT_EQ(o.run, std::filesystem::path("runs/ä"));
  EXPECT_EQ(o.length, Duration::seconds(5400));
  EXPECT_EQ(o.warm_up, Duration::steps(500));
  EXPECT_EQ(o.mode, Mode::highest);
  EXPECT_EQ(o.fused, true);
  EXPECT_THAT(o.layers, ElementsAre(1, 2, 3));
  EXPECT_THAT(o.tags, ElementsAre("a,b", ""));
  EXPECT_THAT(o.betas, ElementsAre(0.5, 0.25));
  EXPECT_EQ(o.clip.norm, 2.0);
  EXPECT_EQ(o.size.describe(), "7x8");
  set_option(o, "clip.norm", "none");
  set_option(o, "layers", "");
  set_option(o, "lr", "-inf");
  EXPECT_EQ(o.clip.norm, std::nullopt);
  EXPECT_THAT(o.layers, IsEmpty());
  EXPECT_EQ(o.lr, -std::numeric_limits<double>::infinity());
}

TEST(OptionsTest, AnOptionalStructIsMadeForItsFieldsAndClearedAsAWhole) {
  Training o;
  set_option(o, "second_clip.norm", "3");
  ASSERT_TRUE(o.second_clip);
  EXPECT_EQ(o.second_clip->norm, 3.0);
  EXPECT_EQ(o.second_clip->value, 0.5);
  set_option(o, "second-clip", R"({"value": 1})");
  EXPECT_EQ(o.second_clip->norm, 3.0);
  EXPECT_EQ(o.second_clip->value, 1);
  set_option(o, "second_clip", "none");
  EXPECT_FALSE(o.second_clip);
}

TEST(OptionsTest, Durations) {
  EXPECT_EQ(parse_duration("20 epochs"), Duration::epochs(20));
  EXPECT_EQ(parse_duration("20epochs"), Duration::epochs(20));
  EXPECT_EQ(parse_duration("0.25_epochs"), Duration::epochs(0.25));
  EXPECT_EQ(parse_duration("1 epoch"), Duration::epochs(1));
  EXPECT_EQ(parse_duration("1e3 steps"), Duration::steps(1000));
  EXPECT_EQ(parse_duration("60000 samples"), Duration::samples(60000));
  EXPECT_EQ(parse_duration("1.5 seconds"), Duration::seconds(1.5));
  EXPECT_EQ(parse_duration("1 hour"), Duration::seconds(3600));
  for (const char* wrong :
       {"", "20", "epochs", "20 ep", "20  epochs", "20 epochss", "2.5 steps", "-1 epochs", "-0 epochs", "inf epochs",
        "20e", "1e400 epochs", "1e300 steps", "20 epochs ", " 20 epochs", "2 0 epochs"}) {
    const auto parts = error_of([&] { return parse_duration(wrong); });
    EXPECT_EQ(parts.got, wrong);
    EXPECT_THAT(parts.expected, HasSubstr("a length such as 20 epochs"));
  }
}

TEST(OptionsTest, WrongTextsSayWhatWasExpected) {
  EXPECT_EQ(text_faults("shuffle", "yes"), "shuffle: 'yes', expected true or false");
  EXPECT_EQ(text_faults("workers", "2147483648"),
            "workers: '2147483648', expected a whole number from -2147483648 to 2147483647");
  EXPECT_EQ(text_faults("seed", "-1"), "seed: '-1', expected a whole number from 0 to 18446744073709551615");
  for (const char* wrong : {"", "1.0", "1e3", "+1", " 1", "0x10", "9223372036854775808"}) {
    EXPECT_THAT(text_faults("batch_size", wrong), HasSubstr("expected a whole number")) << wrong;
  }
  for (const char* wrong : {"", "abc", "1e400", "1e-400", "0x1p3", "1,5", "infinity", "1 ", "nan(1)", "+1"}) {
    EXPECT_EQ(text_faults("lr", wrong), "lr: '" + std::string(wrong) + "', expected a number");
  }
  EXPECT_EQ(text_faults("mode", "mix"), "mode: 'mix', expected one of min, max; the nearest is min");
  EXPECT_THAT(text_faults("length", "20"), HasSubstr("length: '20', expected a length such as 20 epochs"));
  EXPECT_EQ(text_faults("layers", "1,x,3"), "layers[1]: 'x', expected a whole number from -2147483648 to 2147483647");
  EXPECT_THAT(text_faults("layers", "1,"), HasSubstr("layers[1]: ''"));
  EXPECT_THAT(text_faults("layers", "[1,"), HasSubstr("separated by commas, or a list in JSON"));
  EXPECT_EQ(text_faults("betas", "0.5"), "betas: '0.5', expected a list of 2, each a number");
  EXPECT_EQ(text_faults("size", "7"), "size: '7', this is no size, expected WIDTHxHEIGHT");
  EXPECT_THAT(text_faults("size", "axb"), HasSubstr("size: 'axb', stoi"));
  EXPECT_EQ(text_faults("clip", "1"), "clip: '1', expected a group of options: clip.FIELD, or an object in JSON");
  EXPECT_EQ(text_faults("name", "\xff"), "name: text that is not UTF-8, expected text");
}

TEST(OptionsTest, UnknownNamesComeWithTheNearest) {
  EXPECT_EQ(text_faults("batchsize", "1"), "'batchsize' is not an option; the nearest is 'batch_size'");
  EXPECT_EQ(text_faults("clip.nrm", "1"), "'clip.nrm' is not an option; the nearest is 'clip.norm'");
  EXPECT_THAT(text_faults("callback", "1"), HasSubstr("'callback' is not an option; there are shuffle, workers,"));
  EXPECT_THAT(text_faults("", "1"), HasSubstr("'' is not an option"));
  EXPECT_THAT(text_faults("lr.x", "1"), HasSubstr("'lr.x' is not an option"));
  EXPECT_EQ(json_faults(R"({"clip": {"nrm": 1}})"), "'clip.nrm' is not an option; the nearest is 'clip.norm'");
}

TEST(OptionsTest, CommandLine) {
  Training o;
  const auto rest = command_line(o, {"one", "--lr", "-0.5", "--clip.norm=1", "--no-shuffle", "two", "--fused", "three",
                                     "--batch-size", "1", "--batch_size", "2", "--name=--x", "-", "-5", "--", "--lr"});
  EXPECT_THAT(rest, ElementsAre("one", "two", "three", "-", "-5", "--lr"));
  EXPECT_EQ(o.lr, -0.5);
  EXPECT_EQ(o.clip.norm, 1.0);
  EXPECT_FALSE(o.shuffle);
  EXPECT_EQ(o.fused, true);
  EXPECT_EQ(o.batch_size, 2);
  EXPECT_EQ(o.name, "--x");
  EXPECT_THAT(command_line(o, {"--shuffle", "--fused", "false", "x", "--no_fused", "--name="}), ElementsAre("x"));
  EXPECT_TRUE(o.shuffle);
  EXPECT_EQ(o.fused, false);
  EXPECT_EQ(o.name, "");
  EXPECT_THAT(set_options_from_command_line(o, 0, nullptr), IsEmpty());
}

TEST(OptionsTest, CommandLineFaultsAreListedTogetherAndNothingIsTakenOver) {
  Training o;
  const auto parts = error_of([&] {
    return command_line(o,
                        {"--lr", "5", "--batchsize", "--workers", "x", "-v", "--no-lr", "--no-shuffle=true", "--run"});
  });
  EXPECT_EQ(parts.what, "6 options are wrong, and nothing was taken over");
  EXPECT_EQ(parts.where, "the command line");
  EXPECT_THAT(parts.got, HasSubstr("'batchsize' is not an option; the nearest is 'batch_size'"));
  EXPECT_THAT(parts.got, HasSubstr("workers: 'x', expected a whole number"));
  EXPECT_THAT(parts.got, HasSubstr("'-v' begins with one dash, expected two"));
  EXPECT_THAT(parts.got, HasSubstr("'--no-lr': --no- switches an option off that is true or false"));
  EXPECT_THAT(parts.got, HasSubstr("'--no-shuffle=true'"));
  EXPECT_THAT(parts.got, HasSubstr("run: no value, expected a path"));
  EXPECT_EQ(o.lr, 0.001);
  EXPECT_THAT(error_of([&] {
                return command_line(o, {"--lr", "--workers", "1"});
              }).got,
              HasSubstr("lr: no value, expected a number"));
}

TEST(OptionsTest, EveryTypeFromJson) {
  Training o;
  o.clip.norm = 1;
  o.warm_up = Duration::epochs(1);
  set_options_from_json_text(o, R"( {"shuffle": false, "batch-size": 7, "lr": 3, "length": "0.5 epochs", "mode": "max",
    "fused": true, "layers": [], "tags": ["a", "none"], "betas": [1, 2e-1], "clip": {"norm": null}, "warm_up": null,
    "second_clip": {"norm": 4}, "clips": [{"value": 1}, {}], "size": "1x2", "name": "\u00e4", "run": "x/y"} )");
  EXPECT_FALSE(o.shuffle);
  EXPECT_EQ(o.batch_size, 7);
  EXPECT_EQ(o.lr, 3);
  EXPECT_EQ(o.length, Duration::epochs(0.5));
  EXPECT_EQ(o.mode, Mode::highest);
  EXPECT_THAT(o.layers, IsEmpty());
  EXPECT_THAT(o.tags, ElementsAre("a", "none"));
  EXPECT_THAT(o.betas, ElementsAre(1, 0.2));
  EXPECT_EQ(o.clip.norm, std::nullopt);
  EXPECT_EQ(o.clip.value, 0.5);
  EXPECT_EQ(o.warm_up, std::nullopt);
  EXPECT_EQ(o.second_clip.value().norm, 4.0);
  ASSERT_EQ(o.clips.size(), 2u);
  EXPECT_EQ(o.clips[0].value, 1);
  EXPECT_EQ(o.clips[1].value, 0.5);
  EXPECT_EQ(o.name, "ä");
  EXPECT_EQ(o.workers, 2);
}

TEST(OptionsTest, JsonOfAnotherTypeIsRefused) {
  EXPECT_EQ(json_faults(R"({"lr": "0.1"})"), "lr: '0.1', expected a number");
  EXPECT_EQ(json_faults(R"({"shuffle": 1})"), "shuffle: 1, expected true or false");
  EXPECT_EQ(json_faults(R"({"shuffle": "true"})"), "shuffle: 'true', expected true or false");
  EXPECT_THAT(json_faults(R"({"batch_size": 7.0})"), HasSubstr("batch_size: 7.0, expected a whole number"));
  EXPECT_THAT(json_faults(R"({"seed": 18446744073709551616})"),
              HasSubstr("seed: 18446744073709551616, expected a whole number from 0 to 18446744073709551615"));
  EXPECT_EQ(json_faults(R"({"lr": 1e-400})"), "lr: 1e-400, expected a number");
  EXPECT_THAT(json_faults(R"({"length": 20})"), HasSubstr("length: 20, expected a length such as 20 epochs"));
  EXPECT_EQ(json_faults(R"({"clip": 1})"), "clip: 1, expected a group of options: clip.FIELD, or an object in JSON");
  EXPECT_EQ(json_faults(R"({"lr": null})"), "lr: null, expected a number");
  EXPECT_THAT(json_faults(R"({"fused": "none"})"), HasSubstr("fused: 'none'"));
  EXPECT_EQ(json_faults(R"({"name": [1]})"), "name: a list of 1, expected text");
  EXPECT_THAT(json_faults(R"({"layers": "1,2"})"), HasSubstr("layers: '1,2', expected a list"));
  EXPECT_EQ(json_faults(R"({"run": "a\u0000b"})"), "run: text with a zero byte, expected a path");
  EXPECT_EQ(json_faults(R"({"clip": {"norm": 1, "norm": 2}})"), "clip.norm: twice in one object, expected once");
  EXPECT_EQ(json_faults(R"({"batch_size": 1, "batch-size": 2})"), "batch_size: twice in one object, expected once");
  EXPECT_EQ(json_faults(R"({"clip.norm": 1})"), "'clip.norm' has a dot, expected an object inside an object");
  EXPECT_THAT(json_faults(R"({"clips": [{"norm": "x"}]})"), HasSubstr("clips[0].norm: 'x', expected a number"));
  EXPECT_THAT(json_error(R"({"lr": [], "seed": -1, "x": 1})").what, HasSubstr("3 options are wrong"));
}

TEST(OptionsTest, HostileJson) {
  const auto parts = json_error("{\"lr\": 1,\n \"seed\": }");
  EXPECT_EQ(parts.what, "this is not JSON");
  EXPECT_EQ(parts.where, "a.json, line 2, column 10");
  EXPECT_THAT(parts.got, HasSubstr("unexpected '}'"));
  for (const char* wrong : {"", "{", R"({"lr": 1} x)", R"({"lr": 1,})", "{'lr': 1}", R"({"lr": NaN})", R"({"lr": 01})",
                            R"({"lr": 1e400})", R"(/* */ {"lr": 1})", "{\"lr\": 1 // x\n}", "{\"name\": \"\xff\"}",
                            "\xEF\xBB\xBF{}", R"({"lr": +1})", R"({"name": "\ud800"})"}) {
    EXPECT_EQ(json_error(wrong).what, "this is not JSON") << wrong;
  }
  EXPECT_EQ(json_error(std::string_view("{\"lr\": 1}\0", 10)).got, "a zero byte");
  EXPECT_EQ(json_error("[1]").what, "options in JSON are one object");
  EXPECT_EQ(json_error("null").got, "null");
  const std::string deep = R"({"x": )" + std::string(100000, '[');
  EXPECT_EQ(json_error(deep).expected, "at most 32 levels");
  const std::string nested = R"({"x": )" + std::string(31, '[') + std::string(31, ']') + "}";
  EXPECT_THAT(json_error(nested).got, HasSubstr("'x' is not an option"));
  const std::string longest = R"({"name": ")" + std::string(size_t{1} << 20, 'a') + R"("})";
  EXPECT_EQ(json_error(longest).expected, "at most 1048576 bytes");
  const std::string wrong_for_long = json_error(R"({"lr": ")" + std::string(1000, 'a') + R"("})").got;
  EXPECT_LT(wrong_for_long.size(), 150u);
}

Training unusual() {
  Training o;
  o.lr = 0.1 + 0.2;
  o.seed = std::numeric_limits<uint64_t>::max();
  o.batch_size = std::numeric_limits<int64_t>::min();
  o.name = "a \"quoted\"\n\tline, ä \x01";
  o.run = "runs/ü [1]";
  o.length = Duration::epochs(1.0 / 3);
  o.warm_up = Duration::seconds(0.1);
  o.mode = Mode::highest;
  o.fused = false;
  o.layers = {};
  o.tags = {"a,b", "", "none", "[", "plain"};
  o.betas = {-0.0, std::numeric_limits<double>::denorm_min()};
  o.clip = {.norm = std::numeric_limits<double>::infinity(), .value = 5e300};
  o.second_clip = outside::Clip{.norm = std::nullopt, .value = 1e-5};
  o.clips = {{.norm = 1}, {}};
  return o;
}

void expect_same(const Training& a, const Training& b) {
  EXPECT_EQ(a.lr, b.lr);
  EXPECT_EQ(a.seed, b.seed);
  EXPECT_EQ(a.batch_size, b.batch_size);
  EXPECT_EQ(a.name, b.name);
  EXPECT_EQ(a.run, b.run);
  EXPECT_EQ(a.length, b.length);
  EXPECT_EQ(a.warm_up, b.warm_up);
  EXPECT_EQ(a.mode, b.mode);
  EXPECT_EQ(a.fused, b.fused);
  EXPECT_EQ(a.layers, b.layers);
  EXPECT_EQ(a.tags, b.tags);
  EXPECT_EQ(a.betas, b.betas);
  EXPECT_EQ(std::signbit(a.betas[0]), std::signbit(b.betas[0]));
  EXPECT_EQ(a.clip.norm, b.clip.norm);
  EXPECT_EQ(a.clip.value, b.clip.value);
  ASSERT_EQ(a.second_clip.has_value(), b.second_clip.has_value());
  if (a.second_clip) {
    EXPECT_EQ(a.second_clip->norm, b.second_clip->norm);
    EXPECT_EQ(a.second_clip->value, b.second_clip->value);
  }
  ASSERT_EQ(a.clips.size(), b.clips.size());
  for (size_t i = 0; i < a.clips.size(); ++i) EXPECT_EQ(a.clips[i].norm, b.clips[i].norm);
  EXPECT_EQ(a.size.describe(), b.size.describe());
}

TEST(OptionsTest, JsonRoundTripIsExact) {
  for (const Training& o : {Training(), unusual()}) {
    Training back = unusual();
    back.name = "other";
    back.betas = {5, 5};
    set_options_from_json_text(back, options_to_json(o));
    expect_same(back, o);
  }
}

TEST(OptionsTest, WhatIsListedCanBeSetAgain) {
  for (const Training& o : {Training(), unusual()}) {
    Training back = o.second_clip ? Training() : unusual();
    for (const auto& [name, text] : list_options(o)) set_option(back, name, text);
    expect_same(back, o);
  }
  const auto lines = list_options(Training());
  EXPECT_THAT(lines, ::testing::IsSupersetOf({Pair("lr", "0.001"), Pair("layers", "64,10"), Pair("clip.norm", "none"),
                                              Pair("second_clip", "none"), Pair("length", "10 epochs"),
                                              Pair("betas", "0.9,0.999"), Pair("size", "3x4"), Pair("clips", "")}));
  EXPECT_EQ(lines.size(), 19u);
}

TEST(OptionsTest, JsonIsReadable) {
  EXPECT_EQ(options_to_json(outside::Clip{}), "{\n  \"norm\": null,\n  \"value\": 0.5\n}\n");
  EXPECT_THAT(options_to_json(Training()), HasSubstr("\"clip\": {\n    \"norm\": null,"));
}

TEST(OptionsTest, PythonReadsTheSameNumbers) {
  const auto folder = std::filesystem::temp_directory_path() / ("athanor_options_test_" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  Training o = unusual();
  o.clip.norm = 2;
  std::ofstream(folder / "in.json") << options_to_json(o);
  const std::string script =
      "import json,sys; d = json.load(open(sys.argv[1])); assert d['lr'] == 0.1 + 0.2 and d['seed'] == 2**64 - 1; "
      "assert d['betas'][1] == 5e-324 and d['tags'][0] == 'a,b'; json.dump(d, open(sys.argv[2], 'w'))";
  const std::string command = std::string(ATHANOR_TEST_PYTHON) + " -c \"" + script + "\" '" +
                              (folder / "in.json").string() + "' '" + (folder / "out.json").string() + "'";
  ASSERT_EQ(std::system(command.c_str()), 0);
  Training back;
  set_options_from_json(back, folder / "out.json");
  expect_same(back, o);
  std::filesystem::remove_all(folder);
  EXPECT_THAT(error_of([&] {
                set_options_from_json(back, folder / "out.json");
                return 0;
              }).where,
              HasSubstr("out.json"));
}

TEST(OptionsTest, HelpHasALineForEachOption) {
  const std::string help = options_help(Training());
  EXPECT_THAT(help, HasSubstr("--shuffle "));
  EXPECT_THAT(help, HasSubstr("a new order in each epoch (true or false)\n"));
  EXPECT_THAT(help, HasSubstr("--second_clip.norm   none"));
  EXPECT_THAT(help, HasSubstr("largest norm (a number, or none)\n"));
  EXPECT_THAT(help, HasSubstr("one of min, max\n"));
}

TEST(OptionsDeathTest, HelpIsShownAndEndsTheProgram) {
  const auto ask = [](std::vector<const char*> words) {
    std::cout.rdbuf(std::cerr.rdbuf());  // a death test reads that one
    Training options;
    command_line(options, std::move(words));
  };
  EXPECT_EXIT(ask({"--lr", "0.125", "--help", "--unknown"}), ::testing::ExitedWithCode(0), "--lr +0.125 ");
  EXPECT_EXIT(ask({"-h"}), ::testing::ExitedWithCode(0), "--shuffle ");
  EXPECT_THAT(faults([](Training& o) { command_line(o, {"--unknown", "1", "--help"}); }), HasSubstr("unknown"));
}

TEST(OptionsTest, MistakesOfTheProgram) {
  outside::Doubled doubled;
  EXPECT_EQ(error_of([&] { return list_options(doubled); }).what, "two fields of an options struct have one name");
  Training o;
  o.mode = Mode::unnamed;
  EXPECT_EQ(error_of([&] { return options_to_json(o); }).what, "a value of an enum has no name");
  o = {};
  o.name = "\xff";
  EXPECT_EQ(error_of([&] { return options_to_json(o); }).what, "an option can't be written as JSON");
}

}  // namespace
}  // namespace athanor::options_test
