#pragma once

/// Marks a place in a protocol between processes at which a test kills one of them. Nothing outside of tests.
#ifdef TROUPE_CRASH_POINTS
namespace troupe {
inline void (*crashPoint)() = nullptr;
}
#define CRASH_POINT() (troupe::crashPoint != nullptr ? troupe::crashPoint() : void())
#else
#define CRASH_POINT() void()
#endif
