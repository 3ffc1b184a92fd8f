// SPDX-License-Identifier: Apache-2.0
// The data of several tasks in one class: where they come from, and what fit, validate, test and predict get of them.
//
//     struct Digits : athanor::DataModule {
//       void prepare() override { download(folder); }
//       void setup(Purpose) override { images = read(folder); }
//       athanor::Data train() override { return {images.train, labels.train}; }
//       std::vector<athanor::Data> validation() override { return {{images.held_out, labels.held_out}}; }
//     };
#pragma once

#include <array>
#include <vector>

#include "athanor/core/state.hpp"
#include "athanor/data/data.hpp"

namespace athanor {

/// Everything has a default that does nothing and gives no data. The functions are called on the thread that trains,
/// through DataModuleUse, in this order: prepare(), setup(), the data of that purpose, teardown().
class DataModule {
 public:
  enum class Purpose { fit, validate, test, predict };

  DataModule() = default;
  DataModule(const DataModule&) = delete;
  DataModule& operator=(const DataModule&) = delete;
  virtual ~DataModule() = default;

  /// What is done once: download, convert. Called before the first setup() of this object; again only when it threw.
  /// Every process of a run calls it, so it has to leave alone what is there already.
  virtual void prepare() {}
  /// Called before the data of `purpose` are asked for; `fit` asks for train() and validation().
  virtual void setup(Purpose /*purpose*/) {}

  virtual Data train() { return {}; }
  /// One or several sets; give them names (`Data::named`) when they are several.
  virtual std::vector<Data> validation() { return {}; }
  virtual std::vector<Data> test() { return {}; }
  virtual Data predict() { return {}; }

  /// What a resumed run has to know of the data, such as the stage of a curriculum.
  virtual void state(State& /*state*/) {}

  /// Called when the data of `purpose` are needed no longer, also after an error; not when setup() threw.
  virtual void teardown(Purpose /*purpose*/) {}

 private:
  friend class DataModuleUse;
  bool prepared_ = false;
  std::array<int, 4> users_{};  ///< For each purpose.
};

/// Holds a data module ready for a purpose: prepares it once, sets it up, and tears it down at the end of its life.
/// When several of one purpose are alive, the first sets up and the last tears down. The module must outlive it.
class DataModuleUse {
 public:
  /// Throws what prepare() and setup() throw; the purpose is then not set up.
  DataModuleUse(DataModule& module, DataModule::Purpose purpose);
  /// Tears down when finish() has not been called. What teardown() throws is dropped here, because an error is most
  /// often on its way already.
  ~DataModuleUse();
  DataModuleUse(const DataModuleUse&) = delete;
  DataModuleUse& operator=(const DataModuleUse&) = delete;

  /// Ends the use now and throws what teardown() throws. A second call does nothing.
  void finish();

 private:
  DataModule* module_;
  DataModule::Purpose purpose_;
};

}  // namespace athanor
