// SPDX-License-Identifier: Apache-2.0
// athanor average: model soups (Wortsman et al. 2022, arXiv:2203.05482), uniform or greedy.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <memory>

#include "apps/candidate_file.hpp"
#include "apps/elements.hpp"
#include "apps/output.hpp"
#include "apps/score_command.hpp"
#include "apps/subcommand.hpp"
#include "apps/weights.hpp"
#include "apps/weights_writer.hpp"
#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"

namespace athanor::command {
namespace {

namespace fs = std::filesystem;

struct AverageOptions {
  std::vector<fs::path> files = {};
  fs::path output = {};
  std::string score = {};
  std::string part = {};
  bool maximize = false;
  bool minimize = false;
  bool force = false;
};

std::string layout_text(const StoredTensor& tensor) {
  std::string text(name_of(tensor.dtype));
  text += " [";
  for (std::size_t i = 0; i < tensor.sizes.size(); ++i) text += (i > 0 ? ", " : "") + std::to_string(tensor.sizes[i]);
  return text + "]";
}

/// Sorts the tensors of `other` as those of `first`. Throws Error that tells every difference.
void bring_in_order(const Weights& first, Weights& other) {
  constexpr std::size_t most = 20;
  std::vector<std::string> differences;
  std::vector<StoredTensor> ordered;
  std::map<std::string, StoredTensor*> by_name;
  for (StoredTensor& tensor : other.tensors) by_name.emplace(tensor.name, &tensor);
  for (const StoredTensor& wanted : first.tensors) {
    const auto found = by_name.find(wanted.name);
    if (found == by_name.end()) {
      differences.push_back(wanted.name + " is missing");
    } else if (layout_text(*found->second) != layout_text(wanted)) {
      differences.push_back(wanted.name + " is " + layout_text(*found->second) + " instead of " + layout_text(wanted));
    } else {
      ordered.push_back(std::move(*found->second));
    }
    if (found != by_name.end()) by_name.erase(found);
  }
  for (const auto& [name, tensor] : by_name) differences.push_back(name + " is not in the first file");
  if (!differences.empty()) {
    const std::size_t count = differences.size();
    if (count > most) {
      differences.resize(most);
      differences.push_back("and " + std::to_string(count - most) + " more");
    }
    throw Error({.what = "files of different weights can't be averaged",
                 .where = other.path.string(),
                 .got = join(differences, ", "),
                 .expected = "the tensors of " + first.path.string()});
  }
  other.tensors = std::move(ordered);
}

/// The mean of one tensor over some files, summed in float64 and rounded once to the type of the files.
void make_mean(const std::vector<const Weights*>& parts, std::size_t place, const TakeBytes& take) {
  const StoredTensor& first = parts.front()->tensors[place];
  const std::size_t element = bytes_of(first.dtype);
  std::vector<double> sums(first.elements(), 0);
  std::vector<double> values;
  for (const Weights* part : parts) {
    std::size_t done_elements = 0;
    for_each_piece(part->tensors[place], [&](std::span<const std::byte> bytes) {
      values.resize(bytes.size() / element);
      decode(first.dtype, bytes, values);
      for (std::size_t i = 0; i < values.size(); ++i) sums[done_elements + i] += values[i];
      done_elements += values.size();
    });
  }
  const auto count = static_cast<double>(parts.size());
  for (double& sum : sums) sum /= count;
  std::vector<std::byte> encoded(sums.size() * element);
  static_cast<void>(encode(first.dtype, sums, encoded));
  take(encoded);
}

bool is_averaged(TorchType type) { return is_decodable(type) && encodable_type(name_of(type)).has_value(); }

void write_mean(const fs::path& path, const std::vector<const Weights*>& parts, bool overwrite) {
  std::vector<MadeTensor> tensors;
  const Weights& first = *parts.front();
  for (std::size_t i = 0; i < first.tensors.size(); ++i) {
    const StoredTensor& tensor = first.tensors[i];
    MadeTensor made{.name = tensor.name, .dtype = tensor.dtype, .sizes = tensor.sizes, .bytes = tensor.bytes()};
    if (is_averaged(tensor.dtype)) {
      made.make = [&parts, i](const TakeBytes& take) { make_mean(parts, i, take); };
    } else {
      made.make = [&tensor](const TakeBytes& take) { for_each_piece(tensor, take); };
    }
    tensors.push_back(std::move(made));
  }
  write_weights(path, tensors, {.metadata = {{"format", "pt"}}, .overwrite = overwrite});
}

/// The files in the order of their own scores; each is kept when the average with it is not worse than without.
std::vector<const Weights*> choose_greedily(const std::vector<Weights>& all, const AverageOptions& options) {
  CandidateFile candidate(options.output);
  const ScoreCommand command(options.score);
  const auto score_of = [&](const std::vector<const Weights*>& parts) {
    candidate.write([&](const fs::path& path) { write_mean(path, parts, /*overwrite=*/true); });
    return command.run(candidate.path());
  };
  // What is not a number is worse than everything else.
  const auto worse = [&](double left, double right) {
    if (std::isnan(left) || std::isnan(right)) return std::isnan(left) && !std::isnan(right);
    return options.maximize ? left < right : left > right;
  };
  std::vector<std::pair<double, const Weights*>> ranked;
  for (const Weights& each : all) {
    ranked.emplace_back(score_of({&each}), &each);
    print(printable(each.path.string()) + "  " + shortest(ranked.back().first) + "\n");
  }
  std::stable_sort(ranked.begin(), ranked.end(),
                   [&](const auto& left, const auto& right) { return worse(right.first, left.first); });
  double best = ranked.front().first;
  if (std::isnan(best)) throw Error({.what = "no file has a score that is a number", .where = options.score});
  std::vector<const Weights*> chosen{ranked.front().second};
  print("begins with " + printable(chosen.front()->path.string()) + "\n");
  for (std::size_t i = 1; i < ranked.size(); ++i) {
    std::vector<const Weights*> attempt = chosen;
    attempt.push_back(ranked[i].second);
    const double score = score_of(attempt);
    const bool kept = !worse(score, best);
    print((kept ? "with " : "without ") + printable(ranked[i].second->path.string()) + ": " + shortest(score) + "\n");
    if (!kept) continue;
    best = score;
    chosen = std::move(attempt);
  }
  print("score " + shortest(best) + "\n");
  return chosen;
}

void note_what_is_not_averaged(const Weights& first) {
  std::vector<std::string> taken;
  bool has_statistics = false;
  for (const StoredTensor& tensor : first.tensors) {
    if (!is_averaged(tensor.dtype) && taken.size() < 5) taken.push_back(tensor.name);
    has_statistics = has_statistics || tensor.name.ends_with("running_var");
  }
  if (!taken.empty()) print("taken from the first file, not averaged: " + printable(join(taken, ", ")) + "\n");
  if (has_statistics) print("statistics of BatchNorm are averaged too; better estimate them anew on training data\n");
}

ExitCode average(const AverageOptions& options) {
  const bool greedy = !options.score.empty();
  if (greedy != (options.maximize || options.minimize)) {
    throw Error({.what = greedy ? "it is not known which scores are better" : "there is no score to be made better",
                 .expected = greedy ? "--maximize or --minimize" : "--score 'command {}'"});
  }
  const WriteWeights writing{.overwrite = options.force};
  require_output(options.output, writing);
  std::vector<Weights> all;
  for (const fs::path& path : options.files) {
    all.push_back(open_weights(path, {.part = options.part}));
    if (all.back().tensors.empty()) throw Error({.what = "there are no tensors", .where = path.string()});
    if (!all.back().others.empty()) {
      throw Error({.what = "the file holds values that are no tensors",
                   .where = path.string(),
                   .got = all.back().others.front().first,
                   .todo = "name the part that is to be averaged: --part model"});
    }
    if (all.size() > 1) bring_in_order(all.front(), all.back());
  }
  std::vector<const Weights*> chosen;
  if (greedy) {
    chosen = choose_greedily(all, options);
  } else {
    for (const Weights& each : all) chosen.push_back(&each);
  }
  write_mean(options.output, chosen, options.force);
  note_what_is_not_averaged(all.front());
  print("the average of " + counted(chosen.size(), "file") + ", written to " + printable(options.output.string()) +
        "\n");
  return done;
}

}  // namespace

Action add_average(CLI::App& app) {
  const auto options = std::make_shared<AverageOptions>();
  app.add_option("FILES", options->files, "Files of the same weights, in any format that `athanor convert` reads")
      ->required();
  app.add_option("-o,--output", options->output, "Its suffix is the format: .safetensors, .pt")->required();
  app.add_option(
      "--score", options->score,
      "Greedy: a command that gets a file of weights in place of {} and whose last line is a number; best run on "
      "validation data, not on test data");
  const auto maximize = app.add_flag("--maximize", options->maximize, "Large scores are better");
  app.add_flag("--minimize", options->minimize, "Small scores are better")->excludes(maximize);
  app.add_option("--part", options->part, "The part of each .pt file: model");
  app.add_flag("--force", options->force, "Replace what is there");
  return [options] { return average(*options); };
}

}  // namespace athanor::command
