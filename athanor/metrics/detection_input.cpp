// SPDX-License-Identifier: Apache-2.0
#include "athanor/metrics/detection_input.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"
#include "athanor/metrics/masks.hpp"

namespace athanor::metrics::detail {
namespace {

const Tree& image_entry(const Tree& image, const char* name, const std::string& where) {
  const Tree* entry = image.find(name);
  if (entry != nullptr && !entry->empty()) return *entry;
  throw Error({.what = std::string("an image has no ") + name,
               .where = where,
               .got = image.describe(),
               .expected = std::string("a dictionary with ") + name,
               .todo = "for an image with nothing in it, give empty tensors"});
}

/// (N), or empty, of an allowed dtype.
const at::Tensor& object_column(const Tree& entry, const char* name, bool floating, const std::string& where) {
  const at::Tensor* column = entry.is_tensor() ? &entry.tensor() : nullptr;
  const bool fits = column != nullptr && column->defined() && (column->dim() == 1 || column->numel() == 0) &&
                    (floating ? at::isFloatingType(column->scalar_type())
                              : at::isIntegralType(column->scalar_type(), /*includeBool=*/true));
  if (fits) return *column;
  throw Error({.what = std::string("the shape or the dtype of ") + name + " does not fit",
               .where = where,
               .got = entry.describe(),
               .expected = floating ? "floating (N)" : "integers (N)"});
}

void check_object_count(size_t got, size_t labels, const char* name, const std::string& where) {
  if (got == labels) return;
  throw Error({.what = std::string(name) + " and labels of one image differ in number",
               .where = where,
               .got = std::to_string(got) + " " + name + ", " + std::to_string(labels) + " labels",
               .expected = "one for each object"});
}

[[noreturn]] void refuse_object(const char* what, size_t object, double got, const char* expected,
                                const std::string& where) {
  throw Error({.what = what,
               .where = where + ", object " + std::to_string(object),
               .got = shortest(got),
               .expected = expected});
}

std::vector<int64_t> object_labels(const Tree& image, const std::string& where) {
  const at::Tensor labels =
      object_column(image_entry(image, "labels", where), "labels", false, where).to(at::kLong).contiguous();
  const auto* first = labels.const_data_ptr<int64_t>();
  std::vector<int64_t> read(first, first + labels.numel());
  for (size_t i = 0; i < read.size(); ++i) {
    if (read[i] < 0) refuse_object("a label is negative", i, static_cast<double>(read[i]), "0 or more", where);
  }
  return read;
}

/// What predictions and targets have in common: labels, boxes or masks, and their areas.
ImageObjects objects_of(const Tree& image, bool masks, BoxFormat format, const std::string& where) {
  ImageObjects objects;
  objects.labels = object_labels(image, where);
  if (masks) {
    objects.masks = read_masks(image_entry(image, "masks", where), where);
    check_object_count(objects.masks.size(), objects.labels.size(), "masks", where);
    for (const RunLengthMask& mask : objects.masks) objects.areas.push_back(static_cast<double>(mask.area()));
    return objects;
  }
  const Tree& boxes = image_entry(image, "boxes", where);
  objects.boxes = read_boxes(boxes.is_tensor() ? boxes.tensor() : at::Tensor(), format, where);
  check_object_count(objects.boxes.size(), objects.labels.size(), "boxes", where);
  objects.areas.reserve(objects.boxes.size());
  for (const Box& box : objects.boxes) objects.areas.push_back(box.area());
  return objects;
}

void read_scores(ImageObjects& detections, const Tree& prediction, const std::string& where) {
  detections.scores = read_doubles(object_column(image_entry(prediction, "scores", where), "scores", true, where));
  check_object_count(detections.scores.size(), detections.labels.size(), "scores", where);
  for (size_t i = 0; i < detections.scores.size(); ++i) {
    if (std::isnan(detections.scores[i])) refuse_object("a score is NaN", i, detections.scores[i], "a number", where);
  }
}

void read_crowd(ImageObjects& targets, const Tree& target, const std::string& where) {
  targets.crowd.assign(targets.labels.size(), 0);
  const Tree* crowd = target.find("iscrowd");
  if (crowd == nullptr || crowd->empty()) return;
  const std::vector<double> flags = read_doubles(object_column(*crowd, "iscrowd", false, where));
  check_object_count(flags.size(), targets.labels.size(), "iscrowd", where);
  for (size_t i = 0; i < flags.size(); ++i) {
    if (flags[i] != 0 && flags[i] != 1) refuse_object("iscrowd is out of range", i, flags[i], "0 or 1", where);
    targets.crowd[i] = flags[i] != 0 ? 1 : 0;
  }
}

void read_areas(ImageObjects& targets, const Tree& target, const std::string& where) {
  const Tree* area = target.find("area");
  if (area == nullptr || area->empty()) return;
  const bool floating = area->is_tensor() && area->tensor().defined() && area->tensor().is_floating_point();
  targets.areas = read_doubles(object_column(*area, "area", floating, where));
  check_object_count(targets.areas.size(), targets.labels.size(), "area", where);
  for (size_t i = 0; i < targets.areas.size(); ++i) {
    if (!(targets.areas[i] >= 0)) refuse_object("an area is out of range", i, targets.areas[i], "0 or more", where);
  }
}

/// All masks of an image have one size.
void check_mask_sizes(const DetectionImage& image, const std::string& where) {
  const RunLengthMask* first = nullptr;
  for (const ImageObjects* objects : {&image.targets, &image.detections}) {
    for (const RunLengthMask& mask : objects->masks) {
      if (first == nullptr) first = &mask;
      if (mask.height() == first->height() && mask.width() == first->width()) continue;
      throw Error({.what = "masks of one image differ in size",
                   .where = where,
                   .got = std::to_string(mask.height()) + " x " + std::to_string(mask.width()),
                   .expected = std::to_string(first->height()) + " x " + std::to_string(first->width()) +
                               ", as the first mask of the image",
                   .todo = "bring the predicted masks to the size of the targets"});
    }
  }
}

}  // namespace

DetectionImage read_detections(const Tree& prediction, const Tree& target, bool masks, BoxFormat format,
                               const std::string& where) {
  const std::string of_prediction = where + ", predictions", of_target = where + ", target";
  DetectionImage image;
  image.detections = objects_of(prediction, masks, format, of_prediction);
  read_scores(image.detections, prediction, of_prediction);
  image.targets = objects_of(target, masks, format, of_target);
  read_crowd(image.targets, target, of_target);
  read_areas(image.targets, target, of_target);
  check_mask_sizes(image, where);
  return image;
}

std::optional<int64_t> read_image_id(const Tree& target, const std::string& where) {
  const Tree* id = target.find("image_id");
  if (id == nullptr || id->empty()) return {};
  if (id->kind() == Tree::Kind::integer) return id->integer();
  if (id->is_tensor() && id->tensor().defined() && id->tensor().numel() == 1 &&
      at::isIntegralType(id->tensor().scalar_type(), /*includeBool=*/false)) {
    return id->tensor().item<int64_t>();
  }
  throw Error({.what = "an image_id is no integer",
               .where = where + ", target",
               .got = id->describe(),
               .expected = "one integer, such as the index of the sample in its data set"});
}

}  // namespace athanor::metrics::detail
