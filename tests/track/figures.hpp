// SPDX-License-Identifier: Apache-2.0
// Looking into figures: pixels, documents, and the numbers of Python.
#pragma once

#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "athanor/track/figure.hpp"
#include "tests/track/tracking.hpp"

namespace athanor::testing {

using Rgb = std::array<int, 3>;

/// Of (3, H, W).
inline Rgb pixel_at(const at::Tensor& pixels, int64_t x, int64_t y) {
  Rgb found{};
  const at::Tensor host = pixels.contiguous();
  const uint8_t* data = host.const_data_ptr<uint8_t>();
  const int64_t plane = host.size(1) * host.size(2);
  for (size_t i = 0; i < 3; ++i) found[i] = data[static_cast<int64_t>(i) * plane + y * host.size(2) + x];
  return found;
}

inline Rgb rgb_of(const draw::Colour& colour) { return {colour.red, colour.green, colour.blue}; }

/// The parts of one kind.
template <class Part>
std::vector<Part> parts_of(const Figure& figure) {
  std::vector<Part> found;
  for (const draw::Part& part : figure.parts()) {
    if (const auto* each = std::get_if<Part>(&part)) found.push_back(*each);
  }
  return found;
}

inline std::vector<std::string> texts_of(const Figure& figure) {
  std::vector<std::string> texts;
  for (const draw::Text& text : parts_of<draw::Text>(figure)) texts.push_back(text.text);
  return texts;
}

/// Reads each figure's SVG with Python's parser; empty when all are well formed.
inline std::string problem_of_svg(const std::vector<Figure>& figures) {
  const TemporaryFolder folder;
  std::string arguments = "understanding_peer.py svg";
  for (size_t i = 0; i < figures.size(); ++i) {
    const auto path = folder.path() / (std::to_string(i) + ".svg");
    figures[i].save(path);
    arguments += " " + path.string();
  }
  const PythonOutput output = run_python(arguments);
  const auto lines = lines_of(output.text);
  if (output.status != 0 || lines.size() != figures.size())
    return output.text + "status " + std::to_string(output.status);
  for (const std::string& line : lines) {
    if (!line.starts_with("ok ")) return line;
  }
  return {};
}

using NamedNumbers = std::map<std::string, std::vector<double>>;
inline NamedNumbers read_numbers(const std::string& text) {
  NamedNumbers numbers;
  for (const std::string& line : lines_of(text)) {
    std::istringstream stream(line);
    std::string name;
    stream >> name;
    for (double value = 0; stream >> value;) numbers[name].push_back(value);
  }
  return numbers;
}

/// The recorded numbers of understanding_peer.py, and those of the Python that is here, when it has the packages.
inline const std::vector<NamedNumbers>& python_numbers() {
  static const std::vector<NamedNumbers> all = [] {
    std::vector<NamedNumbers> found{
        read_numbers(text_of(ATHANOR_SOURCE_DIR "/tests/track/understanding_reference.txt"))};
    const PythonOutput output = run_python("understanding_peer.py numbers");
    if (output.status == 0) found.push_back(read_numbers(output.text));
    std::cout << "compared with recorded numbers" << (output.status == 0 ? " and with this Python's\n" : " only\n");
    return found;
  }();
  return all;
}

/// As wave() in understanding_peer.py.
inline std::vector<double> wave(int64_t count, double step, double shift, double scale) {
  std::vector<double> values;
  for (int64_t i = 0; i < count; ++i) values.push_back(scale * std::sin(step * static_cast<double>(i) + shift));
  return values;
}

}  // namespace athanor::testing
