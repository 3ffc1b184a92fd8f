// SPDX-License-Identifier: Apache-2.0
//
// What the live page costs: how long an answer over a million points takes, and what a step takes more when everything
// is shown and written.
//
//     page_costs --epochs 10          rounds
//
// The last line is a JSON object: the name of each value with its quartiles, milliseconds of answers and ratios of
// steps.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
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
#include "common.hpp"

namespace {

using benchmarks::Stopwatch;
using Results = std::map<std::string, std::vector<double>>;

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

void answers(const std::filesystem::path& folder, int rounds, Results& results) {
  constexpr int64_t steps = 1'000'000;
  write_long_run(folder / "long", steps);
  const athanor::track::PageServer server({.runs = {.folder = folder}, .port = 0});
  const Stopwatch first;
  get(server.port(), "/api/runs");
  results["reading a run of a million steps"] = {1e3 * first.seconds()};
  const std::map<std::string, std::string> questions = {
      {"a curve of a million points", "/api/curves?runs=0&x=step&columns=800&name=s:train_loss"},
      {"the same over epochs, smoothed", "/api/curves?runs=0&x=epoch&columns=800&smoothing=0.9&name=s:train_loss"},
      {"its middle tenth", "/api/curves?runs=0&x=step&columns=800&from=450000&to=550000&name=s:train_loss"}};
  for (const auto& [name, question] : questions) {
    for (int round = 0; round < rounds; ++round) {
      const Stopwatch watch;
      const size_t size = get(server.port(), question);
      results[name].push_back(1e3 * watch.seconds());
      if (size < 5000) throw std::runtime_error("the answer for " + name + " is too small");
    }
  }
}

class Classifier : public athanor::Task {
 public:
  Classifier() {
    torch::manual_seed(1);
    net_ = register_net("net", torch::nn::Sequential(torch::nn::Flatten(), torch::nn::Linear(784, 128),
                                                     torch::nn::ReLU(), torch::nn::Linear(128, 10)));
  }
  athanor::StepOutput training_step(const athanor::Batch& batch, athanor::StepContext&) override {
    torch::Tensor logits = net_->forward(batch.input.tensor());
    torch::Tensor loss = torch::cross_entropy_loss(logits, batch.target.tensor());
    return {std::move(loss), std::move(logits)};
  }
  athanor::Optimizers configure_optimizers() override { return athanor::optim::Adam().on(parameters()); }

 private:
  torch::nn::Sequential net_{nullptr};
};

/// A run that is stepped from outside, so that two of them can take turns.
class Stepped {
 public:
  Stepped(athanor::TrainerOptions options, const athanor::Data& data)
      : trainer_(std::move(options)), loop_(trainer_, task_, {.train = athanor::Feed(data)}) {
    loop_.begin_epoch();
  }
  void run(int64_t steps) {
    for (int64_t step = 0; step < steps; ++step) {
      while (!loop_.next()) {
        loop_.end_epoch();
        loop_.begin_epoch();
      }
      loop_.update();
    }
  }

 private:
  Classifier task_;
  athanor::Trainer trainer_;
  athanor::Loop loop_;
};

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

athanor::TrainerOptions options_of() {
  athanor::TrainerOptions options;
  options.max_duration = athanor::Duration::epochs(100000);
  options.verbosity = athanor::Verbosity::silent;
  options.device = "cpu";
  return options;
}

/// Four neighbouring turns give one ratio, of the fastest of each side.
void steps(const std::filesystem::path& folder, const athanor::Data& data, int rounds, Results& results) {
  constexpr int64_t steps_of_turn = 200;
  constexpr int turns = 4;
  namespace track = athanor::track;
  const auto finder = std::make_shared<PortFinder>();
  athanor::TrainerOptions everything = options_of();
  everything.run = folder / "shown";
  everything.track = {track::dashboard({.port = 0}), track::tensorboard(), track::csv(),
                      track::json_lines(),           track::report(),      finder};
  Stepped shown(everything, data);
  Stepped hidden(options_of(), data);
  // A page that is open, with one chart of two curves.
  std::atomic<bool> ending = false;
  std::thread page([&] {
    while (!ending) {
      get(finder->port, "/api/runs");
      get(finder->port, "/api/curves?runs=0&x=step&columns=600&name=s:train_loss&name=e:train_loss");
      std::this_thread::sleep_for(std::chrono::milliseconds(500));
    }
  });
  shown.run(steps_of_turn);
  hidden.run(steps_of_turn);
  for (int round = 0; round < rounds; ++round) {
    std::array<double, 2> fastest = {1e9, 1e9};
    for (int turn = 0; turn < 2 * turns; ++turn) {
      const size_t side = static_cast<size_t>(turn + turn / 2 + round) % 2;
      const Stopwatch watch;
      (side == 0 ? shown : hidden).run(steps_of_turn);
      fastest[side] = std::min(fastest[side], watch.seconds());
    }
    results["a step with everything shown over one with nothing"].push_back(fastest[0] / fastest[1]);
  }
  ending = true;
  page.join();
}

void print(Results& results) {
  std::string line = "{";
  for (auto& [name, values] : results) {
    std::sort(values.begin(), values.end());
    const auto at = [&values = values](double part) {
      return values[static_cast<size_t>(part * static_cast<double>(values.size() - 1) + 0.5)];
    };
    char text[256];
    std::snprintf(text, sizeof text, "%s\"%s\": [%.4f, %.4f, %.4f]", line.size() > 1 ? ", " : "", name.c_str(),
                  at(0.25), at(0.5), at(0.75));
    line += text;
  }
  std::puts((line + "}").c_str());
}

}  // namespace

int main(int argument_count, char** arguments) {
  try {
    const benchmarks::Options options = benchmarks::parse_options(argument_count, arguments);
    const int rounds = static_cast<int>(options.epochs);
    at::set_num_threads(1);
    const athanor::HostGuard host({.restore_generator = false});
    const benchmarks::Data read = benchmarks::read_data(options);
    const std::filesystem::path folder = "page_costs_runs";
    std::filesystem::remove_all(folder);
    Results results;
    answers(folder / "answers", rounds, results);
    steps(folder / "steps", athanor::Data(read.train.images, read.train.labels), rounds, results);
    std::filesystem::remove_all(folder);
    print(results);
    return 0;
  } catch (const std::exception& error) {
    std::cerr << arguments[0] << ": " << error.what() << "\n";
    return 1;
  }
}
