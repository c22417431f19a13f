/* dockerfile_build.h - RUN lines: what a build without driver and cards can and cannot do. */
#ifndef DOCTOR_DOCKERFILE_BUILD_H
#define DOCTOR_DOCKERFILE_BUILD_H

#include "doctor/dockerfile.h"

/** Judge all RUN lines.  Errors: LIMIT, NO_MEMORY. */
MUST_USE enum status dockerfile_build_check(struct files_ctx *c, const struct dockerfile *f,
                                            struct error *err);

#endif
