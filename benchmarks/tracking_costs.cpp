// SPDX-License-Identifier: Apache-2.0
//
// What it costs to see a run: how long an answer of the live page over a million points takes, how long 100,000 scalars
// take into TensorBoard's files, and what a step takes more when everything is shown and written.
//
//     tracking_costs --epochs 10          rounds
//
// The last line is a JSON object: the name of each value with its quartiles, milliseconds of answers and ratios of
// steps.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <athanor/athanor.hpp>
#include <atomic>
#include <iostream>
#include <map>
#include <thread>

#include "athanor/track/dashboard.hpp"
#include "athanor/track/page_server.hpp"
#include "athanor/track/points_file.hpp"
#include "athanor/track/report.hpp"
#include "athanor/track/tensorboard.hpp"
#include "stepped.hpp"
#include "turns.hpp"

namespace {

using benchmarks::Measured;
using benchmarks::Stopwatch;

/// The size of the answer to a GET request.
size_t get(int port, const std::string& path) {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throw std::runtime_error("the page can't be reached");
  }
  const std::string request = "GET " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  static_cast<void>(::send(socket, request.data(), request.size(), MSG_NOSIGNAL));
  std::array<char, 65536> buffer;
  size_t size = 0;
  for (ssize_t count = 0; (count = ::recv(socket, buffer.data(), buffer.size(), 0)) > 0;) {
    size += static_cast<size_t>(count);
  }
  ::close(socket);
  return size;
}

void write_long_run(const std::filesystem::path& folder, int64_t steps) {
  std::filesystem::create_directories(folder);
  athanor::track::PointsWriter writer(folder / "points.bin");
  writer.on_run_begin({});
  for (int64_t step = 1; step <= steps; ++step) {
    const auto s = static_cast<double>(step);
    writer.on_step({.step = step,
                    .samples = 32 * step,
                    .values = {{"train_loss", 1 / std::sqrt(s) + 0.1 * std::sin(s * s)}, {"lr", 1e-3 / s}}});
    if (step % 10'000 != 0) continue;
    const athanor::History::Epoch epoch{.number = step / 10'000, .steps = step, .values = {{"val_loss", 1 / s}}};
    writer.on_epoch_end({.epoch = epoch});
  }
  writer.on_run_broken({});
}

std::vector<Measured> answers(const std::filesystem::path& folder, int rounds) {
  constexpr int64_t steps = 1'000'000;
  write_long_run(folder / "long", steps);
  const athanor::track::PageServer server({.runs = {.folder = folder}, .port = 0});
  const Stopwatch first;
  get(server.port(), "/api/runs");
  std::vector<Measured> measured = {{"live page, reading a run of a million steps", {1e3 * first.seconds()}}};
  const std::map<std::string, std::string> questions = {
      {"live page, a curve of a million points", "/api/curves?runs=0&x=step&columns=800&name=s:train_loss"},
      {"live page, the same over epochs, smoothed",
       "/api/curves?runs=0&x=epoch&columns=800&smoothing=0.9&name=s:train_loss"},
      {"live page, its middle tenth", "/api/curves?runs=0&x=step&columns=800&from=450000&to=550000&name=s:train_loss"}};
  for (const auto& [name, question] : questions) {
    Measured& answer = measured.emplace_back(Measured{name, {}});
    for (int round = 0; round < rounds; ++round) {
      const Stopwatch watch;
      const size_t size = get(server.port(), question);
      answer.values.push_back(1e3 * watch.seconds());
      if (size < 5000) throw std::runtime_error("the answer for " + name + " is too small");
    }
  }
  return measured;
}

/// Two values a step, until they are in the files.
Measured scalars(const std::filesystem::path& folder, int rounds) {
  constexpr int64_t count = 100'000;
  Measured measured{"100,000 scalars into TensorBoard's files", {}};
  for (int round = 0; round < rounds; ++round) {
    const auto tracker = athanor::track::tensorboard({.folder = folder / std::to_string(round)});
    athanor::History history;
    const Stopwatch watch;
    tracker->on_run_begin({.device = "cpu", .history = &history});
    for (int64_t step = 1; step <= count / 2; ++step) {
      tracker->on_step({.epoch = 1,
                        .step = step,
                        .samples = 32 * step,
                        .values = {{"train_loss", 1 / static_cast<double>(step)}, {"lr", 1e-3}}});
    }
    tracker->on_run_end({.history = history});
    measured.values.push_back(1e3 * watch.seconds());
  }
  return measured;
}

/// Finds the address of the live page among the messages.
class PortFinder : public athanor::Listener {
 public:
  void on_message(const athanor::events::Message& message) override {
    if (const size_t place = message.text.find("127.0.0.1:"); place != std::string::npos) {
      port = std::stoi(message.text.substr(place + 10));
    }
  }
  int port = 0;
};

Measured steps(const std::filesystem::path& folder, const athanor::Data& data, int rounds) {
  constexpr int64_t batch = 32, steps = 100;
  namespace track = athanor::track;
  const auto finder = std::make_shared<PortFinder>();
  athanor::TrainerOptions everything = benchmarks::quiet_options(batch);
  everything.run = folder / "shown";  // with log.txt
  everything.verbosity = athanor::Verbosity::normal;
  everything.track = {track::dashboard({.port = 0}), track::tensorboard(), track::csv(),
                      track::json_lines(),           track::report(),      finder};
  benchmarks::Stepped shown(benchmarks::perceptron(), everything, data);
  benchmarks::Stepped hidden(benchmarks::perceptron(), benchmarks::quiet_options(batch), data);
  // A page that is open, with one chart of two curves.
  std::atomic<bool> ending = false;
  std::thread page([&] {
    while (!ending) {
      get(finder->port, "/api/runs");
      get(finder->port, "/api/curves?runs=0&x=step&columns=600&name=s:train_loss&name=e:train_loss");
      std::this_thread::sleep_for(std::chrono::milliseconds(500));
    }
  });
  Measured ratio = benchmarks::compare(
      "a step with everything shown over one with nothing", 12 * rounds, [&] { shown.run(steps); },
      [&] { hidden.run(steps); });
  ending = true;
  page.join();
  return ratio;
}

}  // namespace

int main(int argument_count, char** arguments) {
  try {
    const benchmarks::Options options = benchmarks::parse_options(argument_count, arguments);
    const int rounds = static_cast<int>(options.epochs);
    at::set_num_threads(1);
    const athanor::HostGuard host({.restore_generator = false});
    const benchmarks::Data read = benchmarks::read_data(options);
    const std::filesystem::path folder = "tracking_costs_runs";
    std::filesystem::remove_all(folder);
    std::vector<Measured> all = answers(folder / "answers", rounds);
    all.push_back(scalars(folder / "scalars", rounds));
    all.push_back(steps(folder / "steps", athanor::Data(read.train.images, read.train.labels), rounds));
    std::filesystem::remove_all(folder);
    benchmarks::print(std::move(all));
    return 0;
  } catch (const std::exception& error) {
    std::cerr << arguments[0] << ": " << error.what() << "\n";
    return 1;
  }
}
