/* files_pip.h - versions that a script or Dockerfile installs, against each other. */
#ifndef DOCTOR_FILES_PIP_H
#define DOCTOR_FILES_PIP_H

#include "doctor/script.h"

/** pip and apt lines: mixed interpreters, wheels of another machine, packages off one row of the
 *  compatibility table (with the CANN version of the base image where the file names one). */
void files_pip_check(struct files_ctx *c, const struct script_commands *cmds);

/* One row of what was released together.  Versions as text; ranges end with the last Python. */
struct files_pip_row {
    const char *vllm_ascend;
    const char *vllm;
    const char *python_min; // "3.10"
    const char *python_max;
    const char *cann;
    const char *torch;
    const char *torch_npu;
};
/** Row of a vllm-ascend version, or NULL. */
const struct files_pip_row *files_pip_find(struct str vllm_ascend);
const struct files_pip_row *files_pip_at(uint32_t idx);

#endif
