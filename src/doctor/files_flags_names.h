/* files_flags_names.h - current flag names per engine, NULL at the end. */
#ifndef DOCTOR_FILES_FLAGS_NAMES_H
#define DOCTOR_FILES_FLAGS_NAMES_H

extern const char *const files_flags_names_vllm[];
extern const char *const files_flags_names_sglang[];
extern const char *const files_flags_names_llama[];

#endif
