// SPDX-License-Identifier: Apache-2.0
#include "athanor/data/data.hpp"

#include <cmath>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"

namespace athanor {

Data::Data(Tree input, Tree target) : dataset_(std::move(input), std::move(target)) {}
Data::Data(Tree input, Tree target, at::Tensor weight)
    : dataset_(std::move(input), std::move(target), std::move(weight)) {}
Data::Data(at::Tensor input) : dataset_(Tree(std::move(input))) {}
Data::Data(Dataset dataset) : dataset_(std::move(dataset)) {}
Data::Data(Loader loader) : loader_(std::make_shared<const Loader>(std::move(loader))) {}

Data Data::named(std::string name) const {
  Data copy = *this;
  copy.name_ = std::move(name);
  return copy;
}

bool Data::defined() const noexcept { return loader_ != nullptr || dataset_.defined(); }

const Dataset& Data::dataset() const {
  if (loader_ != nullptr) return loader_->dataset();
  if (dataset_.defined()) return dataset_;
  throw Error({.what = "there are no data", .expected = "tensors, a data set or a loader"});
}

Loader Data::loader(const LoaderOptions& options) const {
  if (loader_ != nullptr) return *loader_;
  return Loader(dataset(), options);
}

std::pair<Data, Data> Data::split(double fraction) const {
  if (is_loader()) {
    throw Error({.what = "a loader can't be split",
                 .where = "validation_split",
                 .todo = "split the data set with slice() and make two loaders, or give the data set itself"});
  }
  const int64_t size = dataset().size();
  const auto cut = static_cast<int64_t>(std::llround(static_cast<double>(size) * (1 - fraction)));
  if (!(fraction > 0 && fraction < 1) || cut == 0 || cut == size) {
    throw Error({.what = "the validation split leaves one side without samples",
                 .where = "validation_split",
                 .got = format_number(fraction) + " of " + std::to_string(size) + " samples",
                 .expected = "a fraction above 0 and below 1, with at least one sample on each side"});
  }
  Data rest(dataset().slice(0, cut));
  rest.name_ = name_;
  return {std::move(rest), Data(dataset().slice(cut, size))};
}

}  // namespace athanor
