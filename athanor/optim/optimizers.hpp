// SPDX-License-Identifier: Apache-2.0
// All optimizers.
#pragma once

#include "athanor/optim/adadelta.hpp"
#include "athanor/optim/adafactor.hpp"
#include "athanor/optim/adagrad.hpp"
#include "athanor/optim/adam.hpp"
#include "athanor/optim/adamax.hpp"
#include "athanor/optim/asgd.hpp"
#include "athanor/optim/lamb.hpp"
#include "athanor/optim/lbfgs.hpp"
#include "athanor/optim/lion.hpp"
#include "athanor/optim/lookahead.hpp"
#include "athanor/optim/muon.hpp"
#include "athanor/optim/nadam.hpp"
#include "athanor/optim/radam.hpp"
#include "athanor/optim/rmsprop.hpp"
#include "athanor/optim/rprop.hpp"
#include "athanor/optim/sam.hpp"
#include "athanor/optim/sgd.hpp"
#include "athanor/optim/sparse_adam.hpp"
