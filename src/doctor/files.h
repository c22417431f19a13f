/* files.h - `kontor doctor --file FILE`: entry script, Dockerfile, Compose file, daemon.json,
 * Kubernetes manifest or .env, judged line by line, and corrected on request.
 *
 * Reads one file, never runs anything and never follows what the file names.  Untrusted input:
 * size, lines, words, nesting and nodes are limited.  One thread.
 */
#ifndef DOCTOR_FILES_H
#define DOCTOR_FILES_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/status.h"
#include "doctor/report.h"

#include <stdbool.h>

#define FILES_BYTES_MAX (4u << 20)
#define FILES_LINES_MAX 100000

enum files_kind {
    FILES_UNKNOWN,
    FILES_SCRIPT,
    FILES_DOCKERFILE,
    FILES_COMPOSE,
    FILES_DAEMON,
    FILES_MANIFEST,
    FILES_DOTENV,
};

struct files_ctx;

/** Short name of a kind, "entry script". */
const char *files_kind_name(enum files_kind kind);

/** What a text is, by the file's name and, where that leaves doubt, by its content. */
enum files_kind files_recognise(struct str name, struct str text);

/**
 * Judge `text`.  Findings go to `report` (with `name` as their file).
 *
 * arena    holds the result; at least 64 MiB of ceiling for the largest file
 * Errors: INVALID (binary, unknown kind, cut short), LIMIT (too big, too deep), NO_MEMORY; then the
 * report is as before or holds findings of the part that was read.
 */
MUST_USE enum status files_check(struct arena *arena, struct str name, struct str text,
                                 struct report *report, struct files_ctx **ret_ctx,
                                 struct error *err);
/** One line of output per line of the file: kept, translated to, wrong. */
void files_print(const struct files_ctx *c, bool color, bool all, struct buf *out);
/** The same as a JSON array. */
void files_json(const struct files_ctx *c, struct buf *out);
/** The corrected text; equal to the input when nothing can be corrected. */
void files_fixed_text(const struct files_ctx *c, struct buf *out);
/**
 * Correct again and again until nothing changes: one correction can bring another fault to light.
 *
 * ret_left  problems that the corrected text still has
 * Errors: those of files_check.
 */
MUST_USE enum status files_fix(struct arena *arena, struct str name, struct str text,
                               struct buf *out, uint32_t *ret_left, struct error *err);
/** How many corrections files_fixed_text makes. */
uint32_t files_edit_count(const struct files_ctx *c);
enum files_kind files_kind_of(const struct files_ctx *c);

/* What `kontor doctor --file` asks for. */
struct files_request {
    const char *path;
    bool fix;   // write the corrected file beside it
    bool force; // over an existing one
    bool json;
    bool color;
    bool all; // print kept lines of long files and ok answers too
};

/**
 * The whole of `--file` for one file: read, judge, write the corrected file.  Findings go to
 * `report`; `out` gets the lines, for people or (q->json) as one JSON object.
 * Errors: NOT_FOUND, IO, INVALID, LIMIT, BUSY (the corrected file exists), NO_MEMORY.
 */
MUST_USE enum status files_run(const struct files_request *q, struct report *report,
                               struct buf *out, struct error *err);
/** "start.sh" -> "start.fixed.sh", "Dockerfile" -> "Dockerfile.fixed", ".env" -> ".env.fixed". */
void files_fixed_path(struct str path, struct buf *out);

#endif
