// Kernels by name, to be launched as a driver does it: with an array of pointers to the arguments.
#pragma once

#include <map>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace emulated {

struct Kernel {
    void (*call)(void**);
    std::vector<size_t> argument_bytes;
};

inline std::map<std::string, Kernel>& kernels() {
    static std::map<std::string, Kernel> all;
    return all;
}

template <auto F>
struct Caller;

template <class... Args, void (*F)(Args...)>
struct Caller<F> {
    template <size_t... I>
    static void apply(void** arguments, std::index_sequence<I...>) {
        F(*static_cast<std::remove_cv_t<Args>*>(arguments[I])...);
    }
    static void call(void** arguments) { apply(arguments, std::index_sequence_for<Args...>{}); }
    static Kernel kernel() { return {&call, {sizeof(Args)...}}; }
};

struct Register {
    Register(const char* name, Kernel kernel) { kernels()[name] = std::move(kernel); }
};

} // namespace emulated

#define KERNEL(name) static const emulated::Register registered_##name(#name, emulated::Caller<&name>::kernel());
