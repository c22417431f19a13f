#include "model/checkpoint.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/json.h"
#include "model/folder.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SINGLE_NAME "model.safetensors"
#define INDEX_NAME "model.safetensors.index.json"
#define ARENA_BYTES_MAX ((size_t)1 << 30)

struct shard {
    const char *name;         // in the arena
    struct safetensors *file; // owned; NULL when it could not be opened
    uint32_t n_promised;      // tensors the index places here
};

struct checkpoint {
    struct arena *arena;  // owned
    struct shard *shards; // owned, [n_shards]
    uint32_t n_shards;
    struct tensor *tensors; // owned, [n_tensors] by shard and offset
    uint32_t n_tensors;
    uint32_t *slots; // owned, hash table by name, tensor idx + 1; n_slots is a power of two
    uint32_t n_slots;
    const char **absent; // owned, [n_absent] sorted: names the index promises and no shard has
    uint32_t n_absent;
    bool is_unlisted; // there is no readable list of tensors at all
};

/* ---- the list of tensors ------------------------------------------------------------------- */

static uint32_t slot_of(const struct checkpoint *c, const char *name)
{
    uint32_t mask = c->n_slots - 1;
    uint32_t at = (uint32_t)hash_bytes(name, strlen(name), hash_process_seed()) & mask;

    while (c->slots[at] != 0 && strcmp(c->tensors[c->slots[at] - 1].name, name) != 0) {
        at = (at + 1) & mask;
    }
    return at;
}

const struct tensor *checkpoint_find(const struct checkpoint *c, const char *name)
{
    uint32_t entry = c->n_slots == 0 ? 0 : c->slots[slot_of(c, name)];

    return entry == 0 ? NULL : &c->tensors[entry - 1];
}

static uint32_t count_tensors(const struct checkpoint *c)
{
    uint64_t total = 0;

    for (uint32_t i = 0; i < c->n_shards; i++) {
        uint32_t n = 0;

        if (c->shards[i].file != NULL) {
            (void)safetensors_tensors(c->shards[i].file, &n);
        }
        total += n;
    }
    return u32_from_size(total); // 4096 shards of 200,000
}

static void add_tensor(struct checkpoint *c, const struct tensor *t, uint32_t shard_idx,
                       struct faults *faults)
{
    const struct tensor *other;
    struct tensor *mine = &c->tensors[c->n_tensors];
    uint32_t at = slot_of(c, t->name);

    if (c->slots[at] != 0) {
        other = &c->tensors[c->slots[at] - 1];
        faults_add(faults, E_INVALID, c->shards[shard_idx].name, "tensor %s is in %s already",
                   t->name, c->shards[other->file_idx].name);
        return;
    }
    *mine = *t;
    mine->file_idx = shard_idx;
    c->n_tensors++;
    c->slots[at] = c->n_tensors;
}

static enum status list_tensors(struct checkpoint *c, struct faults *faults)
{
    uint32_t total = count_tensors(c);
    uint64_t n_slots = 16;

    while (n_slots < (uint64_t)total * 2) {
        n_slots *= 2;
    }
    c->n_slots = u32_from_size(n_slots);
    c->tensors = calloc(total + 1, sizeof(*c->tensors));
    c->slots = calloc(c->n_slots, sizeof(*c->slots));
    if (c->tensors == NULL || c->slots == NULL) {
        c->n_slots = 0;
        faults_add(faults, E_NO_MEMORY, "", "no memory for the list of tensors");
        return E_NO_MEMORY;
    }
    for (uint32_t i = 0; i < c->n_shards; i++) {
        const struct tensor *t;
        uint32_t n = 0;

        if (c->shards[i].file == NULL) {
            continue;
        }
        t = safetensors_tensors(c->shards[i].file, &n);
        for (uint32_t j = 0; j < n; j++) {
            add_tensor(c, &t[j], i, faults);
        }
    }
    return OK;
}

/* ---- the index ----------------------------------------------------------------------------- */

/* A file of the same folder, and safe to print. */
static bool is_plain_name(struct str name)
{
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] <= ' ' || name.ptr[i] >= 0x7f || name.ptr[i] == '/') {
            return false;
        }
    }
    return name.len > 0 && name.len < 256 && name.ptr[0] != '.';
}

/* The shard of that name, added when new; NULL when there are too many or no memory is left. */
static struct shard *shard_named(struct checkpoint *c, struct str name)
{
    struct str copy;

    for (uint32_t i = c->n_shards; i-- > 0;) { // neighbours in the index share a shard
        if (str_eq(str_from_c(c->shards[i].name), name)) {
            return &c->shards[i];
        }
    }
    if (c->n_shards == CHECKPOINT_SHARDS_MAX || arena_dup(c->arena, name, &copy) != OK) {
        return NULL;
    }
    c->shards[c->n_shards] = (struct shard){.name = copy.ptr};
    return &c->shards[c->n_shards++];
}

static int by_name(const void *a, const void *b)
{
    const struct shard *x = a;
    const struct shard *y = b;

    return strcmp(x->name, y->name);
}

/* Collect the shards that weight_map names. */
static void collect_shards(struct checkpoint *c, const struct json_value *map,
                           struct faults *faults)
{
    for (uint32_t i = 0; i < map->n_items; i++) {
        struct str file = json_string_or(&map->members[i].value, STR(""));
        struct shard *shard;

        if (!is_plain_name(file)) {
            faults_add(faults, E_INVALID, INDEX_NAME,
                       "tensor %.*s: the file must be the plain name of a file in the same folder",
                       STR_ARG(map->members[i].key));
            continue;
        }
        shard = shard_named(c, file);
        if (shard == NULL) {
            faults_add(faults, E_LIMIT, INDEX_NAME, "names more than %d files",
                       CHECKPOINT_SHARDS_MAX);
            return;
        }
        shard->n_promised++;
    }
    qsort(c->shards, c->n_shards, sizeof(*c->shards), by_name);
}

/* One row of the index being checked: `listed` [n_tensors] marks tensors the index knows. */
struct index_check {
    struct checkpoint *c;
    bool *listed;
    struct faults *faults;
};

/* Does the tensor lie where the index says?  Shards that could not be read were reported
 * already. */
static void check_entry(struct index_check *check, const char *name, const char *file)
{
    struct checkpoint *c = check->c;
    struct shard key = {.name = file};
    const struct shard *promised =
        bsearch(&key, c->shards, c->n_shards, sizeof(*c->shards), by_name);
    const struct tensor *t = checkpoint_find(c, name);

    if (t == NULL) {
        c->absent[c->n_absent++] = name;
    } else {
        check->listed[t - c->tensors] = true;
    }
    if (promised == NULL || promised->file == NULL) {
        return;
    }
    if (t == NULL) {
        faults_add(check->faults, E_INVALID, INDEX_NAME, "tensor %s should be in %s, but is not",
                   name, promised->name);
    } else if (&c->shards[t->file_idx] != promised) {
        faults_add(check->faults, E_INVALID, INDEX_NAME, "tensor %s should be in %s, but is in %s",
                   name, promised->name, c->shards[t->file_idx].name);
    }
}

static int by_text(const void *a, const void *b)
{
    const char *const *x = a;
    const char *const *y = b;

    return strcmp(*x, *y);
}

static void check_index(struct checkpoint *c, const struct json_value *map, struct faults *faults)
{
    struct index_check check = {.c = c, .faults = faults};

    check.listed = calloc((size_t)c->n_tensors + 1, sizeof(*check.listed));
    c->absent = calloc(map->n_items, sizeof(*c->absent));
    if (check.listed == NULL || c->absent == NULL) {
        faults_add(faults, E_NO_MEMORY, INDEX_NAME, "no memory");
        free(check.listed);
        return;
    }
    for (uint32_t i = 0; i < map->n_items; i++) {
        struct str file = json_string_or(&map->members[i].value, STR(""));
        struct str name;
        struct str copy;

        if (is_plain_name(file) && arena_dup(c->arena, file, &copy) == OK &&
            arena_dup(c->arena, map->members[i].key, &name) == OK) {
            check_entry(&check, name.ptr, copy.ptr);
        }
    }
    qsort(c->absent, c->n_absent, sizeof(*c->absent), by_text);
    for (uint32_t i = 0; i < c->n_tensors; i++) {
        if (!check.listed[i]) {
            faults_note(faults, c->shards[c->tensors[i].file_idx].name,
                        "tensor %s is not in the index", c->tensors[i].name);
        }
    }
    free(check.listed);
}

bool checkpoint_absence_is_known(const struct checkpoint *c, const char *name)
{
    return c->is_unlisted || (c->n_absent > 0 && bsearch(&name, c->absent, c->n_absent,
                                                         sizeof(*c->absent), by_text) != NULL);
}

static bool is_listed(const struct checkpoint *c, const char *name)
{
    for (uint32_t i = 0; i < c->n_shards; i++) {
        if (strcmp(c->shards[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static void note_stray_files(const struct checkpoint *c, const char *dir, struct faults *faults)
{
    DIR *d = opendir(dir);
    const struct dirent *entry;

    if (d == NULL) {
        return;
    }
    while ((entry = readdir(d)) != NULL) {
        if (str_starts(str_from_c(entry->d_name), STR("model")) &&
            str_ends(str_from_c(entry->d_name), STR(".safetensors")) &&
            !is_listed(c, entry->d_name)) {
            faults_note(faults, entry->d_name, "is not in the index and is not read");
        }
    }
    (void)closedir(d);
}

/* ---- the folder ---------------------------------------------------------------------------- */

static void open_shards(struct checkpoint *c, const char *dir, struct faults *faults)
{
    for (uint32_t i = 0; i < c->n_shards; i++) {
        struct shard *s = &c->shards[i];
        char path[PATH_MAX];
        struct error err;

        if (!folder_has(dir, s->name)) {
            faults_add(faults, E_NOT_FOUND, s->name,
                       "is missing (the index places %u tensors there); download it again",
                       s->n_promised);
        } else if (folder_path(dir, s->name, path, &err) != OK) {
            faults_add_error(faults, s->name, &err);
        } else if (safetensors_open(path, c->arena, faults, &s->file) != OK) {
            s->file = NULL; // its faults are gathered
        }
    }
}

static void open_indexed(struct checkpoint *c, const char *dir, struct faults *faults)
{
    struct arena *tree = arena_create((size_t)512 << 20);
    const struct json_value *root = NULL;
    const struct json_value *map;
    struct buf text;
    struct error err = {.status = E_NO_MEMORY, .text = "no memory"};
    enum status rc = tree == NULL ? E_NO_MEMORY : OK;

    buf_init(&text, CHECKPOINT_INDEX_BYTES_MAX);
    if (rc == OK) {
        rc = folder_read(dir, INDEX_NAME, &text, &err);
    }
    if (rc == OK) {
        rc = json_parse(tree, buf_str(&text), NULL, &root, &err);
    }
    map = rc == OK ? json_get(root, STR("weight_map")) : NULL;
    if (rc == OK && (map == NULL || map->kind != JSON_OBJECT || map->n_items == 0)) {
        rc = error_set(&err, E_INVALID, "has no weight_map that names the files of the tensors");
    }
    if (rc != OK) {
        faults_add_error(faults, INDEX_NAME, &err);
        c->is_unlisted = true;
        goto out;
    }
    collect_shards(c, map, faults);
    open_shards(c, dir, faults);
    if (list_tensors(c, faults) == OK) {
        check_index(c, map, faults);
        note_stray_files(c, dir, faults);
    }
out:
    buf_done(&text);
    arena_destroy(tree);
}

static void open_single(struct checkpoint *c, const char *dir, struct faults *faults)
{
    char path[PATH_MAX];
    struct error err;

    c->is_unlisted = true; // until it was read
    if (folder_path(dir, SINGLE_NAME, path, &err) != OK) {
        faults_add_error(faults, SINGLE_NAME, &err);
        return;
    }
    c->shards[c->n_shards++] = (struct shard){.name = SINGLE_NAME};
    if (safetensors_open(path, c->arena, faults, &c->shards[0].file) != OK) {
        return; // its faults are gathered
    }
    c->is_unlisted = list_tensors(c, faults) != OK;
}

/* Neither file is there: say what was found instead. */
static void report_no_weights(const char *dir, struct faults *faults)
{
    static const char *const others[] = {"pytorch_model.bin", "pytorch_model.bin.index.json",
                                         "consolidated.safetensors"};

    for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
        if (folder_has(dir, others[i])) {
            faults_add(faults, E_NOT_FOUND, SINGLE_NAME,
                       "is missing; %s is there, but only safetensors files are read: convert it",
                       others[i]);
            return;
        }
    }
    faults_add(faults, E_NOT_FOUND, SINGLE_NAME,
               "is missing, and so is " INDEX_NAME ": the folder has no weights");
}

struct checkpoint *checkpoint_open(const char *dir, struct faults *faults)
{
    struct checkpoint *c = calloc(1, sizeof(*c));

    if (c == NULL) {
        return NULL;
    }
    c->arena = arena_create(ARENA_BYTES_MAX);
    c->shards = calloc(CHECKPOINT_SHARDS_MAX, sizeof(*c->shards));
    if (c->arena == NULL || c->shards == NULL) {
        checkpoint_close(c);
        return NULL;
    }
    if (folder_has(dir, INDEX_NAME)) {
        open_indexed(c, dir, faults);
    } else if (folder_has(dir, SINGLE_NAME)) {
        open_single(c, dir, faults);
    } else {
        c->is_unlisted = true;
        report_no_weights(dir, faults);
    }
    return c;
}

void checkpoint_close(struct checkpoint *c)
{
    if (c == NULL) {
        return;
    }
    for (uint32_t i = 0; i < c->n_shards; i++) {
        safetensors_close(c->shards[i].file);
    }
    free(c->shards);
    free(c->tensors);
    free(c->slots);
    free(c->absent);
    arena_destroy(c->arena);
    free(c);
}

uint32_t checkpoint_tensor_count(const struct checkpoint *c)
{
    return c->n_tensors;
}

const struct tensor *checkpoint_tensor(const struct checkpoint *c, uint32_t idx)
{
    CHECK(idx < c->n_tensors);
    return &c->tensors[idx];
}

const char *checkpoint_file_name(const struct checkpoint *c, uint32_t file_idx)
{
    CHECK(file_idx < c->n_shards);
    return c->shards[file_idx].name;
}

uint32_t checkpoint_file_count(const struct checkpoint *c)
{
    return c->n_shards;
}

uint64_t checkpoint_bytes(const struct checkpoint *c)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < c->n_shards; i++) {
        sum += c->shards[i].file == NULL ? 0 : safetensors_file_bytes(c->shards[i].file);
    }
    return sum;
}

enum status checkpoint_read(const struct checkpoint *c, const struct tensor *t, uint64_t begin,
                            uint64_t n_bytes, void *ret_bytes, struct error *err)
{
    CHECK(t->file_idx < c->n_shards && c->shards[t->file_idx].file != NULL);
    return safetensors_read(c->shards[t->file_idx].file, t, begin, n_bytes, ret_bytes, err);
}

enum status checkpoint_check_unchanged(const struct checkpoint *c, struct error *err)
{
    for (uint32_t i = 0; i < c->n_shards; i++) {
        if (c->shards[i].file != NULL) {
            enum status rc = safetensors_check_unchanged(c->shards[i].file, err);

            if (rc != OK) {
                return rc;
            }
        }
    }
    return OK;
}
