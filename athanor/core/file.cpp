// SPDX-License-Identifier: Apache-2.0
// Files over the POSIX calls: map, write beside and rename, probe.
#include "athanor/core/file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

#include "athanor/core/error.hpp"

namespace athanor {
namespace {

namespace fs = std::filesystem;

std::string system_words(int code) { return std::generic_category().message(code); }

std::string advice_for(int code) {
  switch (code) {
    case ENOSPC:
    case EDQUOT:
      return "free some space on this disk, or choose a folder on another one";
    case EACCES:
    case EPERM:
      return "change the permissions, or choose another folder";
    case EROFS:
      return "choose a folder on a disk that is not mounted read-only";
    case ENOTDIR:
      return "a part of this path is a file and not a folder; choose another path";
    case ENOENT:
      return "create the folder, or correct the path";
    default:
      return "";
  }
}

[[noreturn]] void fail(const std::string& what, const fs::path& path, int code) {
  throw Error({.what = what, .where = path.string(), .got = system_words(code), .todo = advice_for(code)});
}

class Descriptor {
 public:
  explicit Descriptor(int number) noexcept : number_(number) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  [[nodiscard]] int get() const noexcept { return number_; }
  [[nodiscard]] int release() noexcept { return std::exchange(number_, -1); }

 private:
  int number_;
};

class TemporaryName {
 public:
  explicit TemporaryName(fs::path path) : path_(std::move(path)) {}
  TemporaryName(const TemporaryName&) = delete;
  TemporaryName& operator=(const TemporaryName&) = delete;
  ~TemporaryName() {
    if (!kept_) ::unlink(path_.c_str());
  }
  void keep() noexcept { kept_ = true; }
  [[nodiscard]] const fs::path& path() const noexcept { return path_; }

 private:
  fs::path path_;
  bool kept_ = false;
};

// O_EXCL finds a free name even where a killed process with the same number left a file behind.
std::pair<int, fs::path> create_temporary(const fs::path& folder) {
  static std::atomic<unsigned> counter{0};
  for (;;) {
    fs::path path = folder / (".athanor-" + std::to_string(::getpid()) + "-" + std::to_string(counter++) + ".tmp");
    const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor >= 0 || errno != EEXIST) return {descriptor, std::move(path)};
  }
}

fs::path folder_of(const fs::path& path) { return path.has_parent_path() ? path.parent_path() : fs::path("."); }

void write_all(int descriptor, std::span<const std::byte> bytes, const fs::path& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written >= 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(written));
    } else if (errno != EINTR) {
      fail("a file can't be written to its end", path, errno);
    }
  }
}

// Some network file systems can't flush a folder and say so by EINVAL; there is nothing more to do for these.
void flush_folder(const fs::path& folder) {
  const Descriptor descriptor(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (descriptor.get() < 0) {
    if (errno == EACCES) return;
    fail("the folder of a written file can't be opened to flush it", folder, errno);
  }
  if (::fsync(descriptor.get()) != 0 && errno != EINVAL && errno != EROFS) {
    fail("the folder of a written file can't be flushed to the disk", folder, errno);
  }
}

}  // namespace

MappedFile::MappedFile(const fs::path& path) {
  // Without O_NONBLOCK a named pipe would wait for its writer.
  const Descriptor descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (descriptor.get() < 0) {
    const int code = errno;
    throw Error({.what = "a file can't be opened for reading",
                 .where = path.string(),
                 .got = system_words(code),
                 .todo = code == EACCES ? "change its permissions" : "check the path"});
  }
  struct stat status {};
  if (::fstat(descriptor.get(), &status) != 0) fail("a file can't be examined", path, errno);
  if (!S_ISREG(status.st_mode)) {
    throw Error({.what = "this is not a file that can be read",
                 .where = path.string(),
                 .got = S_ISDIR(status.st_mode) ? "a folder" : "a device, pipe or socket",
                 .expected = "a regular file",
                 .todo = "give the path of the file itself"});
  }
  size_ = static_cast<std::size_t>(status.st_size);
  if (size_ == 0) return;
  void* mapped = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, descriptor.get(), 0);
  if (mapped == MAP_FAILED) fail("a file can't be mapped into memory", path, errno);
  data_ = static_cast<std::byte*>(mapped);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

std::span<const std::byte> MappedFile::bytes() const noexcept { return {data_, size_}; }

std::span<std::byte> MappedFile::mutable_bytes() noexcept { return {data_, size_}; }

void MappedFile::advise_sequential() const noexcept {
  if (data_ == nullptr) return;
  ::madvise(data_, size_, MADV_SEQUENTIAL);
  ::madvise(data_, size_, MADV_WILLNEED);
}

void FileWriter::write(std::span<const std::byte> bytes) { write_all(descriptor_, bytes, path_); }

void FileWriter::write(std::string_view text) { write(std::as_bytes(std::span(text))); }

void write_file_atomically(const fs::path& path, const std::function<void(FileWriter&)>& fill) {
  if (!path.has_filename()) {
    throw Error({.what = "a file can't be written under this path",
                 .where = path.string(),
                 .expected = "a path that ends in the name of a file"});
  }
  const fs::path folder = folder_of(path);
  auto [number, temporary_path] = create_temporary(folder);
  if (number < 0) fail("a file can't be created in this folder", folder, errno);
  Descriptor descriptor(number);
  TemporaryName temporary(std::move(temporary_path));

  struct stat old {};
  if (::stat(path.c_str(), &old) == 0 && S_ISREG(old.st_mode)) ::fchmod(descriptor.get(), old.st_mode & 07777U);

  FileWriter writer(descriptor.get(), path);
  fill(writer);

  if (::fsync(descriptor.get()) != 0) fail("a file can't be flushed to the disk", path, errno);
  if (::close(descriptor.release()) != 0) fail("a file can't be closed", path, errno);
  if (::rename(temporary.path().c_str(), path.c_str()) != 0) fail("a file can't be put in its place", path, errno);
  temporary.keep();
  flush_folder(folder);
}

void write_file_atomically(const fs::path& path, std::span<const std::byte> bytes) {
  write_file_atomically(path, [&](FileWriter& writer) { writer.write(bytes); });
}

void write_file_atomically(const fs::path& path, std::string_view text) {
  write_file_atomically(path, std::as_bytes(std::span(text)));
}

void require_writable_directory(const fs::path& path) {
  if (path.empty()) throw Error({.what = "a folder is needed and the path is empty", .todo = "name a folder"});
  std::error_code failure;
  fs::create_directories(path, failure);
  if (failure) fail("a folder can't be created", path, failure.value());
  auto [number, probe_path] = create_temporary(path);
  if (number < 0) fail("files can't be created in this folder", path, errno);
  const Descriptor descriptor(number);
  const TemporaryName probe(std::move(probe_path));
  write_all(descriptor.get(), std::as_bytes(std::span("probe")), path);
}

}  // namespace athanor
