#pragma once

/// Marks a place in a protocol between processes at which a test kills one of them. Nothing outside of tests.
#ifdef TROUPE_PROTOCOL_STEPS
namespace troupe {
inline void (*protocolStep)() = nullptr;
}
#define PROTOCOL_STEP() (troupe::protocolStep != nullptr ? troupe::protocolStep() : void())
#else
#define PROTOCOL_STEP() void()
#endif
