// What the kernel library was built with, so that Python can say which path runs.

#if defined(__x86_64__) || defined(_M_X64)
#define CROSSENT_ARCHITECTURE "x86_64"
#elif defined(__aarch64__) || defined(_M_ARM64)
#define CROSSENT_ARCHITECTURE "aarch64"
#else
#define CROSSENT_ARCHITECTURE "other"
#endif

#if defined(__VERSION__)
#define CROSSENT_COMPILER __VERSION__
#else
#define CROSSENT_COMPILER "unknown compiler"
#endif

#if defined(_WIN32)
#define CROSSENT_EXPORT extern "C" __declspec(dllexport)
#else
#define CROSSENT_EXPORT extern "C" __attribute__((visibility("default")))
#endif

// Raised whenever a signature of the C interface changes; the binding refuses any other number.
CROSSENT_EXPORT int crossent_abi_version() { return 1; }

CROSSENT_EXPORT const char* crossent_architecture() { return CROSSENT_ARCHITECTURE; }

CROSSENT_EXPORT const char* crossent_compiler() { return CROSSENT_COMPILER; }
