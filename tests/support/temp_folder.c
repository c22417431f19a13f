#include "support/temp_folder.h"
#include "base/buf.h"
#include "support/test.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_MAX ((size_t)256 << 20)

void temp_folder_open(struct temp_folder *f)
{
    const char *base = getenv("TMPDIR");

    snprintf(f->path, sizeof(f->path), "%s/kontor-test-XXXXXX",
             base == NULL || strlen(base) > 200 ? "/tmp" : base);
    if (mkdtemp(f->path) == NULL) {
        FAIL("cannot make a folder like %s", f->path);
    }
}

void temp_folder_path(const struct temp_folder *f, const char *name, char path[512])
{
    snprintf(path, 512, "%s/%s", f->path, name);
}

void temp_folder_remove(const struct temp_folder *f, const char *name)
{
    char path[512];

    temp_folder_path(f, name, path);
    if (remove(path) != 0) {
        FAIL("cannot remove %s", path);
    }
}

void temp_folder_close(struct temp_folder *f)
{
    DIR *d = opendir(f->path);
    const struct dirent *entry;

    if (d == NULL) {
        return;
    }
    while ((entry = readdir(d)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            temp_folder_remove(f, entry->d_name);
        }
    }
    closedir(d);
    rmdir(f->path);
}

void temp_folder_write(const struct temp_folder *f, const char *name, const void *bytes, size_t n)
{
    char path[512];
    FILE *file;

    temp_folder_path(f, name, path);
    file = fopen(path, "wb");
    if (file == NULL || fwrite(bytes, 1, n, file) != n || fclose(file) != 0) {
        FAIL("cannot write %s", path);
    }
}

void temp_folder_text(const struct temp_folder *f, const char *name, const char *text)
{
    temp_folder_write(f, name, text, strlen(text));
}

/* The whole file; the caller frees. */
static char *read_whole(const char *path, size_t *ret_n)
{
    FILE *file = fopen(path, "rb");
    struct stat st;
    char *bytes;

    if (file == NULL || fstat(fileno(file), &st) != 0) {
        FAIL("cannot open %s", path);
    }
    bytes = malloc((size_t)st.st_size + 1);
    if (bytes == NULL || fread(bytes, 1, (size_t)st.st_size, file) != (size_t)st.st_size) {
        FAIL("cannot read %s", path);
    }
    fclose(file);
    bytes[st.st_size] = '\0';
    *ret_n = (size_t)st.st_size;
    return bytes;
}

void temp_folder_copy(const struct temp_folder *f, const char *relative)
{
    const char *slash = strrchr(relative, '/');
    char path[4096];
    char *bytes;
    size_t n;

    snprintf(path, sizeof(path), "%s/%s", test_dir(), relative);
    bytes = read_whole(path, &n);
    temp_folder_write(f, slash == NULL ? relative : slash + 1, bytes, n);
    free(bytes);
}

void temp_folder_edit(const struct temp_folder *f, const char *name, const char *from,
                      const char *to)
{
    struct buf out;
    char path[512];
    char *bytes;
    size_t at;
    size_t n;

    temp_folder_path(f, name, path);
    bytes = read_whole(path, &n);
    at = str_find((struct str){bytes, n}, str_from_c(from), 0);
    if (at == SIZE_MAX) {
        FAIL("%s does not contain %s", name, from);
    }
    buf_init(&out, FILE_BYTES_MAX);
    buf_append(&out, bytes, at);
    buf_append_c(&out, to);
    buf_append(&out, bytes + at + strlen(from), n - at - strlen(from));
    EXPECT_OK(buf_status(&out));
    temp_folder_write(f, name, out.ptr, out.len);
    buf_done(&out);
    free(bytes);
}

static void append_length(struct buf *out, uint64_t n)
{
    for (unsigned i = 0; i < 8; i++) {
        buf_append_byte(out, (char)(unsigned char)(n >> (8 * i)));
    }
}

void temp_folder_safetensors(const struct temp_folder *f, const char *name,
                             const struct temp_tensor *tensors, size_t n_tensors)
{
    struct buf header;
    struct buf file;
    size_t offset = 0;

    buf_init(&header, FILE_BYTES_MAX);
    buf_init(&file, FILE_BYTES_MAX);
    for (size_t i = 0; i < n_tensors; i++) {
        buf_printf(&header, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%zu,%zu]}",
                   i == 0 ? "{" : ",", tensors[i].name, tensors[i].dtype, tensors[i].shape, offset,
                   offset + tensors[i].n_bytes);
        offset += tensors[i].n_bytes;
    }
    buf_append_byte(&header, '}');
    append_length(&file, header.len);
    buf_append_str(&file, buf_str(&header));
    for (size_t i = 0; i < n_tensors; i++) {
        buf_append(&file, tensors[i].bytes, tensors[i].n_bytes);
    }
    EXPECT_OK(buf_status(&file));
    temp_folder_write(f, name, file.ptr, file.len);
    buf_done(&header);
    buf_done(&file);
}

void temp_folder_raw_safetensors(const struct temp_folder *f, const char *name,
                                 uint64_t claimed_bytes, const char *json, size_t n_data)
{
    struct buf file;

    buf_init(&file, FILE_BYTES_MAX);
    append_length(&file, claimed_bytes);
    buf_append_c(&file, json);
    for (size_t i = 0; i < n_data; i++) {
        buf_append_byte(&file, '\0');
    }
    EXPECT_OK(buf_status(&file));
    temp_folder_write(f, name, file.ptr, file.len);
    buf_done(&file);
}
