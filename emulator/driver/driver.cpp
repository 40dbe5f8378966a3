// A CUDA driver without a GPU: the memory of its device is the host's, and its kernels are those that were compiled for this processor.
//
// kvlab's program for a GPU runs against it as it is, from the first call to the last, so that everything but speed is tested without one: which
// kernels are launched with which arguments, how much is copied and when, whether all memory is given back. What it does not show: whether a driver
// takes the PTX, anything of time, and whatever only happens between kernels that run at once.
//
//   KVLAB_DRIVER_TRACE=FILE    at the end, how often each function was called, and each kernel launched
//   KVLAB_DRIVER_DEVICES=0     a driver, but no device
//   KVLAB_DRIVER_OLD=1         a driver that is older than the toolkit: it takes no PTX
#include <atomic>
#include <mutex>
#include <set>

#include "cuda.h"
#include "registry.h"

namespace {

enum Result { OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NO_DEVICE = 100, INVALID_DEVICE = 101, BAD_PTX = 218, OLD_DRIVER = 222, NOT_FOUND = 500 };

constexpr size_t TOTAL_BYTES = size_t{8} << 30;
constexpr int MULTIPROCESSORS = 16;

struct Module {
    std::set<std::string> entries;
};

struct Function {
    std::string name;
    const emulated::Kernel* kernel;
};

struct State {
    std::mutex mutex;
    std::map<std::string, long> calls;
    // Address and length.
    std::map<uintptr_t, size_t> memory;
    size_t used_bytes = 0, most_bytes = 0;
    uint64_t release_threshold = 0;

    ~State() {
        const char* path = getenv("KVLAB_DRIVER_TRACE");
        FILE* file = path == nullptr ? nullptr : fopen(path, "w");
        if (file == nullptr) {
            return;
        }
        for (const auto& [name, count] : calls) {
            fprintf(file, "%s %ld\n", name.c_str(), count);
        }
        fprintf(file, "bytes-not-freed %zu\nbytes-at-most %zu\n", used_bytes, most_bytes);
        fclose(file);
    }
};

State& state() {
    static State all;
    return all;
}

void called(const std::string& name) {
    std::lock_guard<std::mutex> lock(state().mutex);
    state().calls[name]++;
}

bool has_device() {
    const char* devices = getenv("KVLAB_DRIVER_DEVICES");
    return devices == nullptr || strcmp(devices, "0") != 0;
}

Result take(uintptr_t* address, size_t n) {
    if (n == 0) {
        return INVALID_VALUE;
    }
    std::lock_guard<std::mutex> lock(state().mutex);
    if (state().used_bytes + n > TOTAL_BYTES) {
        return OUT_OF_MEMORY;
    }
    void* memory = aligned_alloc(256, (n + 255) / 256 * 256);
    // Numbers that are none: who reads before anybody wrote is found out.
    memset(memory, 0xff, n);
    *address = reinterpret_cast<uintptr_t>(memory);
    state().memory[*address] = n;
    state().used_bytes += n;
    state().most_bytes = std::max(state().most_bytes, state().used_bytes);
    return OK;
}

Result give_back(uintptr_t address) {
    std::lock_guard<std::mutex> lock(state().mutex);
    const auto found = state().memory.find(address);
    if (found == state().memory.end()) {
        return INVALID_VALUE;
    }
    state().used_bytes -= found->second;
    // Nobody may still count on what is in it.
    memset(reinterpret_cast<void*>(address), 0xff, found->second);
    state().memory.erase(found);
    free(reinterpret_cast<void*>(address));
    return OK;
}

bool is_inside(uintptr_t address, size_t n) {
    std::lock_guard<std::mutex> lock(state().mutex);
    auto found = state().memory.upper_bound(address);
    if (found == state().memory.begin()) {
        return false;
    }
    --found;
    return address + n <= found->first + found->second;
}

void* pointer(uintptr_t address) { return reinterpret_cast<void*>(address); }

} // namespace

#define DRIVER extern "C" int

DRIVER cuInit(unsigned) {
    called("cuInit");
    return has_device() ? OK : NO_DEVICE;
}
DRIVER cuDriverGetVersion(int* version) {
    *version = 13000;
    return OK;
}
DRIVER cuDeviceGetCount(int* count) {
    *count = has_device() ? 1 : 0;
    return OK;
}
DRIVER cuDeviceGet(int* device, int ordinal) {
    *device = ordinal;
    return ordinal == 0 && has_device() ? OK : INVALID_DEVICE;
}
DRIVER cuDeviceGetName(char* name, int bytes, int) {
    snprintf(name, static_cast<size_t>(bytes), "emulated GPU (kernels on the processor, no speed)");
    return OK;
}
DRIVER cuDeviceTotalMem_v2(size_t* bytes, int) {
    *bytes = TOTAL_BYTES;
    return OK;
}
DRIVER cuMemGetInfo_v2(size_t* free_bytes, size_t* total) {
    std::lock_guard<std::mutex> lock(state().mutex);
    *total = TOTAL_BYTES, *free_bytes = TOTAL_BYTES - state().used_bytes;
    return OK;
}
DRIVER cuDeviceGetAttribute(int* value, int attribute, int) {
    // Threads of a block, warp, clocks (1 GHz), multiprocessors, a bus of 256 bits, capability 8.0, memory pools.
    const std::map<int, int> values = {{1, 1024}, {10, 32}, {13, 1000000}, {16, MULTIPROCESSORS}, {36, 1000000}, {37, 256}, {75, 8}, {76, 0}, {115, 1}};
    const auto found = values.find(attribute);
    *value = found == values.end() ? 0 : found->second;
    return OK;
}
DRIVER cuDevicePrimaryCtxRetain(void** context, int) {
    *context = &state();
    return OK;
}
DRIVER cuDevicePrimaryCtxRelease_v2(int) { return OK; }
static thread_local void* context_of_thread = nullptr;
DRIVER cuCtxGetCurrent(void** context) {
    *context = context_of_thread;
    return OK;
}
DRIVER cuCtxSetCurrent(void* context) {
    context_of_thread = context;
    return OK;
}
DRIVER cuCtxSynchronize() {
    called("cuCtxSynchronize");
    return OK;
}
DRIVER cuStreamCreate(void** stream, unsigned) {
    *stream = &state();
    return OK;
}
DRIVER cuStreamDestroy_v2(void*) { return OK; }
DRIVER cuStreamSynchronize(void*) {
    called("cuStreamSynchronize");
    return OK;
}
DRIVER cuStreamWaitEvent(void*, void*, unsigned) {
    called("cuStreamWaitEvent");
    return OK;
}
DRIVER cuStreamIsCapturing(void*, int* status) {
    *status = 0;
    return OK;
}
DRIVER cuEventCreate(void** event, unsigned) {
    called("cuEventCreate");
    *event = &state();
    return OK;
}
DRIVER cuEventRecord(void*, void*) {
    called("cuEventRecord");
    return OK;
}
DRIVER cuEventSynchronize(void*) { return OK; }
DRIVER cuEventQuery(void*) { return OK; }
DRIVER cuEventElapsedTime_v2(float* ms, void*, void*) {
    *ms = 0.0f;
    return OK;
}
DRIVER cuEventDestroy_v2(void*) { return OK; }
DRIVER cuMemAlloc_v2(uintptr_t* address, size_t n) {
    called("cuMemAlloc");
    return take(address, n);
}
DRIVER cuMemAllocAsync(uintptr_t* address, size_t n, void*) {
    called("cuMemAlloc");
    return take(address, n);
}
DRIVER cuMemFree_v2(uintptr_t address) {
    called("cuMemFree");
    return give_back(address);
}
DRIVER cuMemFreeAsync(uintptr_t address, void*) {
    called("cuMemFree");
    return give_back(address);
}
DRIVER cuMemcpyHtoDAsync_v2(uintptr_t to, const void* from, size_t n, void*) {
    called("cuMemcpyHtoD");
    if (!is_inside(to, n)) {
        return INVALID_VALUE;
    }
    memcpy(pointer(to), from, n);
    return OK;
}
DRIVER cuMemcpyDtoHAsync_v2(void* to, uintptr_t from, size_t n, void*) {
    called("cuMemcpyDtoH");
    if (!is_inside(from, n)) {
        return INVALID_VALUE;
    }
    memcpy(to, pointer(from), n);
    return OK;
}
DRIVER cuMemcpyDtoDAsync_v2(uintptr_t to, uintptr_t from, size_t n, void*) {
    called("cuMemcpyDtoD");
    if (!is_inside(from, n) || !is_inside(to, n)) {
        return INVALID_VALUE;
    }
    memcpy(pointer(to), pointer(from), n);
    return OK;
}
DRIVER cuMemsetD8Async(uintptr_t to, unsigned char value, size_t n, void*) {
    called("cuMemset");
    if (!is_inside(to, n)) {
        return INVALID_VALUE;
    }
    memset(pointer(to), value, n);
    return OK;
}
DRIVER cuDeviceGetDefaultMemPool(void** pool, int) {
    *pool = &state();
    return OK;
}
DRIVER cuMemPoolSetAttribute(void*, int attribute, void* value) {
    // The release threshold.
    if (attribute != 4) {
        return INVALID_VALUE;
    }
    memcpy(&state().release_threshold, value, sizeof(uint64_t));
    return OK;
}
DRIVER cuMemPoolGetAttribute(void*, int attribute, void* value) {
    if (attribute != 4) {
        return INVALID_VALUE;
    }
    memcpy(value, &state().release_threshold, sizeof(uint64_t));
    return OK;
}
// A module is PTX as text; its entries are the kernels that it would have.
DRIVER cuModuleLoadData(Module** module, const char* image) {
    called("cuModuleLoadData");
    if (getenv("KVLAB_DRIVER_OLD") != nullptr) {
        return OLD_DRIVER;
    }
    if (strstr(image, ".version") == nullptr) {
        return BAD_PTX;
    }
    *module = new Module;
    for (const char* at = image; (at = strstr(at, ".entry ")) != nullptr;) {
        at += strlen(".entry ");
        const size_t n = strcspn(at, "( \t\n");
        (*module)->entries.emplace(at, n);
    }
    return OK;
}
DRIVER cuModuleUnload(Module*) { return OK; }
DRIVER cuModuleGetFunction(Function** function, Module* module, const char* name) {
    const auto found = emulated::kernels().find(name);
    if (module->entries.count(name) == 0 || found == emulated::kernels().end()) {
        fprintf(stderr, "emulated driver: there is no kernel %s%s\n", name, module->entries.count(name) == 0 ? "" : " for this processor");
        return NOT_FOUND;
    }
    *function = new Function{name, &found->second};
    return OK;
}
DRIVER cuFuncSetAttribute(Function*, int, int) { return OK; }
DRIVER cuLaunchKernel(
    Function* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared_bytes, void*, void** arguments,
    void**) {
    called("cuLaunchKernel");
    called("kernel:" + function->name);
    emulated::launch({gx, gy, gz}, {bx, by, bz}, shared_bytes, 0, [&] { function->kernel->call(arguments); });
    return OK;
}
DRIVER cuGetErrorName(int error, const char** name) {
    *name = error == NO_DEVICE ? "CUDA_ERROR_NO_DEVICE" : error == INVALID_DEVICE ? "CUDA_ERROR_INVALID_DEVICE" : error == OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : "CUDA_ERROR";
    return OK;
}
DRIVER cuGetErrorString(int error, const char** text) {
    *text = error == NO_DEVICE ? "no CUDA-capable device is detected" : error == INVALID_DEVICE ? "invalid device ordinal" : error == OUT_OF_MEMORY ? "out of memory" : "an error of the emulated driver";
    return OK;
}
