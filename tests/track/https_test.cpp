// SPDX-License-Identifier: Apache-2.0
// Requests to a server whose certificate is checked.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <thread>

#include "athanor/track/http.hpp"
#include "athanor/track/spool_sender.hpp"
#include "tests/track/tracking.hpp"

namespace athanor::testing::https_test {
namespace {

using namespace track;

std::string failure_of(const std::string& url) {
  try {
    return "answered with " + std::to_string(HttpClient(url).get("/").status);
  } catch (const DeliveryProblem& problem) {
    return problem.what();
  }
}

TEST(Https, TheCertificateIsChecked) {
  const TemporaryFolder folder;
  const std::string command =
      std::string(ATHANOR_TEST_PYTHON " " ATHANOR_SOURCE_DIR "/tests/track/https_peer.py ") + folder.path().string();
  FILE* server = ::popen(command.c_str(), "w");
  ASSERT_NE(server, nullptr);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!std::filesystem::exists(folder.path() / "port") && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  const std::string port = lines_of(text_of(folder.path() / "port")).at(0);
  if (port == "0") {
    ::pclose(server);
    std::cout << "the command openssl is not there\n";
    return;
  }
  EXPECT_THAT(failure_of("https://localhost:" + port),
              ::testing::EndsWith("the certificate of the server is not trusted"));
  ::setenv("SSL_CERT_FILE", (folder.path() / "certificate.pem").c_str(), 1);
  EXPECT_EQ(HttpClient("https://localhost:" + port + "/prefix").get("/x").body, "/prefix/x");
  // It is the certificate of another name.
  EXPECT_THAT(failure_of("https://127.0.0.1:" + port),
              ::testing::EndsWith("the certificate of the server is not trusted"));
  ::unsetenv("SSL_CERT_FILE");
  ::pclose(server);
}

}  // namespace
}  // namespace athanor::testing::https_test
