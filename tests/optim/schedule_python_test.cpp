// SPDX-License-Identifier: Apache-2.0
// Our schedules beside the real torch.optim.lr_scheduler of Python over 1,000 updates: random ones from a seed, run by
// schedule_peer.py, and those that it recorded.
#include <ATen/ops/ones.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "athanor/core/file.hpp"
#include "athanor/optim/adam.hpp"
#include "athanor/optim/schedules.hpp"
#include "athanor/optim/sgd.hpp"

namespace athanor::testing::schedule_python_test {
namespace {

using namespace literals;
using Json = nlohmann::json;

constexpr int64_t steps = 1000;
constexpr int64_t steps_per_epoch = 40;

Json read_json(const std::filesystem::path& path) {
  std::ifstream file(path);
  return Json::parse(file);
}

/// Steps of Python's scheduler are our updates or our epochs.
struct Units {
  bool epochs;
  Duration operator()(const Json& count) const {
    return epochs ? Duration::epochs(count.get<double>()) : Duration::steps(count.get<int64_t>());
  }
  std::optional<Duration> optional(const Json& count) const {
    return count.is_null() ? std::nullopt : std::optional((*this)(count));
  }
};

std::optional<schedules::MomentumRange> momentum_of(const Json& range) {
  if (range.is_null()) return std::nullopt;
  return schedules::MomentumRange{.low = range[0].get<double>(), .high = range[1].get<double>()};
}

/// What a plateau watches, as value_of of the script.
double value_of(const Json& p, int64_t k) {
  const auto nan_every = p["nan_every"].get<int64_t>();
  if (nan_every > 0 && k % nan_every == nan_every - 1) return std::numeric_limits<double>::quiet_NaN();
  const auto step = static_cast<double>(k);
  const double fall = p["levels"].get<double>() / (1 + step / p["decay"].get<double>());
  const auto noise = static_cast<double>(k * p["mult"].get<int64_t>() % 7);
  const double value = std::floor(fall + noise) / 4 + p["offset"].get<double>();
  return p["mode"] == "max" ? 100 - value : value;
}

Schedule warmup_of(const Json& p, const Duration& length) {
  const auto start = p["start"].get<double>();
  if (p["shape"] == "linear") return schedules::linear_warmup(length, start);
  return p["shape"] == "exponential" ? schedules::exponential_warmup(length, start)
                                     : schedules::constant_warmup(length, start);
}

using Make = std::function<Schedule(const Json&, const Units&)>;

Schedule simple(const Json& p, const Units& unit) {
  const auto number = [&](const char* name) { return p[name].get<double>(); };
  const Cadence cadence = unit.epochs ? Cadence::epoch : Cadence::step;
  const std::string kind = p["kind"];
  if (kind == "lambda") {
    return schedules::lambda([a = number("a")](int64_t t) { return 1 / (1 + a * static_cast<double>(t)); }, cadence);
  }
  if (kind == "by_group") {
    return schedules::by_group(
        {schedules::lambda([a = number("a")](int64_t t) { return std::pow(a, static_cast<double>(t)); }, cadence),
         schedules::lambda([b = number("b")](int64_t t) { return 1 / (1 + b * static_cast<double>(t)); }, cadence)});
  }
  if (kind == "multiplicative") {
    return schedules::multiplicative([a = number("a")](int64_t t) { return 1 + a * std::cos(static_cast<double>(t)); },
                                     cadence);
  }
  if (kind == "step") return schedules::step(unit(p["size"]), number("gamma"));
  if (kind == "multi_step") {
    std::vector<Duration> milestones;
    for (const Json& milestone : p["milestones"]) milestones.push_back(unit(milestone));
    return schedules::multi_step(milestones, number("gamma"));
  }
  if (kind == "constant") return schedules::constant(number("factor"), unit(p["total"]));
  if (kind == "linear") return schedules::linear(number("start"), number("end"), unit(p["total"]));
  if (kind == "exponential") return schedules::exponential(number("gamma"), unit(1));
  if (kind == "cosine") return schedules::cosine(number("least"), unit(p["total"]));
  if (kind == "restarts") return schedules::cosine_restarts(unit(p["first"]), p["mult"], number("least"));
  if (kind == "polynomial") return schedules::polynomial(number("power"), unit(p["total"]));
  if (kind == "warmup") return warmup_of(p, unit(p["total"]));
  if (kind == "inverse_square_root") return schedules::inverse_square_root(unit(p["warmup"]));
  ADD_FAILURE() << "no schedule of the kind " << kind;
  return schedules::cosine();
}

Schedule combined(const Json& p, const Units& unit) {
  const auto number = [&](const char* name) { return p[name].get<double>(); };
  const std::string kind = p["kind"];
  if (kind == "cyclic") {
    static const std::map<std::string, schedules::CycleHeight> heights{
        {"triangular", schedules::CycleHeight::constant},
        {"triangular2", schedules::CycleHeight::halved},
        {"exp_range", schedules::CycleHeight::exponential}};
    return schedules::cyclic({.up = unit(p["up"]),
                              .down = unit.optional(p["down"]),
                              .max_factor = number("top"),
                              .height = heights.at(p["height"]),
                              .gamma = number("gamma"),
                              .momentum = momentum_of(p["momentum"])});
  }
  if (kind == "one_cycle") {
    return schedules::one_cycle({.length = unit(p["total"]),
                                 .rise = number("rise"),
                                 .start_divisor = number("start"),
                                 .end_divisor = number("end"),
                                 .anneal = p["anneal"] == "cos" ? schedules::Anneal::cosine : schedules::Anneal::linear,
                                 .three_phases = p["three"],
                                 .momentum = momentum_of(p["momentum"])});
  }
  if (kind == "plateau") {
    return schedules::reduce_on_plateau({.mode = p["mode"] == "min" ? Mode::min : Mode::max,
                                         .factor = number("factor"),
                                         .patience = p["patience"],
                                         .min_change = number("min_change"),
                                         .relative = p["relative"],
                                         .cooldown = p["cooldown"],
                                         .min_factor = number("least")});
  }
  if (kind == "sequential") {
    return schedules::sequence({schedules::linear_warmup(unit(p["warmup"]), number("start")),
                                schedules::lasting(unit(p["stay"]), schedules::step(unit(p["size"]), number("gamma"))),
                                schedules::exponential(number("decay"), unit(1))});
  }
  if (kind == "chained") {
    return schedules::chained(
        {schedules::constant(number("factor"), unit(p["total"])), schedules::exponential(number("decay"), unit(1)),
         schedules::multi_step({unit(p["milestones"][0]), unit(p["milestones"][1])}, number("gamma"))});
  }
  if (kind == "linear_then_cosine") {
    return schedules::linear_then_cosine(unit(p["warmup"]), {.min_factor = number("least")});
  }
  if (kind == "warmup_stable_decay") {
    static const std::map<std::string, schedules::DecayShape> shapes{{"linear", schedules::DecayShape::linear},
                                                                     {"cosine", schedules::DecayShape::cosine},
                                                                     {"1-sqrt", schedules::DecayShape::one_minus_sqrt}};
    return schedules::warmup_stable_decay({.warmup = unit(p["warmup"]),
                                           .decay = unit(p["decay"]),
                                           .min_factor = number("least"),
                                           .shape = shapes.at(p["shape"])});
  }
  return simple(p, unit);
}

Schedule schedule_of(const Json& p) {
  const Units unit{.epochs = p["every"].get<int64_t>() > 1};
  Schedule schedule = combined(p, unit);
  if (!unit.epochs || schedule.cadence() != Cadence::step) return schedule;
  if (schedule.parts().empty()) return schedules::per_epoch(schedule);
  // The fields of a cycle, each by epochs.
  std::vector<Schedule> parts;
  for (const Schedule& part : schedule.parts()) parts.push_back(schedules::per_epoch(part));
  return schedules::together({parts.at(0), parts.at(1)});
}

std::shared_ptr<Optimizer> optimizer_of(const Json& p) {
  const ParameterGroups groups{{{{"a", at::ones({1}).requires_grad_()}}, {.lr = p["lrs"][0].get<double>()}},
                               {{{"b", at::ones({1}).requires_grad_()}}, {.lr = p["lrs"][1].get<double>()}}};
  return p["optimizer"] == "adam" ? optim::Adam({.lr = 1}).on(groups) : optim::SGD({.momentum = 0.9}).on(groups);
}

/// `expected(update)`: the rates of both groups and the momentum of the first, or null where nothing is known.
void expect_rates(const Json& p, const std::function<const double*(int64_t)>& expected) {
  SCOPED_TRACE(p.dump());
  const bool by_value = p["kind"] == "plateau";
  Schedule schedule = schedule_of(p);
  const auto optimizer = optimizer_of(p);
  double epochs = 0;
  for (int64_t update = 0; update < steps; ++update) {
    schedule.step(*optimizer, {.updates = update, .epochs = epochs, .total_updates = steps, .total_epochs = 25});
    epochs += 1.0 / steps_per_epoch;
    if (const double* theirs = expected(update)) {
      const double ours[] = {optimizer->lr(0), optimizer->lr(1), *optimizer->get(OptimizerField::momentum)};
      for (size_t i = 0; i < 3; ++i) {
        // Python computes most of them by a recursion from the rate before: up to five roundings of 1e-16 in each of
        // 1,000 steps, for each of up to three schedules. Near its end a cosine goes to 0 while the roundings stay
        // those of the first rate.
        const double base = i < 2 ? p["lrs"][i].get<double>() : 1;
        ASSERT_NEAR(ours[i], theirs[i], 1e-12 * std::max(base, std::abs(theirs[i])))
            << (i < 2 ? "rate of group " : "momentum, ") << i << ", update " << update;
      }
    }
    if (by_value) schedule.on_value(*optimizer, value_of(p, update));
  }
}

TEST(SchedulePython, TheRatesAreThoseThatWereRecorded) {
  const Json recorded = read_json(ATHANOR_SOURCE_DIR "/tests/optim/schedule_reference.json");
  std::map<int64_t, size_t> points;
  for (const Json& point : recorded["points"]) points.emplace(point.get<int64_t>(), points.size());
  for (Json p : recorded["cases"]) {
    const auto rates = p["rates"].get<std::vector<std::vector<double>>>();
    p.erase("rates");
    expect_rates(p, [&](int64_t update) {
      const auto found = points.find(update);
      return found == points.end() ? nullptr : rates[found->second].data();
    });
    if (HasFatalFailure()) return;
  }
  std::printf("compared with rates of torch %s that were recorded\n", recorded["torch"].get<std::string>().c_str());
  EXPECT_EQ(recorded["cases"].size(), 60u);
}

TEST(SchedulePython, TheRatesAreThoseOfPython) {
  std::string name = (std::filesystem::temp_directory_path() / "athanor-schedules-XXXXXX").string();
  const std::filesystem::path folder = ::mkdtemp(name.data());
  const std::string seed = std::to_string(std::random_device()());
  const std::string command = std::string(ATHANOR_TEST_PYTHON) +
                              " " ATHANOR_SOURCE_DIR "/tests/optim/schedule_peer.py " + folder.string() + " " + seed;
  const int status = std::system(command.c_str());
  if (status != 0) {
    std::filesystem::remove_all(folder);
    ASSERT_EQ(WEXITSTATUS(status), 77) << command;
    GTEST_SKIP() << "torch is not in " << ATHANOR_TEST_PYTHON << "; the recorded rates are compared";
  }
  const Json live = read_json(folder / "cases.json");
  std::vector<double> rates;
  {
    const MappedFile file(folder / "rates");
    rates.resize(file.bytes().size() / sizeof(double));
    std::memcpy(rates.data(), file.bytes().data(), rates.size() * sizeof(double));
  }
  std::filesystem::remove_all(folder);
  std::printf("compared with torch %s, seed %s\n", live["torch"].get<std::string>().c_str(), seed.c_str());
  std::map<std::string, int> counted;
  ASSERT_EQ(rates.size(), live["cases"].size() * steps * 3);
  for (size_t i = 0; i < live["cases"].size(); ++i) {
    SCOPED_TRACE("seed " + seed);
    counted[live["cases"][i]["kind"]] += 1;
    expect_rates(live["cases"][i],
                 [&](int64_t update) { return &rates[(i * steps + static_cast<size_t>(update)) * 3]; });
    if (HasFatalFailure()) return;
  }
  EXPECT_EQ(counted.size(), 20u);
  for (const auto& [kind, count] : counted) EXPECT_EQ(count, 30) << kind;
}

}  // namespace
}  // namespace athanor::testing::schedule_python_test
