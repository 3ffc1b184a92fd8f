// SPDX-License-Identifier: Apache-2.0
#include "athanor/data/combine.hpp"

#include <algorithm>
#include <cmath>
#include <exception>
#include <optional>
#include <string>
#include <utility>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"
#include "athanor/data/rotation.hpp"
#include "athanor/data/source.hpp"

namespace athanor {
namespace {

using Request = Loader::Source::Request;

/// The batches of one part, round after round.
class PartStream {
 public:
  /// From the part's batch `next` to `end`, counted over all rounds. `request` has the epoch, seed and salt of the
  /// whole.
  PartStream(const NamedLoader& part, size_t number, Request request, int64_t next, int64_t end)
      : name_(part.name),
        source_(Loader::Source::of(part.loader)),
        length_(source_->batches()),
        number_(number),
        request_(request),
        next_(next),
        end_(end) {}

  /// Starts what prepares the next batch, where something does.
  void open() {
    const int64_t round = next_ / length_;
    if (next_ >= end_ || (pass_ && round == round_)) return;
    pass_.reset();
    Request request = request_;
    request.first = next_ - round * length_;
    request.last = std::min(length_, end_ - round * length_);
    request.salt = mix({request_.salt, number_ + 1, static_cast<uint64_t>(round)});
    pass_ = source_->pass(request);
    round_ = round;
  }

  const Batch& next() {
    open();
    ++next_;  // first, because the call after an error goes on
    try {
      return *pass_->next();
    } catch (const Error& error) {
      Error::Parts parts = error.parts();
      parts.where = "part '" + name_ + "', " + parts.where;
      throw Error(std::move(parts));
    }
  }

  /// Gives memory and threads back when nothing will follow; the batch that was given last ends with them.
  void close_at_end() {
    if (next_ >= end_) pass_.reset();
  }

  [[nodiscard]] const std::string& name() const noexcept { return name_; }

 private:
  std::string name_;
  std::shared_ptr<const Loader::Source> source_;
  int64_t length_;
  uint64_t number_;
  Request request_;
  int64_t next_;
  int64_t end_;
  int64_t round_ = -1;
  std::unique_ptr<Pass::Implementation> pass_;
};

/// A batch of one part at a time.
class OneOfParts final : public Pass::Implementation {
 public:
  OneOfParts(Rotation rotation, std::vector<PartStream> streams, std::vector<int64_t> taken, uint64_t key,
             int64_t first, int64_t last)
      : rotation_(std::move(rotation)),
        streams_(std::move(streams)),
        taken_(std::move(taken)),
        key_(key),
        number_(first),
        last_(last) {}

  const Batch* next() override {
    if (number_ >= last_) return nullptr;
    streams_[part_].close_at_end();
    part_ = rotation_.part(number_++, taken_, key_);
    ++taken_[part_];
    return &streams_[part_].next();
  }

 private:
  Rotation rotation_;
  std::vector<PartStream> streams_;
  std::vector<int64_t> taken_;
  uint64_t key_;
  int64_t number_;
  int64_t last_;
  size_t part_ = 0;
};

/// A batch of each part at once.
class AllOfParts final : public Pass::Implementation {
 public:
  AllOfParts(std::vector<PartStream> streams, int32_t part, int64_t batches)
      : streams_(std::move(streams)), part_(part), left_(batches) {}

  const Batch* next() override {
    if (left_ <= 0) return nullptr;
    --left_;
    batch_ = Batch();  // lets the parts write over their tensors
    batch_.part = part_;
    std::exception_ptr error;
    for (PartStream& stream : streams_) {
      try {
        add(stream);
      } catch (...) {  // the parts stay in step
        if (!error) error = std::current_exception();
      }
    }
    if (error) std::rethrow_exception(error);
    return &batch_;
  }

 private:
  void add(PartStream& stream) {
    const Batch& one = stream.next();
    if (one.weight) {
      throw Error(
          {.what = "a batch of several parts can't carry sample weights",
           .where = "part '" + stream.name() + "'",
           .got = describe(*one.weight),
           .expected = "batches without weights",
           .todo = "put the weights into the target, or take the parts one by one (in_turn, alternate, weighted)"});
    }
    batch_.input.at_or_insert(stream.name()) = one.input;
    batch_.target.at_or_insert(stream.name()) = one.target;
    batch_.samples += one.samples;
  }

  std::vector<PartStream> streams_;
  int32_t part_;
  int64_t left_;
  Batch batch_;
};

std::vector<int64_t> lengths_of(const std::vector<NamedLoader>& parts) {
  std::vector<int64_t> lengths;
  lengths.reserve(parts.size());
  for (const NamedLoader& part : parts) lengths.push_back(part.loader.batches());
  return lengths;
}

class Combination final : public Loader::Source {
 public:
  Combination(std::vector<NamedLoader> parts, const CombineOptions& options)
      : parts_(std::move(parts)),
        rotation_(options, lengths_of(parts_)),
        how_(options.how),
        batches_(options.batches.value_or(rotation_.natural_batches())) {
    const int64_t natural = rotation_.natural_batches();
    if (batches_ >= 1 && (batches_ <= natural || rotation_.begins_again())) return;
    throw Error({.what = batches_ < 1 ? "an epoch without batches" : "an epoch longer than what there is",
                 .where = "CombineOptions::batches",
                 .got = std::to_string(batches_),
                 .expected = rotation_.begins_again() ? "1 or more" : "1 to " + std::to_string(natural),
                 .todo = rotation_.begins_again() ? "" : "combine in a way in which parts begin again"});
  }

  int64_t batches() const noexcept override { return batches_; }

  int64_t samples(int64_t batches) const override {
    if (const std::vector<double> shares = rotation_.shares(); !shares.empty()) {
      double a_batch = 0;
      for (size_t i = 0; i < parts_.size(); ++i) {
        const Loader& part = parts_[i].loader;
        a_batch += shares[i] * static_cast<double>(part.samples()) / static_cast<double>(part.batches());
      }
      return std::llround(a_batch * static_cast<double>(batches));
    }
    const std::vector<int64_t> taken = rotation_.taken(batches, 0);
    int64_t samples = 0;
    for (size_t i = 0; i < parts_.size(); ++i) {
      const Loader::Source& part = *of(parts_[i].loader);
      const int64_t length = part.batches();
      samples += taken[i] / length * part.samples(length) + part.samples(taken[i] % length);
    }
    return samples;
  }

  std::vector<NamedLoader> parts() const override { return parts_; }

  std::unique_ptr<Pass::Implementation> pass(const Request& request) const override {
    const uint64_t key = mix({request.seed, static_cast<uint64_t>(request.epoch), request.salt});
    std::vector<int64_t> taken = rotation_.taken(request.first, key);
    // How often a part will be drawn is not counted beforehand: its threads may run ahead of what is needed.
    const std::vector<int64_t> end =
        how_ == Combine::weighted ? std::vector<int64_t>(parts_.size(), INT64_MAX) : rotation_.taken(request.last, key);
    std::vector<PartStream> streams;
    for (size_t i = 0; i < parts_.size(); ++i) {
      Request of_part = request;
      if (!rotation_.zips()) of_part.part = request.part.value_or(static_cast<int32_t>(i));
      streams.emplace_back(parts_[i], i, of_part, taken[i], end[i]);
      if (how_ != Combine::in_turn) streams.back().open();
    }
    if (rotation_.zips()) {
      return std::make_unique<AllOfParts>(std::move(streams), request.part.value_or(0), request.last - request.first);
    }
    return std::make_unique<OneOfParts>(rotation_, std::move(streams), std::move(taken), key, request.first,
                                        request.last);
  }

 private:
  std::vector<NamedLoader> parts_;
  Rotation rotation_;
  Combine how_;
  int64_t batches_;
};

void check_parts(const std::vector<NamedLoader>& parts) {
  if (parts.empty()) throw Error({.what = "a combination of no loaders", .expected = "at least one part"});
  for (size_t i = 0; i < parts.size(); ++i) {
    auto same_name = [&](const NamedLoader& part) { return part.name == parts[i].name; };
    const bool twice = std::any_of(parts.begin(), parts.begin() + static_cast<ptrdiff_t>(i), same_name);
    if (!twice && !parts[i].name.empty()) continue;
    throw Error({.what = twice ? "two parts of a combination have one name" : "a part of a combination has no name",
                 .where = "part " + std::to_string(i + 1) + " of " + std::to_string(parts.size()),
                 .got = "'" + parts[i].name + "'",
                 .expected = "a name of its own for each part"});
  }
}

void check_options(const CombineOptions& options, size_t parts) {
  auto refuse = [](std::string what, std::string got, std::string expected) {
    throw Error({.what = std::move(what),
                 .where = "CombineOptions::weights",
                 .got = std::move(got),
                 .expected = std::move(expected)});
  };
  const size_t given = options.weights.size();
  if (options.how != Combine::weighted && given != 0) {
    refuse("weights are for Combine::weighted only", std::to_string(given) + " weights", "none");
  }
  if (options.how == Combine::weighted && given != parts) {
    refuse("the weights do not fit the parts", std::to_string(given) + " weights",
           std::to_string(parts) + ", one for each part");
  }
  double sum = 0;
  for (double weight : options.weights) {
    if (!(weight >= 0)) refuse("a part has an impossible weight", shortest(weight), "a finite number, 0 or more");
    sum += weight;
  }
  if (given != 0 && !(sum > 0 && std::isfinite(sum))) {
    refuse("the weights have no usable sum", shortest(sum), "a finite sum above 0");
  }
  if (options.cycle && options.how != Combine::alternate) {
    throw Error({.what = "only alternating parts can be told to begin again",
                 .where = "CombineOptions::cycle",
                 .expected = "Combine::alternate",
                 .todo = "leave it out: with zip_longest and weighted parts always begin again"});
  }
}

}  // namespace

Loader combine(std::vector<NamedLoader> parts, const CombineOptions& options) {
  check_parts(parts);
  check_options(options, parts.size());
  return Loader::Source::loader(std::make_shared<Combination>(std::move(parts), options));
}

}  // namespace athanor
