// SPDX-License-Identifier: Apache-2.0
// Whatever may be given to `fit`, `evaluate` and `predict` as data.
//
//     model.fit({images, labels});                                        // tensors
//     model.fit(MyDataset{}, {.validation = Data(test_set).named("val")});  // a data set
//     model.fit(Loader(dataset, {.batch_size = 64, .workers = 2}));       // a loader with its own options
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "athanor/data/loader.hpp"

namespace athanor {

/// Data with an optional name. Tensors and data sets take batch size and order from the options of the call; a loader
/// keeps its own.
class Data {
 public:
  Data() = default;  ///< No data.
  Data(Tree input, Tree target);
  /// With a weight for each sample, (N), as in Dataset.
  Data(Tree input, Tree target, at::Tensor weight);
  Data(at::Tensor input);
  Data(Dataset dataset);
  Data(Loader loader);
  template <class T>
  requires DatasetClass<std::remove_cvref_t<T>> Data(T source) : Data(Dataset(std::move(source))) {}
  template <DatasetClass T>
  Data(std::shared_ptr<T> source) : Data(Dataset(std::move(source))) {}

  /// The same data under a name, which prefixes its values: `clean_loss`, `clean_acc`.
  [[nodiscard]] Data named(std::string name) const;
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] bool defined() const noexcept;
  /// Whether a loader was given, with a batch size and an order of its own.
  [[nodiscard]] bool is_loader() const noexcept { return loader_ != nullptr; }

  /// Throws Error when there are no data, and for a combined loader, which has several data sets.
  [[nodiscard]] const Dataset& dataset() const;
  /// The loader that was given, or one over the data set with `options`.
  [[nodiscard]] Loader loader(const LoaderOptions& options) const;

  /// Cuts off the last `fraction` of the samples, in the order of the data set: (the rest, the cut-off part). Throws
  /// Error for a loader, and when one of the parts would be empty.
  [[nodiscard]] std::pair<Data, Data> split(double fraction) const;

 private:
  Dataset dataset_;
  std::shared_ptr<const Loader> loader_;  // instead of the data set
  std::string name_;
};

}  // namespace athanor
