// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/run_checkpoints.hpp"

#include <ATen/Parallel.h>
#include <ATen/Version.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <ctime>

#include "athanor/core/error.hpp"
#include "athanor/train/run_place.hpp"
#include "athanor/train/trainer.hpp"
#include "athanor/train/trainer_options_fields.hpp"

namespace athanor {
namespace {

namespace fs = std::filesystem;

std::string date_and_time() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  char text[32] = {};
  if (::gmtime_r(&now, &parts) != nullptr) std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &parts);
  return text;
}

/// The begin and the end of a tensor, so that large ones cost nothing.
std::string checksum_of_ends(const at::Tensor& tensor) {
  constexpr size_t most_bytes = size_t{64} << 10;
  if (!tensor.defined() || !tensor.is_cpu() || !tensor.is_contiguous()) return {};
  const std::span bytes(static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes());
  const std::string first = crc32_text(bytes.first(std::min(most_bytes, bytes.size())));
  return bytes.size() <= most_bytes ? first : first + crc32_text(bytes.last(most_bytes));
}

/// The number that a checkpoint's name begins with; unset for other names.
std::optional<int64_t> sequence_of(const std::string& name) {
  int64_t sequence = 0;
  const auto [end, code] = std::from_chars(name.data(), name.data() + name.size(), sequence);
  const std::string_view rest(end, static_cast<size_t>(name.data() + name.size() - end));
  if (code != std::errc() || !rest.starts_with("-epoch-")) return std::nullopt;
  return sequence;
}

}  // namespace

void CheckpointFacts::state(State& state) {
  state.value("sequence", sequence);
  state.value("epoch", epoch);
  state.value("epoch_done", epoch_done);
  state.value("batch", batch);
  state.value("step", step);
  state.value("samples", samples);
  state.value("seconds", seconds);
  state.value("complete", complete);
  state.value("milestone", milestone);
  state.value("monitor", monitor);
  state.value("higher_is_better", higher_is_better);
  state.value("value", value);
  state.value("written", written);
  state.value("libtorch", libtorch);
  state.value("processor", processor);
  state.value("device", device);
  state.value("threads", threads);
  state.value("options", options);
  state.value("settings", settings);
  state.value("schedules", schedules);
  state.value("data", data);
  state.value("values", values);
}

std::string CheckpointFacts::describe() const {
  return "epoch " + std::to_string(epoch) + (epoch_done ? "" : ", batch " + std::to_string(batch)) + ", step " +
         std::to_string(step);
}

std::string CheckpointFacts::folder_name() const {
  const std::string number = std::to_string(sequence);
  return std::string(number.size() < 6 ? 6 - number.size() : 0, '0') + number + "-epoch-" + std::to_string(epoch) +
         "-step-" + std::to_string(step);
}

CheckpointFacts facts_of(const Trainer& trainer) {
  const Position& position = trainer.position();
  CheckpointFacts facts{.epoch = position.epoch,
                        .epoch_done = position.epoch_done,
                        .batch = position.batch,
                        .step = position.step,
                        .samples = position.samples,
                        .seconds = position.seconds,
                        .written = date_and_time(),
                        .libtorch = libtorch_version(),
                        .processor = at::get_cpu_capability(),
                        .device = trainer.device().str(),
                        .threads = at::get_num_threads()};
  for (const auto& [name, text] : list_options(trainer.options())) facts.options.at_or_insert(name) = Tree(text);
  for (const auto& [name, value] : trainer.configured()) facts.settings.at_or_insert(name) = Tree(value);
  for (const NamedOptimizer& named : const_cast<Trainer&>(trainer).optimizers()) {
    if (!named.schedule) continue;
    facts.schedules.at_or_insert(named.name) =
        Tree{{"field", static_cast<int64_t>(named.schedule->field())}, {"schedule", named.schedule->describe()}};
  }
  for (const auto& [name, value] : trainer.values()) facts.values.at_or_insert(name) = Tree(value);
  if (const Loader* loader = trainer.training_loader()) {
    facts.data = data_facts(*loader, position.batches, trainer.options().seed);
  }
  return facts;
}

Tree data_facts(const Loader& loader, int64_t batches, uint64_t seed) {
  Tree parts = Tree::List{};
  for (const NamedLoader& part : loader.parts()) {
    const LoaderOptions& options = part.loader.options();
    const Dataset& dataset = part.loader.dataset();
    const Tree* target = dataset.whole_target();
    parts.items().push_back({{"samples", dataset.size()},
                             {"targets", target != nullptr ? checksum_of_ends(target->first_tensor()) : ""},
                             {"batch_size", options.batch_size},
                             {"shuffle", options.shuffle},
                             {"drop_last", options.drop_last},
                             {"seed", static_cast<int64_t>(options.seed.value_or(seed))}});
  }
  return {{"batches", batches}, {"parts", parts}};
}

std::vector<TensorFile> trainer_tensor_files() {
  return {{.file = "weights", .prefix = "task.nets.", .strip = true}, {.file = "optimizer", .prefix = "optimizer "}};
}

CheckpointFacts read_facts(const fs::path& checkpoint) {
  CheckpointFacts facts;
  load_state(facts, read_checkpoint_facts(checkpoint));
  return facts;
}

std::vector<RunCheckpoint> list_checkpoints_in(const fs::path& folder) {
  std::vector<RunCheckpoint> found;
  std::error_code ignored;
  for (fs::directory_iterator entry(folder, ignored), end; entry != end; entry.increment(ignored)) {
    const auto sequence = sequence_of(entry->path().filename().string());
    if (!sequence || !entry->is_directory(ignored)) continue;
    RunCheckpoint checkpoint{.path = entry->path(), .sequence = *sequence};
    try {
      checkpoint.facts = read_facts(checkpoint.path);
    } catch (const Error& error) {
      checkpoint.damage = error.what();
    }
    found.push_back(std::move(checkpoint));
  }
  std::sort(found.begin(), found.end(),
            [](const RunCheckpoint& a, const RunCheckpoint& b) { return a.sequence < b.sequence; });
  return found;
}

std::vector<RunCheckpoint> list_checkpoints(const fs::path& run) {
  std::vector<RunCheckpoint> found;
  std::error_code ignored;
  for (fs::directory_iterator entry(run, ignored), end; entry != end; entry.increment(ignored)) {
    if (!entry->is_directory(ignored) || entry->path().filename().string().starts_with('.')) continue;
    for (RunCheckpoint& checkpoint : list_checkpoints_in(entry->path())) found.push_back(std::move(checkpoint));
  }
  std::sort(found.begin(), found.end(),
            [](const RunCheckpoint& a, const RunCheckpoint& b) { return a.sequence < b.sequence; });
  return found;
}

int64_t next_sequence(const fs::path& folder, const std::optional<fs::path>& run) {
  int64_t largest = 0;
  std::error_code ignored;
  const auto look = [&](const fs::path& place) {
    for (fs::directory_iterator entry(place, ignored), end; entry != end; entry.increment(ignored)) {
      largest = std::max(largest, sequence_of(entry->path().filename().string()).value_or(0));
    }
  };
  look(folder);
  if (run) {
    for (fs::directory_iterator entry(*run, ignored), end; entry != end; entry.increment(ignored)) {
      if (entry->is_directory(ignored)) look(entry->path());
    }
  }
  return largest + 1;
}

const RunCheckpoint* best_of(const std::vector<RunCheckpoint>& all, bool complete) {
  const RunCheckpoint* best = nullptr;
  for (const RunCheckpoint& each : all) {
    if (!each.facts || each.facts->monitor.empty() || std::isnan(each.facts->value)) continue;
    if (complete && !each.facts->complete) continue;
    if (best == nullptr) {
      best = &each;
      continue;
    }
    const double gain = each.facts->value - best->facts->value;
    if (each.facts->higher_is_better ? gain > 0 : gain < 0) best = &each;
  }
  return best;
}

}  // namespace athanor
