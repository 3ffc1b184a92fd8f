// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/run_record.hpp"

#include <ATen/Context.h>
#include <ATen/Version.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <chrono>
#include <cmath>
#include <ctime>
#include <fstream>
#include <iterator>
#include <limits>
#include <random>

#include "athanor/checkpoint/checkpoint_folder.hpp"
#include "athanor/checkpoint/tree_json.hpp"
#include "athanor/core/error.hpp"
#include "athanor/core/file.hpp"
#include "athanor/core/git_state.hpp"
#include "athanor/core/text.hpp"
#include "athanor/core/version.hpp"
#include "athanor/data/loader.hpp"
#include "athanor/train/run_place.hpp"

namespace athanor {
namespace {

namespace fs = std::filesystem;

constexpr size_t most_starts = 100;
constexpr int64_t record_format = 1;
constexpr const char* record_name = "run.json";

std::string now_utc() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  char text[32] = {};
  if (::gmtime_r(&now, &parts) != nullptr) std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

/// One for each process, so that nobody ends the section of a process that was killed.
const std::string& process_mark() {
  static const std::string mark = [] {
    std::random_device source;
    std::string text;
    for (int i = 0; i < 4; ++i) {
      const uint32_t bits = source();
      text += crc32_text(std::as_bytes(std::span(&bits, 1)));
    }
    return text;
  }();
  return mark;
}

bool names_a_secret(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  constexpr std::array words{"token", "password", "passwd", "secret", "apikey", "api-key", "api_key"};
  return std::any_of(words.begin(), words.end(),
                     [&](const char* word) { return name.find(word) != std::string::npos; });
}

Tree::List command_line() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::vector<std::string> arguments;
  for (std::string argument; std::getline(file, argument, '\0');) arguments.push_back(argument);
  Tree::List list;
  bool hidden = false;
  for (const std::string& argument : arguments) {
    const size_t equals = argument.find('=');
    const bool secret = !list.empty() && names_a_secret(argument.substr(0, equals));
    if (hidden && !argument.starts_with("-")) {
      list.emplace_back("***");
    } else if (secret && equals != std::string::npos) {
      list.emplace_back(argument.substr(0, equals) + "=***");
    } else {
      list.emplace_back(argument);
    }
    hidden = secret && equals == std::string::npos && argument.starts_with("-");
  }
  return list;
}

std::string compiler() {
#if defined(__clang__)
  return "clang " __clang_version__;
#elif defined(__GNUC__)
  return "GCC " __VERSION__;
#else
  return {};
#endif
}

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("model name")) continue;
    const size_t begin = line.find_first_not_of(" \t", line.find(':') + 1);
    return begin == std::string::npos ? std::string() : line.substr(begin);
  }
  return {};
}

std::string host_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "";
}

Tree git_record() {
  std::error_code failed;
  auto state = git_state(fs::current_path(failed));
  if (!state) {
    const fs::path program = fs::read_symlink("/proc/self/exe", failed);
    if (!failed) state = git_state(program.parent_path());
  }
  if (!state) return {};
  Tree changed = Tree::List{};
  for (const std::string& file : state->changed) changed.items().emplace_back(file);
  return {{"folder", state->folder.string()},
          {"branch", state->branch},
          {"commit", state->commit},
          {"dirty", state->dirty ? Tree(*state->dirty) : Tree()},
          {"changed", changed}};
}

/// JSON has no NaN and no infinity.
Tree number_record(double value) {
  if (std::isfinite(value)) return Tree(value);
  return Tree(std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
}

Tree seed_record(uint64_t seed) {
  if (seed > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return Tree(std::to_string(seed));
  return Tree(static_cast<int64_t>(seed));
}

Tree section_of(const RunStart& start) {
  std::error_code ignored;
  Tree header = Tree::Dictionary{}, settings = Tree::Dictionary{}, values = Tree::Dictionary{};
  for (const auto& [name, text] : start.header) header.at_or_insert(name) = Tree(text);
  for (const auto& [name, value] : start.settings) settings.at_or_insert(name) = number_record(value);
  for (const auto& [name, direction] : start.values) {
    values.at_or_insert(name) = Tree(direction == Direction::up     ? "up"
                                     : direction == Direction::down ? "down"
                                                                    : "unknown");
  }
  return {{"begun", now_utc()},
          {"id", process_mark()},
          {"command_line", command_line()},
          {"working_folder", fs::current_path(ignored).string()},
          {"host", host_name()},
          {"process", static_cast<int64_t>(::getpid())},
          {"versions",
           {{"athanor", std::string(version)},
            {"libtorch", libtorch_version()},
            {"compiler", compiler()},
            {"kernels", at::get_cpu_capability()}}},
          {"processor", processor_name()},
          {"device", start.device},
          {"threads", start.threads > 0 ? Tree(start.threads) : Tree()},
          {"git", git_record()},
          {"seed", start.seed ? seed_record(*start.seed) : Tree()},
          {"parameters", start.parameters},
          {"header", header},
          {"settings", settings},
          {"options", start.options.empty() ? Tree() : tree_from_json(start.options, "the options of a run")},
          {"data", start.data},
          {"values", values},
          {"resumed_from", start.resumed_from ? Tree(start.resumed_from->string()) : Tree()},
          {"begins_at", {{"epoch", start.epoch}, {"step", start.step}}}};
}

Tree read_run_record(const fs::path& path) {
  const MappedFile file(path);
  Tree record =
      tree_from_json({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()}, path.string());
  const Tree* starts = record.find("starts");
  if (record["format"].integer() != record_format || starts == nullptr || !starts->is_list()) {
    throw Error({.what = "this is not the record of a run",
                 .where = path.string(),
                 .expected = "format " + std::to_string(record_format) + " and a list of starts"});
  }
  return record;
}

void write_run_record(const fs::path& path, const Tree& record) {
  write_file_atomically(path, tree_to_json(record) + "\n");
}

/// The epoch of the best finite value of one name.
std::optional<std::pair<double, double>> best_epoch_of(const History& history, const std::string& name,
                                                       Direction direction) {
  std::optional<std::pair<double, double>> best;
  for (const History::Epoch& epoch : history.epochs()) {
    const auto value = epoch.values.find(name);
    if (!value || !std::isfinite(*value)) continue;
    const bool better = !best || (direction == Direction::up ? *value > best->second : *value < best->second);
    if (better) best = {epoch.progress(), *value};
  }
  return best;
}

/// Whole epochs as integers.
Tree epoch_record(double epoch) { return epoch == std::floor(epoch) ? Tree(static_cast<int64_t>(epoch)) : Tree(epoch); }

void add_sample(const Batch& batch, std::string& hashed, Tree* shapes) {
  constexpr int64_t most_bytes = int64_t{64} << 10;
  const auto add = [&](const char* kind, const Tree& part) {
    part.walk(
        [&](const std::string& path, const Tree& leaf) {
          if (!leaf.is_tensor() || !leaf.tensor().defined()) return;
          const at::Tensor& tensor = leaf.tensor();
          const bool stacked = tensor.dim() > 0 && tensor.size(0) == 1;
          const std::string layout = describe(stacked ? tensor.select(0, 0) : tensor);
          if (shapes != nullptr) shapes->at_or_insert(path) = Tree(layout);
          hashed += path + " " + layout + "\n";
          const int64_t elements = std::min(tensor.numel(), most_bytes / static_cast<int64_t>(tensor.element_size()));
          const at::Tensor first = tensor.reshape({-1}).narrow(0, 0, elements).cpu().contiguous();
          hashed.append(static_cast<const char*>(first.const_data_ptr()), first.nbytes());
        },
        kind);
  };
  add("input", batch.input);
  add("target", batch.target);
  if (batch.weight) add("weight", Tree(*batch.weight));
}

Tree samples_record(const Dataset& dataset) {
  constexpr int64_t most_samples = 8;
  constexpr auto most_time = std::chrono::milliseconds(250);
  const int64_t count = std::min(dataset.size(), most_samples);
  const auto begun = std::chrono::steady_clock::now();
  Tree shapes = Tree::Dictionary{};
  std::string hashed;
  int64_t done = 0;
  for (int64_t i = 0; i < count; ++i, ++done) {
    if (i > 0 && std::chrono::steady_clock::now() - begun > most_time) break;
    const int64_t index = count == 1 ? 0 : i * (dataset.size() - 1) / (count - 1);
    Batch batch;
    dataset.batch(std::span(&index, 1), SampleRandom{}, batch);
    add_sample(batch, hashed, i == 0 ? &shapes : nullptr);
  }
  return {{"sample", shapes}, {"samples_hashed", done}, {"crc32", crc32_text(std::as_bytes(std::span(hashed)))}};
}

Tree part_record(const Loader& loader) {
  const LoaderOptions& options = loader.options();
  Tree record = {{"samples", loader.dataset().size()},
                 {"batch_size", options.batch_size},
                 {"shuffle", options.shuffle},
                 {"drop_last", options.drop_last}};
  try {
    const Tree samples = samples_record(loader.dataset());
    for (const auto& [name, value] : samples.entries()) record.at_or_insert(name) = value;
  } catch (const std::exception& error) {
    const std::string words = error.what();
    record.at_or_insert("error") = Tree(words.substr(0, words.find('\n')));
  }
  return record;
}

}  // namespace

Tree data_record(const Loader& loader) {
  const std::vector<NamedLoader> parts = loader.parts();
  if (parts.size() == 1) return part_record(parts.front().loader);
  Tree record = Tree::Dictionary{};
  for (size_t i = 0; i < parts.size(); ++i) {
    const std::string name = parts[i].name.empty() ? std::to_string(i) : parts[i].name;
    record.at_or_insert(name) = part_record(parts[i].loader);
  }
  return record;
}

std::string begin_run_record(const fs::path& folder, const RunStart& start) {
  const fs::path path = folder / record_name;
  Tree record = {{"format", record_format}, {"starts_left_out", 0}, {"starts", Tree::List{}}};
  std::string note;
  std::error_code failed;
  if (fs::exists(path, failed)) {
    try {
      record = read_run_record(path);
    } catch (const Error& error) {
      const fs::path aside = folder / "run-damaged.json";
      fs::rename(path, aside, failed);
      note = "the record of the run can't be read and is put aside as " + aside.string() + ": " + error.parts().what;
    }
  }
  Tree::List& starts = record.at_or_insert("starts").items();
  starts.push_back(section_of(start));
  if (starts.size() > most_starts) {
    const auto superfluous = static_cast<std::ptrdiff_t>(starts.size() - most_starts);
    starts.erase(starts.begin() + 1, starts.begin() + 1 + superfluous);
    const Tree* before = record.find("starts_left_out");
    const int64_t left_out = before != nullptr && before->kind() == Tree::Kind::integer ? before->integer() : 0;
    record.at_or_insert("starts_left_out") = Tree(left_out + superfluous);
  }
  write_run_record(path, record);
  return note;
}

void end_run_record(const fs::path& folder, const RunEnding& ending) {
  const fs::path path = folder / record_name;
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return;
  Tree record = read_run_record(path);
  Tree::List& starts = record.find("starts")->items();
  if (starts.empty()) return;
  Tree& section = starts.back();
  const Tree* mark = section.find("id");
  const bool ours = mark != nullptr && mark->kind() == Tree::Kind::text && mark->text() == process_mark();
  if (!ours || section.find("ended") != nullptr) return;

  Tree best = Tree::Dictionary{}, last = Tree::Dictionary{};
  for (const auto& [name, direction] : ending.values) {
    if (direction == Direction::unknown) continue;
    if (const auto found = best_epoch_of(ending.history, name, direction)) {
      best.at_or_insert(name) = Tree{{"epoch", epoch_record(found->first)}, {"value", found->second}};
    }
  }
  const bool empty = ending.history.empty();
  if (!empty) {
    for (const auto& [name, value] : ending.history.last().values) last.at_or_insert(name) = number_record(value);
  }
  section.at_or_insert("ended") = Tree(now_utc());
  section.at_or_insert("finished") = Tree(ending.finished);
  section.at_or_insert("stop_reason") = Tree(ending.stop_reason);
  section.at_or_insert("seconds") = Tree(ending.seconds);
  section.at_or_insert("epochs") = epoch_record(empty ? 0 : ending.history.last().progress());
  section.at_or_insert("steps") = Tree(empty ? 0 : ending.history.last().steps);
  if (const auto& monitored = ending.history.best()) section.at_or_insert("monitor") = Tree(monitored->monitor);
  section.at_or_insert("best") = std::move(best);
  section.at_or_insert("last") = std::move(last);
  write_run_record(path, record);
}

}  // namespace athanor
