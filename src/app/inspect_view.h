/* inspect_view.h - the report of `kontor inspect` as text and as JSON.  Pure formatting. */
#ifndef APP_INSPECT_VIEW_H
#define APP_INSPECT_VIEW_H

#include "base/buf.h"
#include "model/checkpoint.h"
#include "model/model.h"

#include <stdbool.h>

/* Everything that was found out; borrowed pointers. */
struct inspect_view {
    const char *source;                  // folder or "preset:NAME"
    const struct model_config *config;   // NULL: no model at all
    bool has_shape;                      // config.json could be read and is supported
    const struct checkpoint *checkpoint; // NULL: no weight files
    const struct model_plan *plan;       // NULL: none could be made
    const char *plan_problem;            // why it does not fit, or NULL
    uint32_t max_model_len;
    uint32_t max_num_seqs;
    enum dtype weight_dtype;
    bool all_tensors;  // one line per tensor instead of one per kind
    struct str report; // lines of faults and "note: " lines
};

/** The report for people. */
void inspect_view_text(const struct inspect_view *v, struct buf *out);
/** The report as one JSON object and a newline. */
void inspect_view_json(const struct inspect_view *v, struct buf *out);
/** Number of report lines that are faults. */
uint32_t inspect_view_faults(struct str report);

#endif
