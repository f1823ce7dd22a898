// A new folder for as long as the object lives.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

#include "proto/check.hpp"

namespace vsmp::test {

class OwnFolder {
  public:
    OwnFolder() { VSMP_CHECK(::mkdtemp(path_.data()) != nullptr, "mkdtemp in /tmp"); }
    ~OwnFolder() { std::filesystem::remove_all(path_); }
    OwnFolder(const OwnFolder&) = delete;
    const std::string& path() const { return path_; }

  private:
    std::string path_ = "/tmp/vsmp-test-XXXXXX";
};

}  // namespace vsmp::test
