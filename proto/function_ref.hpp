// Something callable that somebody else owns: for parameters that are called before the call they
// are passed to returns. Never allocates, unlike std::function; so never keep one.
#pragma once

#include <memory>
#include <type_traits>
#include <utility>

namespace vsmp {

template <class Signature>
class FunctionRef;

template <class R, class... Arguments>
class FunctionRef<R(Arguments...)> {
  public:
    template <class F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, FunctionRef> &&
             std::is_invocable_r_v<R, F&, Arguments...>)
        FunctionRef(F&& function)  // NOLINT: callers pass a lambda
        : object_(const_cast<void*>(static_cast<const void*>(std::addressof(function)))),
          call_([](void* object, Arguments... arguments) -> R {
              return (*static_cast<std::remove_reference_t<F>*>(object))(
                  std::forward<Arguments>(arguments)...);
          }) {}

    R operator()(Arguments... arguments) const {
        return call_(object_, std::forward<Arguments>(arguments)...);
    }

  private:
    void* object_;
    R (*call_)(void*, Arguments...);
};

}  // namespace vsmp
