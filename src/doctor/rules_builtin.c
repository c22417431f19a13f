#include "doctor/rules_builtin.h"

#include "base/check.h"
#include "doctor/rules.h"

static const struct {
    const char *name;
    struct str (*text)(void);
} files[] = {
    {"facts.rules", rules_builtin_facts},       {"ascend.rules", rules_builtin_ascend},
    {"nvidia.rules", rules_builtin_nvidia},     {"cambricon.rules", rules_builtin_cambricon},
    {"mthreads.rules", rules_builtin_mthreads}, {"engine.rules", rules_builtin_engine},
    {"host.rules", rules_builtin_host},
};

enum status rules_add_builtin(struct rules *r, struct buf *faults)
{
    enum status rc = OK;

    for (size_t i = 0; i < ARRAY_COUNT(files); i++) {
        enum status one = rules_add(r, str_from_c(files[i].name), files[i].text(), faults);

        rc = rc == OK ? one : rc;
    }
    return rc;
}
