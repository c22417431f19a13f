/* files_kinds.h - one check per kind of file; files.c's table of them.  Own folder only. */
#ifndef DOCTOR_FILES_KINDS_H
#define DOCTOR_FILES_KINDS_H

#include "doctor/files_internal.h"

/** Judge c->text as its kind.  Errors: INVALID (cut, cannot be read), LIMIT, NO_MEMORY. */
MUST_USE enum status files_kinds_check(struct files_ctx *c, struct error *err);

/** Shell script. */
MUST_USE enum status script_check(struct files_ctx *c, struct error *err);
/** Dockerfile. */
MUST_USE enum status dockerfile_check(struct files_ctx *c, struct error *err);
/** Compose file. */
MUST_USE enum status compose_check(struct files_ctx *c, struct error *err);
/** Docker's daemon.json. */
MUST_USE enum status daemon_check(struct files_ctx *c, struct error *err);
/** Kubernetes objects, one or more documents. */
MUST_USE enum status manifest_check(struct files_ctx *c, struct error *err);
/** Variables, one per line. */
MUST_USE enum status dotenv_check(struct files_ctx *c, struct error *err);

#endif
