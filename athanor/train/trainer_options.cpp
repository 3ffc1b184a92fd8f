// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/trainer_options.hpp"

#include <algorithm>
#include <charconv>

#include "athanor/core/error.hpp"

namespace athanor {
namespace {

[[noreturn]] void refuse(const char* option, const std::string& got, const char* expected) {
  throw Error({.what = "an option of the trainer is out of range", .where = option, .got = got, .expected = expected});
}

void require_positive(const char* option, const std::optional<Duration>& duration) {
  if (duration && !(duration->count() > 0)) refuse(option, duration->describe(), "more than nothing");
}

int64_t parse_count(std::string_view text, std::string_view whole) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && end == text.data() + text.size()) return number;
  refuse("accumulate", std::string(whole), "a number such as 4, or numbers by epoch such as 1:1,5:4");
}

}  // namespace

Accumulation::Accumulation(int64_t batches) : by_epoch_{{1, batches}} {}
Accumulation::Accumulation(std::initializer_list<std::pair<int64_t, int64_t>> by_epoch)
    : Accumulation(std::vector(by_epoch)) {}
Accumulation::Accumulation(std::vector<std::pair<int64_t, int64_t>> by_epoch) : by_epoch_(std::move(by_epoch)) {
  std::stable_sort(by_epoch_.begin(), by_epoch_.end(), [](auto& a, auto& b) { return a.first < b.first; });
}

int64_t Accumulation::at(int64_t epoch) const {
  int64_t batches = 1;
  for (const auto& [from, number] : by_epoch_) {
    if (from <= std::max<int64_t>(epoch, 1)) batches = number;
  }
  return batches;
}

void Accumulation::check() const {
  for (size_t i = 0; i < by_epoch_.size(); ++i) {
    const auto [epoch, batches] = by_epoch_[i];
    if (i > 0 && epoch == by_epoch_[i - 1].first) refuse("accumulate", describe(), "each epoch once");
    if (epoch < 1 || batches < 1)
      refuse("accumulate", describe(), "epochs from 1 on, with 1 or more micro-batches each");
  }
}

std::string Accumulation::describe() const {
  if (by_epoch_.size() == 1 && by_epoch_.front().first == 1) return std::to_string(by_epoch_.front().second);
  std::string text;
  for (const auto& [epoch, batches] : by_epoch_) {
    text += (text.empty() ? "" : ",") + std::to_string(epoch) + ":" + std::to_string(batches);
  }
  return text;
}

Accumulation Accumulation::parse(std::string_view text) {
  std::vector<std::pair<int64_t, int64_t>> by_epoch;
  if (text.find(':') == std::string_view::npos) {
    by_epoch = {{1, parse_count(text, text)}};
  } else {
    for (std::string_view rest = text; !rest.empty();) {
      const std::string_view entry = rest.substr(0, rest.find(','));
      rest.remove_prefix(std::min(rest.size(), entry.size() + 1));
      const size_t colon = entry.find(':');
      if (colon == std::string_view::npos) parse_count("", text);
      by_epoch.emplace_back(parse_count(entry.substr(0, colon), text), parse_count(entry.substr(colon + 1), text));
    }
  }
  Accumulation result(std::move(by_epoch));
  result.check();
  return result;
}

DisplayOptions display_of(const TrainerOptions& options) noexcept {
  return {.verbosity = options.verbosity, .digits = options.digits, .stream = options.stream};
}

void check(const TrainerOptions& options) {
  if (options.digits < 0 || options.digits > 17) refuse("digits", std::to_string(options.digits), "0 to 17 decimals");
  require_positive("max_duration", options.max_duration);
  require_positive("min_duration", options.min_duration);
  require_positive("max_time", options.max_time);
  require_positive("validate_every", options.validate_every);
  require_positive("log_every", options.log_every);
  require_positive("non_finite.keep_every", options.non_finite.keep_every);
  if (options.max_time && options.max_time->unit() != Duration::Unit::seconds) {
    refuse("max_time", options.max_time->describe(), "a wall time, such as 2_hours");
  }
  if (options.batch_size < 1) refuse("batch_size", std::to_string(options.batch_size), "1 or more");
  if (options.workers < 0) refuse("workers", std::to_string(options.workers), "0 or more");
  if (options.fast_dev_run && *options.fast_dev_run < 1) {
    refuse("fast_dev_run", std::to_string(*options.fast_dev_run), "a number of batches, 1 or more");
  }
  if (options.rehearsal_batches < 1) {
    refuse("rehearsal_batches", std::to_string(options.rehearsal_batches), "1 or more");
  }
  if (options.non_finite.at_most < 1) {
    refuse("non_finite.at_most", std::to_string(options.non_finite.at_most), "1 or more");
  }
  options.accumulate.check();
  const std::pair<const char*, const std::optional<Limit>*> limits[] = {
      {"train_batches", &options.train_batches},
      {"validation_batches", &options.validation_batches},
      {"test_batches", &options.test_batches},
      {"predict_batches", &options.predict_batches},
      {"overfit_batches", &options.overfit_batches}};
  for (const auto& [name, limit] : limits) {
    if (*limit) (*limit)->check(name);
  }
}

}  // namespace athanor
