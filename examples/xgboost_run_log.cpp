// SPDX-License-Identifier: Apache-2.0
// Boosted trees of XGBoost with the display, early stopping, files and trackers of this library: RunLog around another
// library's loop. Built where XGBoost is found (Debian: libxgboost-dev).
//
//     build/release/examples/xgboost_run_log runs/trees
#include <xgboost/c_api.h>

#include <cmath>
#include <cstdio>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "athanor/track/run_log.hpp"
#include "athanor/track/tensorboard.hpp"

namespace {

void require(int status) {
  if (status != 0) throw std::runtime_error(XGBGetLastError());
}

struct Points {
  std::vector<float> features;
  std::vector<float> labels;
};

/// Inside of a ring or not, with a twentieth of the labels wrong.
Points ring(int count, int seed) {
  Points points;
  for (int i = 0; i < count; ++i) {
    const double x = 2 * std::sin(12.9898 * (i + seed)), y = 2 * std::sin(78.233 * (i + seed));
    const double radius = std::hypot(x, y);
    points.features.insert(points.features.end(), {static_cast<float>(x), static_cast<float>(y)});
    points.labels.push_back((radius > 0.8 && radius < 1.8) != (i % 20 == 0) ? 1.0F : 0.0F);
  }
  return points;
}

DMatrixHandle matrix_of(const Points& points) {
  DMatrixHandle matrix = nullptr;
  const auto rows = static_cast<bst_ulong>(points.labels.size());
  require(XGDMatrixCreateFromMat(points.features.data(), rows, 2, std::numeric_limits<float>::quiet_NaN(), &matrix));
  require(XGDMatrixSetFloatInfo(matrix, "label", points.labels.data(), rows));
  return matrix;
}

/// XGBoost says `[3]	train-logloss:0.31	val-logloss:0.33`.
athanor::Values values_in(const std::string& line) {
  athanor::Values values;
  for (size_t begin = line.find('\t'); begin != std::string::npos; begin = line.find('\t', begin + 1)) {
    const size_t dash = line.find('-', begin), colon = line.find(':', begin);
    values.set(line.substr(begin + 1, dash - begin - 1) + "_" + line.substr(dash + 1, colon - dash - 1),
               std::stod(line.substr(colon + 1)));
  }
  return values;
}

}  // namespace

int main(int argc, char** argv) {
  DMatrixHandle data[] = {matrix_of(ring(4000, 0)), matrix_of(ring(1000, 5000))};
  const char* names[] = {"train", "val"};
  BoosterHandle booster = nullptr;
  require(XGBoosterCreate(data, 2, &booster));
  const std::vector<std::pair<std::string, std::string>> parameters = {
      {"objective", "binary:logistic"}, {"eta", "0.3"}, {"max_depth", "4"}, {"nthread", "1"}};
  for (const auto& [name, value] : parameters) require(XGBoosterSetParam(booster, name.c_str(), value.c_str()));

  athanor::RunLogOptions options{.epochs = 500, .monitor = "val_logloss", .patience = 10, .header = parameters};
  if (argc > 1) {
    options.run = argv[1];
    options.track = {athanor::track::tensorboard()};
  }
  options.save_best = [&](int64_t) {
    if (argc > 1) require(XGBoosterSaveModel(booster, (std::string(argv[1]) + ".best.json").c_str()));
  };
  athanor::RunLog log(options);
  int round = 0;
  const char* line = nullptr;
  do {
    require(XGBoosterUpdateOneIter(booster, round, data[0]));
    require(XGBoosterEvalOneIter(booster, round, data, names, 2, &line));
    ++round;
  } while (log.epoch(values_in(line)));
  log.end();
  std::printf("%d trees\n", round);

  require(XGBoosterFree(booster));
  for (const DMatrixHandle each : data) require(XGDMatrixFree(each));
}
