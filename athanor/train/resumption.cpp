// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/resumption.hpp"

#include <ATen/Parallel.h>
#include <ATen/Version.h>

#include <algorithm>
#include <set>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"
#include "athanor/train/run_place.hpp"
#include "athanor/train/trainer_options_fields.hpp"
#include "athanor/train/update.hpp"

namespace athanor {
namespace {

namespace fs = std::filesystem;
using ResumeKind = Resume::Kind;

bool lies_in(const fs::path& path, const fs::path& folder) {
  std::error_code ignored;
  const fs::path inner = fs::weakly_canonical(path, ignored);
  const fs::path outer = fs::weakly_canonical(folder, ignored);
  const auto [end, unused] = std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end());
  return end == outer.end();
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

std::string one_line(const Error& error) {
  const Error::Parts& parts = error.parts();
  std::string text = parts.what;
  if (!parts.where.empty()) text += ": " + parts.where;
  if (!parts.got.empty()) text += ", got " + parts.got;
  if (!parts.expected.empty()) text += ", expected " + parts.expected;
  return text;
}

}  // namespace

bool Resumption::goes_on_already() const {
  return trainer_.position_.step > 0 || !trainer_.history_.empty() || !trainer_.call_done_;
}

std::optional<Resumption::Found> Resumption::locate(bool& in_run_folder) {
  const Resume& resume = trainer_.options_.resume;
  const auto& run = trainer_.options_.run;
  if (resume.kind() == ResumeKind::place) {
    in_run_folder = run && lies_in(resume.place(), *run);
    if (in_run_folder) static_cast<void>(lock_run_folder());
    return find_at_place();
  }
  if (!run) {
    if (trainer_.options_.fast_dev_run) return std::nullopt;  // it has no folder by intention
    throw Error({.what = "there is no run folder to go on in",
                 .where = "option resume",
                 .got = resume.describe(),
                 .expected = "the option run",
                 .todo = "name the folder of the run, or the checkpoint itself"});
  }
  in_run_folder = true;
  return find_in_run(lock_run_folder());
}

void Resumption::run() {
  trainer_.resumed_from_.reset();
  trainer_.resume_notes_.clear();
  if (trainer_.options_.resume.kind() == ResumeKind::never || goes_on_already()) return;
  bool in_run_folder = false;
  std::optional<Found> found = locate(in_run_folder);
  if (found) load(std::move(*found));
  if (!in_run_folder) return;
  const fs::path& run = *trainer_.options_.run;
  if (!trainer_.resumed_from_) {
    std::error_code ignored;
    const bool begun = fs::exists(run / "options.json", ignored);
    bool other_files = false;
    for (const auto& entry : fs::directory_iterator(run, ignored)) other_files |= entry.path().filename() != ".lock";
    if (other_files && !begun) {  // somebody else's files: the next free name, as always
      trainer_.folder_lock_.reset();
      return;
    }
    if (begun) note("no checkpoint in " + run.string() + " yet: the run begins at the beginning");
  }
  take_folder(run);
}

void Resumption::load_module(DataModule& module) {
  if (trainer_.options_.resume.kind() == ResumeKind::never || goes_on_already()) return;
  bool in_run_folder = false;
  const std::optional<Found> found = locate(in_run_folder);
  trainer_.folder_lock_.reset();
  if (!found) return;
  if (const Tree* saved = found->state.find("data")) athanor::load_state(module, *saved);
}

fs::path Resumption::lock_run_folder() {
  const fs::path& run = *trainer_.options_.run;
  trainer_.folder_lock_.reset();
  trainer_.folder_lock_ = lock_folder(run);
  return run;
}

void Resumption::take_folder(const fs::path& run) {
  trainer_.folder_ = run;
  trainer_.folder_wanted_ = trainer_.options_.run;
}

/// The first that is whole, the last of the candidates first.
std::optional<Resumption::Found> Resumption::find(const std::vector<RunCheckpoint>& candidates) {
  std::string damages;
  for (auto each = candidates.rbegin(); each != candidates.rend(); ++each) {
    if (each->facts && !each->facts->complete) continue;
    std::string damage = each->damage;
    if (each->facts) {
      try {
        return Found{each->path, *each->facts, read_checkpoint(each->path).state};
      } catch (const Error& error) {
        damage = one_line(error);
      }
    }
    note(each->path.filename().string() + " is left out: " + first_line(damage));
    damages += (damages.empty() ? "" : "\n            ") + each->path.string() + ": " + first_line(damage);
  }
  if (damages.empty()) return std::nullopt;
  throw Error({.what = "every checkpoint of the run is damaged",
               .where = trainer_.options_.run ? trainer_.options_.run->string() : candidates.back().path.string(),
               .got = damages,
               .expected = "one that fits its checksums",
               .todo = "remove them to begin afresh, or take the weights alone by initialise_from"});
}

std::optional<Resumption::Found> Resumption::find_in_run(const fs::path& run) {
  const Resume& resume = trainer_.options_.resume;
  const std::vector<RunCheckpoint> all = list_checkpoints(run);
  const auto nothing = [&](const std::string& expected) {
    throw Error({.what = "there is no such checkpoint to go on from",
                 .where = run.string(),
                 .got = "resume = " + resume.describe() + ", and " + std::to_string(all.size()) +
                        (all.size() == 1 ? " checkpoint" : " checkpoints"),
                 .expected = expected,
                 .todo = "name another place; checkpoints with weights only are for initialise_from"});
  };
  if (resume.kind() == ResumeKind::best) {
    const RunCheckpoint* best = best_of(all, /*complete=*/true);
    if (best == nullptr) nothing("a complete checkpoint that was written with a monitor");
    return find({*best});
  }
  if (resume.kind() == ResumeKind::epoch) {
    std::vector<RunCheckpoint> fitting;
    for (const RunCheckpoint& each : all) {
      if (each.facts && each.facts->epoch_done && each.facts->epoch == resume.epoch()) fitting.push_back(each);
    }
    auto found = find(fitting);
    if (!found) nothing("one at the end of epoch " + std::to_string(resume.epoch()));
    return found;
  }
  auto found = find(all);
  if (!found && resume.kind() == ResumeKind::last) nothing("one in that folder");
  return found;
}

Resumption::Found Resumption::find_at_place() {
  const fs::path& place = trainer_.options_.resume.place();
  if (!is_checkpoint(place)) {
    std::vector<RunCheckpoint> all = list_checkpoints(place);
    if (all.empty()) all = list_checkpoints_in(place);
    if (auto found = find(all)) return std::move(*found);
    throw Error({.what = "there is no checkpoint at this place",
                 .where = place.string(),
                 .expected = "the folder of a complete checkpoint, or a run folder that has some",
                 .todo = "check the path; a weights file is for initialise_from"});
  }
  CheckpointFacts facts = read_facts(place);
  if (!facts.complete) {
    throw Error({.what = "a checkpoint of weights only can't be continued",
                 .where = place.string(),
                 .todo = "start from its weights by initialise_from, or name a complete one"});
  }
  Tree state = read_checkpoint(place).state;
  return {place, std::move(facts), std::move(state)};
}

/// What makes the place within the epoch mean other samples.
std::vector<std::string> Resumption::data_differences(const CheckpointFacts& facts) const {
  std::vector<std::string> lines;
  if (loader_ == nullptr || !facts.data.is_dictionary() || facts.data.entries().empty()) return lines;
  const Tree now = data_facts(*loader_, batches_, trainer_.options_.seed);
  static const std::set<std::string> always = {"samples", "targets"};
  for (const std::string& line : compare_states(facts.data, now)) {
    const std::string path = line.substr(0, line.rfind(": "));
    const std::string name = path.substr(path.rfind('.') + 1);
    if (always.contains(name) || !facts.epoch_done || line.starts_with("only")) lines.push_back("data: " + line);
  }
  return lines;
}

void Resumption::load(Found found) {
  const CheckpointFacts& facts = found.facts;
  if (const auto differences = data_differences(facts); !differences.empty()) {
    throw Error({.what = "a checkpoint was made with other data",
                 .where = found.path.string() + ", " + facts.describe(),
                 .got = join(differences, "\n            "),
                 .expected = facts.epoch_done ? "the same samples" : "the same samples in the same order and batches",
                 .todo = "use the data it was made with; at the end of an epoch batch size, order and seed may change; "
                         "for other data start from its weights by initialise_from"});
  }
  ChangedSettings settings(trainer_, facts);
  settings.adapt(found.state);
  try {
    trainer_.load_state(trainer_.task(), found.state);
  } catch (const Error& error) {
    Error::Parts parts = error.parts();
    parts.where = found.path.string() + ", " + facts.describe();
    parts.todo =
        "build the same nets, optimizers, metrics and callbacks as when it was saved; for another net start "
        "from its weights by initialise_from";
    throw Error(std::move(parts));
  }
  settings.apply();
  trainer_.resumed_from_ = found.path;

  std::string text = "continuing from " + found.path.string() + ": " + facts.describe();
  for (const std::string& change : settings.changes()) text += "; " + change;
  const auto options = list_options(trainer_.options_);
  static const std::set<std::string> harmless = {"run",     "resume", "verbosity", "log_every",
                                                 "workers", "device", "profile",   "digits"};
  for (const auto& [name, now] : options) {
    const Tree* before = facts.options.find(name);
    if (before == nullptr || before->text() == now || harmless.contains(name) || name.starts_with("host.")) continue;
    text += "; " + name + " " + now + " instead of " + before->text();
  }
  note(text);
  std::vector<std::string> others;
  const int threads = trainer_.options_.host.threads.value_or(at::get_num_threads());
  if (facts.threads != threads) {
    others.push_back(std::to_string(threads) + " instead of " + std::to_string(facts.threads) + " threads");
  }
  const auto compare = [&](const std::string& before, const std::string& now, const char* what) {
    if (before != now) others.push_back(std::string(what) + " " + now + " instead of " + before);
  };
  compare(facts.device, trainer_.device().str(), "device");
  compare(facts.libtorch, libtorch_version(), "LibTorch");
  compare(facts.processor, at::get_cpu_capability(), "processor");
  if (!others.empty()) note("not equal to the last bit with the run that was never interrupted: " + join(others, ", "));
}

// ---- settings

void ChangedSettings::adapt(Tree& state) {
  Tree* update = state.find("update");
  for (NamedOptimizer& named : trainer_.optimizers()) {
    const Tree* saved = facts_.schedules.find(named.name);
    const std::string before = saved != nullptr ? (*saved)["schedule"].text() : "none";
    const std::string now = named.schedule ? named.schedule->describe() : "none";
    if (before == now || update == nullptr) continue;
    changes_.push_back("schedule " + now + " instead of " + before);
    const std::string entry = "schedule " + named.name;
    if (Tree* old = update->find(entry); old != nullptr && saved != nullptr) {
      const Tree* base = old->find("base");
      if (base != nullptr && base->is_tensor() && base->tensor().scalar_type() == at::kDouble) {
        const auto* values = base->tensor().const_data_ptr<double>();
        bases_.push_back({named.optimizer.get(), static_cast<OptimizerField>((*saved)["field"].integer()),
                          std::vector<double>(values, values + base->tensor().numel())});
      }
      std::erase_if(update->entries(), [&](const Tree::Entry& each) { return each.first == entry; });
    }
    if (named.schedule) update->at_or_insert(entry) = athanor::save_state(*named.schedule);
  }
}

void ChangedSettings::apply() {
  for (const Base& base : bases_) {
    for (size_t group = 0; group < base.values.size(); ++group) {
      base.optimizer->set(base.field, group, base.values[group]);
    }
  }
  for (const OptimizerSetting& setting : settings_of(trainer_.optimizers())) {
    const Tree* before = facts_.settings.find(setting.name);
    const auto now = trainer_.configured().find(setting.name);
    if (before == nullptr || !now || before->real() == *now) continue;
    changes_.push_back(setting.name + " " + shortest(*now) + " instead of " + shortest(before->real()));
    // A schedule that goes on with another base begins again, at the time that it is.
    if (setting.named->schedule && setting.named->schedule->begun() &&
        setting.named->schedule->field() == setting.field) {
      setting.named->schedule->end(*setting.named->optimizer);
    }
    setting.named->optimizer->set(setting.field, setting.group, *now);
  }
}

}  // namespace athanor
