/* temp_folder.h - a folder that lives as long as one test, and safetensors files to put into it. */
#ifndef TESTS_SUPPORT_TEMP_FOLDER_H
#define TESTS_SUPPORT_TEMP_FOLDER_H

#include <stddef.h>
#include <stdint.h>

struct temp_folder {
    char path[256];
};

/** Fails the test when it cannot be made. */
void temp_folder_open(struct temp_folder *f);
/** Removes the folder with everything in it (one level). */
void temp_folder_close(struct temp_folder *f);
/** "<folder>/<name>" into path. */
void temp_folder_path(const struct temp_folder *f, const char *name, char path[512]);
/** Replace a file. */
void temp_folder_write(const struct temp_folder *f, const char *name, const void *bytes, size_t n);
void temp_folder_text(const struct temp_folder *f, const char *name, const char *text);
/** Copy a file of tests/ ("data/glm4/config.json") under its own name. */
void temp_folder_copy(const struct temp_folder *f, const char *relative);
/** Replace the first `from` in a file by `to`; fails the test when it is not there. */
void temp_folder_edit(const struct temp_folder *f, const char *name, const char *from,
                      const char *to);
void temp_folder_remove(const struct temp_folder *f, const char *name);

/* A file of the safetensors format under construction; `header` is what stands between the
 * braces. */
struct temp_tensor {
    const char *name;
    const char *dtype;
    const char *shape; // "[4, 2]"
    const void *bytes;
    size_t n_bytes;
};

void temp_folder_safetensors(const struct temp_folder *f, const char *name,
                             const struct temp_tensor *tensors, size_t n_tensors);
/** A file whose length field says `claimed_bytes`, with that text and n_data bytes of zeros behind
 * it. */
void temp_folder_raw_safetensors(const struct temp_folder *f, const char *name,
                                 uint64_t claimed_bytes, const char *json, size_t n_data);

#endif
