/* rules_builtin.h - the rule files of share/doctor, embedded by tools/embed.py; see rules.h. */
#ifndef DOCTOR_RULES_BUILTIN_H
#define DOCTOR_RULES_BUILTIN_H

#include "base/str.h"

/** share/doctor/facts.rules */
struct str rules_builtin_facts(void);
/** share/doctor/ascend.rules */
struct str rules_builtin_ascend(void);
/** share/doctor/nvidia.rules */
struct str rules_builtin_nvidia(void);
/** share/doctor/cambricon.rules */
struct str rules_builtin_cambricon(void);
/** share/doctor/mthreads.rules */
struct str rules_builtin_mthreads(void);
/** share/doctor/engine.rules */
struct str rules_builtin_engine(void);
/** share/doctor/host.rules */
struct str rules_builtin_host(void);

#endif
