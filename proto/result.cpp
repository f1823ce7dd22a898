#include "proto/result.hpp"

#include <cstring>

namespace vsmp {

Error Error::from_errno(std::string operation, int code) {
    return {operation + ": " + ::strerrordesc_np(code), code};
}

}  // namespace vsmp
