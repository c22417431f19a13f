/* host.h - what a host looks like before an engine is started on it: cards, nodes, driver,
 * runtimes, packages, memory, ports, model.
 *
 * Reads files below one folder (the real root or a test's), starts nothing, opens no device and no
 * network.  Each check answers ok, problem or unknown with the reason.  One thread.
 */
#ifndef DOCTOR_HOST_H
#define DOCTOR_HOST_H

#include "base/status.h"
#include "doctor/report.h"

struct host_request {
    const char *root;   // NULL: "/"
    const char *engine; // "vllm-ascend", "vllm", "sglang", "mindie", "llama.cpp", "kontor" or NULL
    const char *model;  // checkpoint folder or NULL
    const char *image;  // container image or NULL
};

/** All checks in order.  Errors: NOT_FOUND (no such root or model), INVALID (unknown engine, with
 *  the known ones), NO_MEMORY. */
MUST_USE enum status host_run(const struct host_request *q, struct report *report,
                              struct error *err);

#endif
