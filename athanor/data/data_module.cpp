// SPDX-License-Identifier: Apache-2.0
#include "athanor/data/data_module.hpp"

#include <utility>

namespace athanor {

DataModuleUse::DataModuleUse(DataModule& module, DataModule::Purpose purpose) : module_(&module), purpose_(purpose) {
  if (!module.prepared_) {
    module.prepare();
    module.prepared_ = true;
  }
  int& users = module.users_.at(static_cast<size_t>(purpose));
  if (users == 0) module.setup(purpose);
  ++users;
}

DataModuleUse::~DataModuleUse() {
  try {
    finish();
  } catch (...) {  // see the header
  }
}

void DataModuleUse::finish() {
  DataModule* module = std::exchange(module_, nullptr);
  if (module == nullptr) return;
  if (--module->users_.at(static_cast<size_t>(purpose_)) == 0) module->teardown(purpose_);
}

}  // namespace athanor
