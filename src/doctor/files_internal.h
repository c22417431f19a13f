/* files_internal.h - what the checks of one file share: places, verdicts, corrections. */
#ifndef DOCTOR_FILES_INTERNAL_H
#define DOCTOR_FILES_INTERNAL_H

#include "base/arena.h"
#include "base/str.h"
#include "doctor/files.h"

#include <stdbool.h>
#include <stdint.h>

#define FILES_NOTES_MAX 4000
#define FILES_EDITS_MAX 4000
#define FILES_WORDS_MAX 50000

/* Bits of files_ctx.vendors and files_container.vendors. */
enum {
    VENDOR_NVIDIA = 1,
    VENDOR_ASCEND = 2,
    VENDOR_CAMBRICON = 4,
    VENDOR_MTHREADS = 8,
};

enum files_engine {
    ENGINE_NONE,
    ENGINE_VLLM,
    ENGINE_SGLANG,
    ENGINE_LLAMA,
    ENGINE_MINDIE,
    ENGINE_KONTOR,
    ENGINE_LMDEPLOY,
};

enum files_note_kind { NOTE_ADVICE, NOTE_WRONG };

struct files_note {
    uint32_t line; // 1-based
    enum files_note_kind kind;
    struct str id;
    struct str text;
};

/* Bytes [begin, end) become `with`.  One \x01 in `with`: the place may leave an empty line. */
struct files_edit {
    size_t begin;
    size_t end;
    struct str with;
};

/* One word of a command, without its quotes; the range includes them. */
struct files_word {
    struct str text;
    size_t begin;
    size_t end;
    bool expands; // holds $ or a backquote: the value is not known here
};

struct files_command {
    struct files_word *words;
    uint32_t n_words;
    char after;     // '\n', ';', '&' (background), 'a' &&, 'o' ||, '|', 0 end of text
    bool is_list;   // a JSON or YAML list: no shell sees it
    bool in_pipe;   // reads from a pipe
    bool has_items; // words are YAML items: a removal removes the item
};

/* NAME=value wherever it stands. */
struct files_env {
    struct str name;
    struct str value; // without quotes that the reader of the file removes
    size_t at;        // of the name
    size_t begin;     // the value in the source, quotes included
    size_t end;
    bool known;      // no expansion inside
    bool keeps_quot; // quotes written here become part of the value
};

/* What the three ways to start a container say in common. */
struct files_container {
    struct str name;
    size_t at; // where the container begins
    struct str image;
    size_t image_at;
    struct files_command command; // what runs: entry point and arguments, as far as given
    bool has_entrypoint;          // the file replaces the image's entry point
    struct files_env *env;
    uint32_t n_env;
    uint32_t vendors;
    enum files_engine engine;
    bool ipc_host;
    bool net_host;
    bool privileged;
    bool has_shm;
    uint64_t shm_bytes;
    size_t shm_at;
    bool has_mounts;
    struct str mounts[32]; // targets in the container
    uint32_t n_mounts;
    struct str nodes[64]; // /dev/... handed in
    uint32_t n_nodes;
    struct str runtime;
    bool asks_gpu; // gpus, reservations or a resource of a device plug-in
    uint64_t n_gpus;
    bool n_gpus_known;
    size_t gpus_at;
    enum files_kind kind;
    size_t insert_at;  // Compose: begin of the service's first line; 0: nothing can be put in
    struct str indent; // of that line
};

struct files_ctx {
    struct arena *arena;
    struct report *report;
    struct str path;
    struct str text;
    enum files_kind kind;
    uint32_t *line_at; // byte offset of each line
    uint32_t n_lines;
    struct files_note *notes;
    uint32_t n_notes;
    struct files_edit *edits;
    uint32_t n_edits;
    uint32_t vendors;
    bool no_memory;
};

/** printf into the arena; empty without memory. */
struct str files_text(struct files_ctx *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
/** 1-based line of a byte. */
uint32_t files_line_of(const struct files_ctx *c, size_t at);
/** A line without its end. */
struct str files_line(const struct files_ctx *c, uint32_t line);
/** A certain problem at byte `at`.  One per id and line. */
void files_wrong(struct files_ctx *c, size_t at, const char *id, struct str title, struct str cause,
                 struct str fix);
/** As files_wrong, likely; `confirm` says what settles it. */
void files_likely(struct files_ctx *c, size_t at, const char *id, struct str title,
                  struct str cause, struct str fix, struct str confirm);
/** A remark beside a kept line; no finding. */
void files_advise(struct files_ctx *c, size_t at, struct str text);
/** A correction; overlapping ones lose against the first. */
void files_replace(struct files_ctx *c, size_t begin, size_t end, struct str with);
/** Some finding with this id exists. */
bool files_has(const struct files_ctx *c, const char *id);

/** Contains, ASCII case ignored. */
bool files_has_text(struct str s, const char *needle);
/** Number of digits at the front and their value; 0 digits: false. */
bool files_number(struct str s, uint64_t *ret_value);
/** "1g", "512m", "64MB", "2Gi" in bytes; false for anything else. */
bool files_bytes(struct str s, uint64_t *ret_bytes);
/** "v0.11.0rc1" -> 0*1000000+11*1000+0; false when it is no version. */
bool files_version(struct str s, uint32_t *ret_version);
/** A value nobody filled in: <your key>, xxxx, PIP:PORT, REPLACE_ME, x.x.x.x. */
bool files_placeholder(struct str value);

/* files_env.c */
/** Judge one variable.  `vendors`: of the container or file it is for. */
void files_env_check(struct files_ctx *c, const struct files_env *e, uint32_t vendors,
                     enum files_engine engine);
/** Vendors that a variable's name speaks for, 0: none. */
uint32_t files_env_vendor(struct str name);
/** The variable of that name, or NULL. */
const struct files_env *files_env_find(const struct files_env *env, uint32_t n, const char *name);
/** Split "NAME=value"; false when it is none. */
bool files_env_split(struct str word, struct str *ret_name, struct str *ret_value);

/* files_command.c */
/** Which engine a command starts; *ret_first is the first word behind the start form. */
enum files_engine files_command_engine(const struct files_command *cmd, uint32_t *ret_first);
/** Judge program, module and flags. `k` may be NULL. */
void files_command_check(struct files_ctx *c, const struct files_command *cmd,
                         const struct files_container *k);
/** Value of the first of the flags (names with dashes, separated by blanks), or NULL. */
const struct files_word *files_command_value(const struct files_command *cmd, const char *names);
/** TP x PP x DP as far as it is written; 1 when nothing is. */
uint64_t files_command_ranks(const struct files_command *cmd);
/** Vendors that a command speaks for. */
uint32_t files_command_vendors(const struct files_command *cmd);

/* files_container.c */
/** Vendors that an image name speaks for. */
uint32_t files_container_image_vendors(struct str image);
/** Engine that an image starts by itself, ENGINE_NONE when it starts none. */
enum files_engine files_container_image_engine(struct str image);
/** Fill vendors and engine from the rest, then judge. */
void files_container_check(struct files_ctx *c, struct files_container *k);

#endif
