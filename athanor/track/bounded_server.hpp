// SPDX-License-Identifier: Apache-2.0
// cpp-httplib's server with requests that end: its own, before 0.20, reads a line of a header into memory however long
// it is.
#pragma once

#include <httplib.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <string>

namespace athanor::track {

#ifdef CPPHTTPLIB_MAX_LINE_LENGTH  // this one has limits of its own
using BoundedServer = httplib::Server;
#else

struct RequestLimits {
  size_t bytes = size_t{32} << 10;         ///< Of a request: its line, its headers and its content.
  std::chrono::milliseconds time{10'000};  ///< From its first byte to its last.
};

/// A connection of which a request gets no more than its limits; then it reads as if the other side had failed. Memory:
/// 4 KiB. Ends with the socket, which it does not own.
class BoundedStream : public httplib::Stream {
 public:
  BoundedStream(socket_t socket, RequestLimits limits, std::chrono::milliseconds patience);

  /// Waits for the first byte of the next request, from which on it has its limits anew. False: none came.
  [[nodiscard]] bool begin_request(std::chrono::milliseconds wait);
  [[nodiscard]] bool is_used_up() const noexcept { return used_up_; }
  [[nodiscard]] bool has_written() const noexcept { return written_; }

  bool is_readable() const override;
  bool is_writable() const override;
  ssize_t read(char* place, size_t size) override;
  ssize_t write(const char* bytes, size_t size) override;
  using httplib::Stream::write;
  void get_remote_ip_and_port(std::string& ip, int& port) const override;
  void get_local_ip_and_port(std::string& ip, int& port) const override;
  socket_t socket() const override { return socket_; }

 private:
  [[nodiscard]] bool wait(short what, std::chrono::milliseconds time) const;

  socket_t socket_;
  RequestLimits limits_;
  std::chrono::milliseconds patience_;
  std::chrono::steady_clock::time_point end_;
  size_t left_ = 0;
  bool used_up_ = false;
  bool written_ = false;
  std::array<char, 4096> buffer_;
  size_t begin_ = 0, filled_ = 0;
};

/// What is larger or slower than the limits is answered with 400, 413 or 431, and its connection is closed.
class BoundedServer : public httplib::Server {
 public:
  explicit BoundedServer(RequestLimits limits = {}) : limits_(limits) {}

 private:
  bool process_and_close_socket(socket_t socket) override;
  /// Later versions want to know the addresses too.
  template <class Self>
  static bool answer(Self& self, BoundedStream& stream, bool close, bool& closed) {
    if constexpr (requires { self.process_request(stream, close, closed, nullptr); }) {
      return self.process_request(stream, close, closed, nullptr);
    } else {
      return self.process_request(stream, "127.0.0.1", 0, "127.0.0.1", 0, close, closed, nullptr);
    }
  }

  RequestLimits limits_;
};

#endif

}  // namespace athanor::track
