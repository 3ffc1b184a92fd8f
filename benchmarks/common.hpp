// SPDX-License-Identifier: Apache-2.0
//
// What every side of a comparison shares, so that the sides differ in their loops and in nothing else: the options, the
// data, the nets, the clock and the last line that benchmarks/run.py reads.
#pragma once

#include <torch/torch.h>
#include <zlib.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace benchmarks {

struct Options {
  std::string model = "mlp";  // mlp or cnn
  int64_t batch = 32;
  int64_t epochs = 1;
  int64_t threads = 0;  // 0: as LibTorch chooses
  uint64_t seed = 1;
  int64_t limit_batches =
      0;  // at most so many batches in a training pass, and at most so many in a validation pass; 0: all
  std::filesystem::path data = "/usr/share/datasets/fashion-mnist";
};

inline Options parse_options(int argument_count, char** arguments) {
  Options options;
  const auto whole_number = [](std::string_view name, const std::string& text) {
    std::size_t used = 0;
    int64_t value = -1;
    try {
      value = std::stoll(text, &used);
    } catch (const std::logic_error&) {
      used = 0;
    }
    if (used == 0 || used != text.size() || value < 0) {
      throw std::runtime_error("--" + std::string(name) + " takes a whole number, got '" + text + "'");
    }
    return value;
  };
  for (int i = 1; i < argument_count; i += 2) {
    const std::string_view argument = arguments[i];
    if (!argument.starts_with("--") || i + 1 == argument_count) {
      throw std::runtime_error("options come as --name value, got '" + std::string(argument) + "'");
    }
    const std::string_view name = argument.substr(2);
    const std::string value = arguments[i + 1];
    if (name == "model") {
      options.model = value;
    } else if (name == "batch") {
      options.batch = whole_number(name, value);
    } else if (name == "epochs") {
      options.epochs = whole_number(name, value);
    } else if (name == "threads") {
      options.threads = whole_number(name, value);
    } else if (name == "seed") {
      options.seed = static_cast<uint64_t>(whole_number(name, value));
    } else if (name == "limit_batches") {
      options.limit_batches = whole_number(name, value);
    } else if (name == "data") {
      options.data = value;
    } else {
      throw std::runtime_error("unknown option --" + std::string(name) +
                               "; known: --model --batch --epochs --threads --seed --limit_batches --data");
    }
  }
  if (options.model != "mlp" && options.model != "cnn") {
    throw std::runtime_error("--model is mlp or cnn, got '" + options.model + "'");
  }
  if (options.batch < 1 || options.epochs < 1) {
    throw std::runtime_error("--batch and --epochs start at 1");
  }
  if (options.threads > 0) {
    at::set_num_threads(static_cast<int>(options.threads));
  }
  torch::manual_seed(options.seed);
  return options;
}

inline int64_t batches_per_pass(int64_t samples, const Options& options) {
  const int64_t all = (samples + options.batch - 1) / options.batch;
  return options.limit_batches > 0 ? std::min(all, options.limit_batches) : all;
}

// Data: pixels as float in [0, 1], N x 784 for the perceptron and N x 1 x 28 x 28 for the CNN; labels as int64.

struct Split {
  torch::Tensor images, labels;
};

inline std::vector<uint8_t> read_idx(const std::filesystem::path& path, std::vector<int64_t>& sizes) {
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzopen(path.c_str(), "rb"), gzclose);
  if (!file) {
    throw std::runtime_error("can't open " + path.string());
  }
  const auto read = [&](void* to, std::size_t bytes) {
    if (gzread(file.get(), to, static_cast<unsigned>(bytes)) != static_cast<int>(bytes)) {
      throw std::runtime_error(path.string() + " ends too early or is no gzip");
    }
  };
  uint8_t magic[4];
  read(magic, sizeof magic);
  if (magic[0] != 0 || magic[1] != 0 || magic[2] != 8) {
    throw std::runtime_error(path.string() + " is no IDX file of bytes");
  }
  int64_t count = 1;
  sizes.clear();
  for (int i = 0; i < magic[3]; ++i) {
    uint8_t size[4];
    read(size, sizeof size);
    sizes.push_back(int64_t{size[0]} << 24 | int64_t{size[1]} << 16 | int64_t{size[2]} << 8 | int64_t{size[3]});
    count *= sizes.back();
  }
  std::vector<uint8_t> bytes(static_cast<std::size_t>(count));
  read(bytes.data(), bytes.size());
  return bytes;
}

inline Split read_split(const Options& options, const std::string& prefix) {
  std::vector<int64_t> sizes;
  std::vector<uint8_t> pixels = read_idx(options.data / (prefix + "-images-idx3-ubyte.gz"), sizes);
  const int64_t samples = sizes.at(0);
  torch::Tensor images = torch::from_blob(pixels.data(), sizes, torch::kUInt8).to(torch::kFloat32).div_(255.0);
  images = options.model == "mlp" ? images.view({samples, 784}) : images.view({samples, 1, 28, 28});
  std::vector<uint8_t> digits = read_idx(options.data / (prefix + "-labels-idx1-ubyte.gz"), sizes);
  torch::Tensor labels = torch::from_blob(digits.data(), sizes, torch::kUInt8).to(torch::kInt64);
  return {images, labels};
}

struct Data {
  Split train, test;
};

inline Data read_data(const Options& options) { return {read_split(options, "train"), read_split(options, "t10k")}; }

inline torch::nn::Sequential make_net(const Options& options) {
  using namespace torch::nn;  // NOLINT(google-build-using-namespace): a net reads as a list of its layers
  if (options.model == "mlp") {
    return Sequential(Linear(784, 128), ReLU(), Linear(128, 10));
  }
  return Sequential(Conv2d(Conv2dOptions(1, 32, 3).padding(1)), ReLU(), MaxPool2d(2),   //
                    Conv2d(Conv2dOptions(32, 64, 3).padding(1)), ReLU(), MaxPool2d(2),  //
                    Flatten(), Linear(3136, 128), ReLU(), Linear(128, 10));
}

// Clock and memory.

class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// Reading the files needs more memory than a small training does, and would hide what training allocates. Called when
// the data is loaded, so that the peak is that of the loop. Does nothing where the kernel has no such switch.
inline void reset_peak_memory() {
  if (std::FILE* file = std::fopen("/proc/self/clear_refs", "w")) {
    std::fputs("5", file);
    std::fclose(file);
  }
}

inline int64_t peak_memory_kb() {
  int64_t kilobytes = 0;
  if (std::FILE* file = std::fopen("/proc/self/status", "r")) {
    char line[256];
    while (std::fgets(line, sizeof line, file) != nullptr) {
      if (std::string_view(line).starts_with("VmHWM:")) {
        kilobytes = std::strtoll(line + 6, nullptr, 10);
      }
    }
    std::fclose(file);
  }
  return kilobytes;
}

// The last line. `total_seconds` is what sides are compared by: everything between "data and net are there" and
// "trained", so whatever a side does between its passes counts.
struct Result {
  double train_seconds = 0;       // of the training passes
  double validation_seconds = 0;  // of the validation passes
  double total_seconds = 0;
  int64_t steps = 0;
  double train_loss = std::numeric_limits<double>::quiet_NaN();  // mean of the last epoch
  double val_loss = std::numeric_limits<double>::quiet_NaN();
  double val_acc = std::numeric_limits<double>::quiet_NaN();
};

inline void print_result(const Result& result) {
  std::printf(
      "{\"train_seconds\": %.6f, \"validation_seconds\": %.6f, \"total_seconds\": %.6f, \"steps\": %lld, "
      "\"us_per_step\": %.2f, \"train_loss\": %.6f, \"val_loss\": %.6f, \"val_acc\": %.4f, \"peak_rss_kb\": %lld}\n",
      result.train_seconds, result.validation_seconds, result.total_seconds, static_cast<long long>(result.steps),
      result.steps > 0 ? result.train_seconds * 1e6 / static_cast<double>(result.steps) : 0.0, result.train_loss,
      result.val_loss, result.val_acc, static_cast<long long>(peak_memory_kb()));
  std::fflush(stdout);
}

// Runs `body(options)` and turns an exception into one line and exit code 1.
template <class Body>
int run_side(int argument_count, char** arguments, Body&& body) {
  try {
    print_result(body(parse_options(argument_count, arguments)));
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", arguments[0], error.what());
    return 1;
  }
}

}  // namespace benchmarks
