// SPDX-License-Identifier: Apache-2.0
//
// What a gigabyte of weights costs: opening and mapping it, reading and verifying it into a net beside hashing and
// copying the same bytes in memory, and writing it beside a plain write and fsync. The last line is a JSON object with
// the quartiles of each; the first is in milliseconds, the others are ratios.
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <fcntl.h>
#include <unistd.h>

#include <athanor/checkpoint/safetensors.hpp>
#include <athanor/checkpoint/torch_file.hpp>
#include <athanor/checkpoint/zip_index.hpp>
#include <cstring>
#include <functional>

#include "turns.hpp"

namespace {

namespace fs = std::filesystem;
using benchmarks::compare;
using benchmarks::Measured;
using benchmarks::Stopwatch;

double seconds_of(const std::function<void()>& action) {
  const Stopwatch watch;
  action();
  return watch.seconds();
}

/// A gigabyte in 400 tensors.
athanor::NamedTensors large_net() {
  athanor::NamedTensors net;
  for (int i = 0; i < 400; ++i) net.emplace_back("layer" + std::to_string(i) + ".weight", at::ones({625, 1000}));
  return net;
}

void write_plainly(const fs::path& path, std::span<const std::byte> bytes) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  while (!bytes.empty()) {
    const ssize_t written = ::write(file, bytes.data(), bytes.size());
    if (written <= 0) throw std::runtime_error("can't write " + path.string());
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  if (::fsync(file) != 0) throw std::runtime_error("can't flush " + path.string());
  ::close(file);
}

}  // namespace

int main(int argument_count, char** arguments) {
  const benchmarks::Options options = benchmarks::parse_options(argument_count, arguments);
  const int rounds = static_cast<int>(options.epochs);
  at::set_num_threads(options.threads > 0 ? static_cast<int>(options.threads) : 1);
  const fs::path ours_path = "ours.safetensors", plain_path = "plain";

  athanor::NamedTensors net = large_net();
  athanor::write_safetensors(ours_path, net);
  std::vector<std::byte> bytes(fs::file_size(ours_path));
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 7);
  std::vector<Measured> all;

  Measured opening{"opening and mapping 1 GB of safetensors", {}};
  for (int round = 0; round < 5 * rounds; ++round) {
    opening.values.push_back(1e3 * seconds_of([&] {
                               const athanor::SafetensorsFile file(ours_path);
                               if (file.tensors().size() != net.size()) std::abort();
                             }));
  }
  all.push_back(opening);

  const std::uint32_t checksum = athanor::SafetensorsFile(ours_path).crc32();
  volatile std::uint32_t hashed = 0;
  all.push_back(compare(
      "reading and verifying 1 GB into a net over hashing and copying it", rounds,
      [&] {
        const athanor::SafetensorsFile file(ours_path);
        file.verify(checksum);
        athanor::copy_into(file, net);
      },
      [&] {
        hashed = athanor::crc32_of(bytes);
        std::size_t place = 0;
        for (auto& [name, tensor] : net) {
          std::memcpy(tensor.mutable_data_ptr(), bytes.data() + place, tensor.nbytes());
          place += tensor.nbytes();
        }
      }));

  all.push_back(compare(
      "writing 1 GB of safetensors over a plain write and fsync", rounds,
      [&] { athanor::write_safetensors(ours_path, net); }, [&] { write_plainly(plain_path, bytes); }));

  athanor::Tree::Dictionary state;
  for (const auto& [name, tensor] : net) state.emplace_back(name, tensor);
  const athanor::Tree tree(std::move(state));
  all.push_back(compare(
      "writing 1 GB of .pt over hashing, a plain write and fsync", rounds,
      [&] { athanor::save_torch_file("ours.pt", tree); },
      [&] {
        hashed = athanor::crc32_of(bytes);
        write_plainly(plain_path, bytes);
      }));
  benchmarks::print(std::move(all));
}
